/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover_move.c - after the turn: the totals of old sets, which are final now, into the maps that count.
 *
 * Consumes old sets whose links are gone and a set whose programs count; produces `carried`, in which each cell of the new set
 * has what it had in the old ones, with the services and series that the old programs made after the copy. Ids may be others
 * here, so all is found by its key. What the new programs do at the same time (service.bpf.h, cell.bpf.h) is done here by the
 * same rules and beside them. See handover.c for the order.
 */
#include "handover_move.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../bpf/maps.h"
#include "handover_set.h"
#include "layout.h"
#include "mapped.h"
#include "merge.h"
#include "place.h"
#include "probe.skel.h"
#include "table.h"

/* Old ids to new ones. */
struct renamed {
	UT_hash_handle hh;
	uint32_t old, fresh;
};

struct moving {
	struct handover *handover;
	struct kernel *kernel;
	struct pm_carried *carried;
	uint64_t *next_id, *vacant;
	struct pm_taken *taken; /* by service */
	struct old_set old;
	struct renamed *services;
};

static void renamed_free(struct moving *moving)
{
	struct renamed *one, *next;

	HASH_ITER(hh, moving->services, one, next) {
		HASH_DEL(moving->services, one);
		free(one);
	}
}

/* Return: are all pieces there now? */
static bool strings_copy(const struct moving *moving, uint32_t from, uint32_t to)
{
	int fd = bpf_map__fd(moving->kernel->skeleton->maps.strings);
	char piece[PM_PIECE], there[PM_PIECE];
	struct pm_string_key key, other;
	uint16_t field, at;
	bool all = true;

	/* Pieces are dense: the first that is missing is the end. */
	for (field = 0; field < PROBEMETER_MAX_LABELS; field++) {
		for (at = 0; at < PM_SERVICE_PIECES; at++) {
			key = (struct pm_string_key){ .owner = from, .field = field, .piece = at };
			if (bpf_map_lookup_elem(moving->old.strings, &key, piece))
				break;
			other = key;
			other.owner = to;
			if (bpf_map_lookup_elem(fd, &other, there))
				all &= !map_put(fd, &other, piece, BPF_ANY);
		}
	}
	return all;
}

/* An id that nobody has, as service_id() of service.bpf.h and beside it. 0: there is none. */
static uint32_t service_id(struct moving *moving)
{
	uint64_t seen;
	uint32_t i;

	for (i = 0; i < PM_VACANT_WORDS; i++) {
		seen = __atomic_load_n(&moving->vacant[i], __ATOMIC_SEQ_CST);
		seen &= -seen;
		if (seen && __atomic_fetch_and(&moving->vacant[i], ~seen, __ATOMIC_SEQ_CST) & seen)
			return i * 64 + (uint32_t)__builtin_ctzll(seen);
	}
	seen = __atomic_fetch_add(&moving->next_id[PM_NEXT_SERVICE], 1, __ATOMIC_SEQ_CST) + 1;
	return seen < PM_MAX_SERVICES ? (uint32_t)seen : 0;
}

/* Every old service by its key: the new programs may have met it first, or not at all. */
static int services_move(struct moving *moving)
{
	int to = bpf_map__fd(moving->kernel->skeleton->maps.services);
	struct pm_service_key key, next;
	struct pm_service service, fresh;
	struct renamed *one;
	void *before = NULL;

	while (!bpf_map_get_next_key(moving->old.services, before, &next)) {
		key = next;
		before = &key;
		if (bpf_map_lookup_elem(moving->old.services, &key, &service))
			continue;
		if (bpf_map_lookup_elem(to, &key, &fresh)) {
			fresh = service;
			fresh.id = service_id(moving);
			if (!fresh.id)
				continue;
			fresh.seal = pm_seal(&key, fresh.id);
			(void)strings_copy(moving, PM_OWNER_SERVICE | service.id, PM_OWNER_SERVICE | fresh.id);
			(void)map_put(to, &key, &fresh, BPF_NOEXIST);
			if (bpf_map_lookup_elem(to, &key, &fresh))
				continue;
			(void)__atomic_fetch_add(&moving->next_id[PM_NEXT_MADE], 1, __ATOMIC_SEQ_CST);
		}
		one = malloc(sizeof(*one));
		if (!one)
			return -ENOMEM;
		one->old = service.id;
		one->fresh = fresh.id;
		HASH_ADD(hh, moving->services, old, sizeof(one->old), one);
	}
	return errno == ENOENT ? 0 : -errno;
}

