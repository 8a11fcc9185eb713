/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot.c - read the kernel's maps and bring them in order.
 *
 * Consumes the loaded maps, the cells by mapped memory in the order that filled.c keeps, the rest in batches; produces sorted
 * arrays. What the numbers mean is ledger.c's and merge.c's.
 */
#include "snapshot.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe.skel.h"

#define BATCH 4096

/* Hand every element of a hash map to @each. A map's bucket that does not fit a batch makes the kernel answer ENOSPC;
 * buckets hold about one element, so BATCH of them in one means an attack on the hash, and that is an error. */
int snapshot_walk(const struct snapshot *snapshot, int fd, size_t key_size, size_t value_size,
		  int (*each)(void *context, const void *key, const void *value), void *context)
{
	uint64_t token[4]; /* the kernel's own cursor, opaque */
	void *in = NULL;
	int err = 0;

	while (!err) {
		uint32_t count = BATCH, i;

		err = bpf_map_lookup_batch(fd, in, token, snapshot->key_buffer, snapshot->value_buffer, &count, NULL);
		if (err && errno != ENOENT)
			return -errno;
		for (i = 0; i < count; i++) {
			int failed = each(context, (char *)snapshot->key_buffer + i * key_size,
					  (char *)snapshot->value_buffer + i * value_size);

			if (failed)
				return failed;
		}
		in = token;
	}
	return 0;
}

/* Room for one more; what is there stays. */
static int reserve(void *array, size_t count, size_t *room, size_t size)
{
	void **to = array, *more;

	if (count < *room)
		return 0;
	more = realloc(*to, (*room ? 2 * *room : 1024) * size);
	if (!more)
		return -ENOMEM;
	*room = *room ? 2 * *room : 1024;
	*to = more;
	return 0;
}

/* One word of memory that programs write to at the same time. */
static uint64_t word(const void *at)
{
	return __atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE);
}

static void sum_add(struct raw_cell *cell, uint64_t sum)
{
	cell->total.sum += sum;
	cell->high += cell->total.sum < sum;
}

/* The cells, from the kernel's own memory, in order. */
static int cells_read(const struct kernel *kernel, struct snapshot *snapshot)
{
	int err = filled_update(&snapshot->filled, kernel->places, kernel->slots);
	uint32_t cpu;
	size_t i;

	for (i = 0; !err && i < snapshot->filled.count; i++) {
		uint32_t slot = snapshot->filled.slot[i];
		struct raw_cell *cell;

		if (reserve(&snapshot->cell, snapshot->cell_count, &snapshot->cell_room, sizeof(*cell)))
			return -ENOMEM;
		cell = &snapshot->cell[snapshot->cell_count++];
		/* The carry before the sum: a sum that has gone round meanwhile is too low for a moment, never too high. */
		*cell = (struct raw_cell){ .high = word(&kernel->carries[slot]) };
		(void)filled_key(kernel->places, slot, &cell->key);
		for (cpu = 0; cpu < kernel->cpus; cpu++) {
			const struct pm_cell *row = &kernel->cells[(size_t)cpu * kernel->slots + slot];

			/* The sum first: the programs add to it last, so it never runs ahead of its count. */
			sum_add(cell, word(&row->sum));
			cell->total.count += word(&row->count);
		}
		if (kernel->carried) {
			cell->high += kernel->carried[slot].high;
			sum_add(cell, kernel->carried[slot].sum);
			cell->total.count += kernel->carried[slot].count;
		}
	}
	return err;
}

/* Two slots may have one key (cell.bpf.h): in order they are neighbours, and become one. */
static void cells_join(struct snapshot *snapshot)
{
	size_t from, to = 0;

	for (from = 1; from < snapshot->cell_count; from++) {
		struct raw_cell *last = &snapshot->cell[to], *next = &snapshot->cell[from];

		if (last->key.where == next->key.where && last->key.hash == next->key.hash) {
			last->total.count += next->total.count;
			last->high += next->high;
			sum_add(last, next->total.sum);
		} else {
			snapshot->cell[++to] = *next;
		}
	}
	if (snapshot->cell_count)
		snapshot->cell_count = to + 1;
}

static int series_add(void *context, const void *key, const void *value)
{
	struct snapshot *snapshot = context;
	struct raw_series *series;

	if (reserve(&snapshot->series, snapshot->series_count, &snapshot->series_room, sizeof(*series)))
		return -ENOMEM;
	series = &snapshot->series[snapshot->series_count++];
	memcpy(&series->key, key, sizeof(series->key));
	memcpy(&series->series, value, sizeof(series->series));
	return 0;
}

static int service_add(void *context, const void *key, const void *value)
{
	struct snapshot *snapshot = context;
	struct raw_service *service;

	if (reserve(&snapshot->service, snapshot->service_count, &snapshot->service_room, sizeof(*service)))
		return -ENOMEM;
	service = &snapshot->service[snapshot->service_count++];
	memcpy(&service->key, key, sizeof(service->key));
	memcpy(&service->service, value, sizeof(service->service));
	return 0;
}

int snapshot_order(uint64_t where_a, uint64_t hash_a, uint64_t where_b, uint64_t hash_b)
{
	uint64_t owner_a = where_a >> 24, owner_b = where_b >> 24;

	if (owner_a != owner_b)
		return owner_a < owner_b ? -1 : 1;
	return (hash_a > hash_b) - (hash_a < hash_b);
}