static uint32_t service_now(const struct moving *moving, uint32_t old)
{
	struct renamed *one;

	HASH_FIND(hh, moving->services, &old, sizeof(old), one);
	return one ? one->fresh : 0;
}

static int series_move(struct moving *moving)
{
	int to = bpf_map__fd(moving->kernel->skeleton->maps.series);
	struct pm_series_key key, next, moved;
	struct pm_series series, fresh;
	void *before = NULL;

	while (!bpf_map_get_next_key(moving->old.series, before, &next)) {
		key = next;
		before = &key;
		moving->handover->series++;
		moved = key;
		moved.service = service_now(moving, key.service);
		if (!moved.service || bpf_map_lookup_elem(moving->old.series, &key, &series))
			continue;
		if (bpf_map_lookup_elem(to, &moved, &fresh)) {
			fresh = (struct pm_series){
				.id = (uint32_t)__atomic_fetch_add(&moving->next_id[PM_NEXT_SERIES], 1, __ATOMIC_SEQ_CST),
			};
			if (map_put(to, &moved, &fresh, BPF_NOEXIST) && bpf_map_lookup_elem(to, &moved, &fresh))
				continue; /* no room: its cells go to the overflow */
		}
		/* Copied before the turn, and named since by either program, or its name had no room. */
		if (!series.named)
			continue;
		fresh.named = strings_copy(moving, series.id, fresh.id);
		(void)map_put(to, &moved, &fresh, BPF_EXIST);
	}
	return errno == ENOENT ? 0 : -errno;
}

/* May there be one cell more? By the rules of cell_make(): overflow series have the last eighth, and what a service's share
 * leaves. */
static bool has_share(const struct moving *moving, uint64_t where)
{
	const struct kernel *kernel = moving->kernel;

	return where & PM_BUCKET_OVERFLOW ||
	       (moving->taken[0].cells < kernel->slots / 8 * 7 &&
		moving->taken[PM_WHERE_SERVICE(where)].cells < kernel->limits.service_cells);
}

/* The slot of a key, found or taken. Return: slot, or -1. */
static long slot_take(struct moving *moving, uint64_t hash, uint64_t where)
{
	long slot = place_find(moving->kernel, hash, where);

	if (slot >= 0 || !has_share(moving, where))
		return slot;
	slot = place_take(moving->kernel, hash, where);
	if (slot >= 0) {
		__atomic_fetch_add(&moving->taken[0].cells, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&moving->taken[PM_WHERE_SERVICE(where)].cells, 1, __ATOMIC_SEQ_CST);
	}
	return slot;
}

static void carried_add(struct pm_carried *to, uint64_t count, uint128_t sum)
{
	uint128_t total = ((uint128_t)to->high << 64 | to->sum) + sum;

	to->count += count;
	to->sum = (uint64_t)total;
	to->high = (uint64_t)(total >> 64);
}

/* Is its series there, with its name? Without one its totals go to the overflow series. */
static bool has_series(const struct moving *moving, uint64_t hash, uint64_t where)
{
	const struct pm_series_key key = { .hash = hash, .service = PM_WHERE_SERVICE(where), .metric = PM_WHERE_METRIC(where) };
	struct pm_series series;

	return where & PM_BUCKET_OVERFLOW ||
	       (!bpf_map_lookup_elem(bpf_map__fd(moving->kernel->skeleton->maps.series), &key, &series) &&
		(series.named || where & PM_BUCKET_UNNAMED));
}

static void cell_move(struct moving *moving, uint64_t hash, uint64_t where, uint64_t count, uint128_t sum)
{
	uint32_t service = service_now(moving, PM_WHERE_SERVICE(where)), metric = PM_WHERE_METRIC(where);
	uint64_t bucket = where & ~PM_WHERE(PM_WHERE_SERVICE(~0ull), PM_WHERE_METRIC(~0ull));
	long slot = -1;

	moving->handover->cells++;
	moving->handover->events += count;
	where = PM_WHERE(service, metric) | bucket;
	if (service && has_series(moving, hash, where))
		slot = slot_take(moving, hash, where);
	if (service && slot < 0)
		slot = slot_take(moving, 0, (where & ~PM_BUCKET_UNNAMED) | PM_BUCKET_OVERFLOW);
	if (slot >= 0)
		carried_add(&moving->carried[slot], count, sum);
	else if (metric < PM_MAX_METRICS)
		carried_add(&moving->carried[moving->kernel->slots + PM_DROP_INDEX(metric, service ? PM_DROP_NO_CELL : PM_DROP_NO_SERVICE)],
			    count, 0);
}

static void cells_move(struct moving *moving)
{
	const struct old_set *old = &moving->old;
	const uint64_t *n = old->layout.number;
	uint64_t slot, cpu;

	for (slot = 0; slot < n[LAYOUT_SLOTS]; slot++) {
		uint64_t at = slot * n[LAYOUT_SLOT_SIZE], where = old_set_word(old->places, at + n[LAYOUT_SLOT_WHERE]), count = 0;
		uint128_t sum = (uint128_t)old->carries[slot] << 64;

		/* Programs that were killed while they filled a slot counted elsewhere, or nowhere. */
		if (!where || where & PM_WHERE_BUSY)
			continue;
		for (cpu = 0; cpu < n[LAYOUT_CPUS]; cpu++) {
			uint64_t cell = (cpu * n[LAYOUT_SLOTS] + slot) * n[LAYOUT_CELL_SIZE];

			count += old_set_word(old->cells, cell + n[LAYOUT_CELL_COUNT]);
			sum += old_set_word(old->cells, cell + n[LAYOUT_CELL_SUM]);
		}
		if (old->carried) {
			count += old->carried[slot].count;
			sum += (uint128_t)old->carried[slot].high << 64 | old->carried[slot].sum;
		}
		if (count)
			cell_move(moving, old_set_word(old->places, at + n[LAYOUT_SLOT_HASH]), where, count, sum);
	}
}

static void drops_move(struct moving *moving)
{
	const uint64_t *n = moving->old.layout.number;
	uint32_t metric, reason, index;
	uint64_t count;

	for (metric = 0; metric < n[LAYOUT_METRICS] && metric < PM_MAX_METRICS; metric++)
		for (reason = 0; reason < n[LAYOUT_REASONS] && reason < PM_DROP_REASONS; reason++) {
			index = metric * (uint32_t)n[LAYOUT_REASONS] + reason;
			if (bpf_map_lookup_elem(moving->old.drops, &index, &count))
				continue;
			if (moving->old.carried)
				count += moving->old.carried[n[LAYOUT_SLOTS] + index].count;
			carried_add(&moving->carried[moving->kernel->slots + PM_DROP_INDEX(metric, reason)], count, 0);
		}
}

static int old_move(struct moving *moving, const struct pins_set *set)
{
	int err = old_set_open(set, &moving->old);

	if (!err)
		err = services_move(moving);
	if (!err)
		err = series_move(moving);
	if (!err) {
		cells_move(moving);
		drops_move(moving);
	}
	renamed_free(moving);
	old_set_close(&moving->old);
	return err;
}

int handover_move(struct handover *handover, const struct pins *pins, struct kernel *kernel)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct moving moving = { .handover = handover, .kernel = kernel };
	size_t size = kernel_carried_entries(kernel) * sizeof(struct pm_carried), i;
	struct mapped taken = { 0 }, next_id = { 0 }, vacant = { 0 };
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "carried", 4, sizeof(struct pm_carried), kernel_carried_entries(kernel), &opts);
	int err = fd < 0 ? -errno : 0;
	void *carried = err ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (!err && (carried == MAP_FAILED || mapped_open(kernel->skeleton->maps.taken, &taken) ||
		     mapped_open(kernel->skeleton->maps.next_id, &next_id) || mapped_open(kernel->skeleton->maps.vacant, &vacant)))
		err = -ENOMEM;
	moving.carried = carried;
	moving.taken = taken.at;
	moving.next_id = next_id.at;
	moving.vacant = vacant.at;
	for (i = 0; i < handover->count && !err; i++)
		err = old_move(&moving, &handover->set[i]);
	if (!err)
		err = kernel_carried_map(kernel, fd);
	/* From here on the totals are in the new set, whole. */
	if (!err)
		err = pins_map_late(pins, "carried", fd);
	if (carried != MAP_FAILED)
		(void)munmap(carried, size);
	mapped_close(&taken);
	mapped_close(&next_id);
	mapped_close(&vacant);
	if (fd >= 0)
		(void)close(fd);
	return err;
}