int snapshot_cell_order(const struct pm_cell_key *a, const struct pm_cell_key *b)
{
	int order = snapshot_order(a->where, a->hash, b->where, b->hash);

	return order ? order : (a->where > b->where) - (a->where < b->where);
}

static int by_series(const void *a, const void *b)
{
	const struct pm_series_key *x = a, *y = b;

	return snapshot_order(PM_WHERE(x->service, x->metric), x->hash, PM_WHERE(y->service, y->metric), y->hash);
}

static int buffers_make(struct snapshot *snapshot)
{
	if (snapshot->key_buffer)
		return 0;
	/* Not for the kernel, which fills them, but for valgrind, which does not know that. */
	snapshot->key_buffer = calloc(BATCH, sizeof(struct pm_service_key));
	snapshot->value_buffer = calloc(BATCH, sizeof(struct pm_service));
	snapshot->drop = calloc(PM_MAX_METRICS * PM_DROP_REASONS, sizeof(*snapshot->drop));
	return snapshot->key_buffer && snapshot->value_buffer && snapshot->drop ? 0 : -ENOMEM;
}

/* Those of the first @metrics: reading what no metric has yet would take longer than all the rest. */
static int drops_read(const struct kernel *kernel, uint32_t metrics, struct snapshot *snapshot)
{
	int fd = bpf_map__fd(kernel->skeleton->maps.drops);
	uint32_t next, done = 0, count, in = 0, end = PM_DROP_INDEX(metrics, 0);

	while (done < end) {
		count = end - done < BATCH ? end - done : BATCH;
		if (bpf_map_lookup_batch(fd, done ? &in : NULL, &next, snapshot->key_buffer, snapshot->drop + done, &count,
					 NULL) &&
		    errno != ENOENT)
			return -errno;
		if (!count)
			break;
		done += count;
		in = next;
	}
	for (next = 0; kernel->carried && next < end; next++)
		snapshot->drop[next] += kernel->carried[kernel->slots + next].count;
	return 0;
}

int snapshot_read_services(const struct kernel *kernel, struct snapshot *ret)
{
	int err = buffers_make(ret);
	uint32_t next = PM_NEXT_MADE;
	uint64_t made = 0;

	if (err)
		return err;
	/* A service is counted once it is there, so what comes while this reads is read by the next call. */
	if (!bpf_map_lookup_elem(bpf_map__fd(kernel->skeleton->maps.next_id), &next, &made) && ret->made == made + 1)
		return 0;
	ret->service_count = 0;
	ret->made = made + 1;
	return snapshot_walk(ret, bpf_map__fd(kernel->skeleton->maps.services), sizeof(struct pm_service_key),
			sizeof(struct pm_service), service_add, ret);
}

int snapshot_read(const struct kernel *kernel, uint32_t metrics, struct snapshot *ret)
{
	int err = buffers_make(ret);

	if (err)
		return err;
	ret->cell_count = ret->series_count = 0;
	err = cells_read(kernel, ret);
	if (!err)
		err = snapshot_walk(ret, bpf_map__fd(kernel->skeleton->maps.series), sizeof(struct pm_series_key),
			       sizeof(struct pm_series), series_add, ret);
	if (!err)
		err = snapshot_read_services(kernel, ret);
	if (!err)
		err = drops_read(kernel, metrics, ret);
	if (err)
		return err;
	cells_join(ret);
	if (ret->series_count)
		qsort(ret->series, ret->series_count, sizeof(*ret->series), by_series);
	return 0;
}

void snapshot_hits(const struct snapshot *snapshot, uint64_t *ret)
{
	size_t i;

	memset(ret, 0, PM_MAX_SERVICES * sizeof(*ret));
	for (i = 0; i < snapshot->cell_count; i++)
		ret[PM_WHERE_SERVICE(snapshot->cell[i].key.where) & (PM_MAX_SERVICES - 1)] += snapshot->cell[i].total.count;
}

void snapshot_free(struct snapshot *snapshot)
{
	filled_free(&snapshot->filled);
	free(snapshot->cell);
	free(snapshot->series);
	free(snapshot->service);
	free(snapshot->drop);
	free(snapshot->key_buffer);
	free(snapshot->value_buffer);
	memset(snapshot, 0, sizeof(*snapshot));
}

long snapshot_string(const struct kernel *kernel, uint32_t owner, uint16_t field, char *ret, size_t room)
{
	struct pm_string_key key = { .owner = owner, .field = field };
	int fd = bpf_map__fd(kernel->skeleton->maps.strings);
	char piece[PM_PIECE];
	size_t length = 0, n;

	for (;; key.piece++) {
		if (bpf_map_lookup_elem(fd, &key, piece))
			return key.piece ? (long)length : -ENOENT;
		n = strnlen(piece, PM_PIECE - 1);
		if (length + n >= room)
			n = room - length - 1;
		memcpy(ret + length, piece, n);
		length += n;
		ret[length] = '\0';
		/* A full piece is followed by another one, if only by an empty one. */
		if (n < PM_PIECE - 1)
			return (long)length;
	}
}
