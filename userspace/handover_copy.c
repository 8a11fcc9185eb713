/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover_copy.c - before the turn: what the new set must know before its programs count.
 *
 * Consumes the newest of the old sets and new maps that nobody counts into yet; produces its services, series, names and ids
 * in them, places for its cells, for all of a series or for none, and what of its journal still holds (remember_copy.c). The
 * old programs count on meanwhile: what they count, and whom they meet from now on, is handover_move.c's. See handover.c for
 * the order.
 */
#include "handover.h"

#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../bpf/maps.h"
#include "handover_set.h"
#include "mapped.h"
#include "place.h"
#include "probe.skel.h"
#include "remember.h"

static int map_copy(int from, int to, size_t key_size, size_t value_size)
{
	char key[128], value[128], *before = NULL;
	char next[128];

	if (key_size > sizeof(key) || value_size > sizeof(value))
		return -EINVAL;
	while (!bpf_map_get_next_key(from, before, next)) {
		memcpy(key, next, key_size);
		before = key;
		/* What has no room is made again, or not, when its events come. */
		if (!bpf_map_lookup_elem(from, key, value))
			(void)map_put(to, key, value, BPF_ANY);
	}
	return errno == ENOENT ? 0 : -errno;
}

static int numbers_copy(const struct pins_set *set, const char *name, const struct bpf_map *map)
{
	int fd = old_set_map(set, name, sizeof(uint32_t), sizeof(uint64_t)), err = fd < 0 ? fd : 0;
	struct mapped to = { 0 };
	uint32_t i;

	if (!err)
		err = mapped_open(map, &to);
	/* An older build may have had fewer. */
	for (i = 0; i < bpf_map__max_entries(map) && !err; i++)
		if (bpf_map_lookup_elem(fd, &i, (uint64_t *)to.at + i))
			err = errno == ENOENT ? 0 : -errno;
	mapped_close(&to);
	if (fd >= 0)
		(void)close(fd);
	return err;
}

/* Which ids are free. After all that has one, as the old programs go on: then none that was copied is given out again. */
static int ids_copy(const struct pins_set *set, const struct probe_bpf *skeleton)
{
	/* Without these there is less room until forget_orphans() finds them again. */
	(void)numbers_copy(set, "vacant", skeleton->maps.vacant);
	return numbers_copy(set, "next_id", skeleton->maps.next_id);
}

/* What each service has of series and of room for names; its cells are not there yet. */
static int taken_copy(const struct pins_set *set, const struct kernel *kernel)
{
	int from = old_set_map(set, "taken", sizeof(uint32_t), sizeof(struct pm_taken)), to = bpf_map__fd(kernel->skeleton->maps.taken);
	struct pm_taken taken;
	uint32_t service;

	if (from < 0)
		return from;
	/* As many as either map has. */
	for (service = 0; service < PM_MAX_SERVICES && !bpf_map_lookup_elem(from, &service, &taken); service++) {
		taken.cells = 0;
		if ((taken.series || taken.pieces) && bpf_map_update_elem(to, &service, &taken, BPF_ANY))
			break;
	}
	(void)close(from);
	return 0;
}

/* What execs gave the processes that live, which their environment may not show any more. The new programs see execs and
 * forks already; what they keep stays. */
static void started_copy(const struct pins_set *set, const struct kernel *kernel)
{
	int from = old_set_map(set, "started", sizeof(int), sizeof(struct pm_started)), to = bpf_map__fd(kernel->skeleton->maps.started);
	DIR *dir = from >= 0 ? opendir("/proc") : NULL;
	struct pm_started started;
	struct dirent *entry;
	int handle;

	while (dir && (entry = readdir(dir))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		handle = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
		if (handle < 0)
			continue;
		if (!bpf_map_lookup_elem(from, &handle, &started))
			(void)bpf_map_update_elem(to, &handle, &started, BPF_NOEXIST);
		(void)close(handle);
	}
	if (dir)
		(void)closedir(dir);
	if (from >= 0)
		(void)close(from);
}

/* In maps of the same size: every old cell the same place, so that all of them have one. */
static void places_same(const struct old_set *old, struct kernel *kernel, struct pm_taken *taken)
{
	const uint64_t *n = old->layout.number;
	uint64_t at;

	for (at = 0; at < kernel->slots; at++) {
		uint64_t where = old_set_word(old->places, at * n[LAYOUT_SLOT_SIZE] + n[LAYOUT_SLOT_WHERE]);
		struct pm_slot *slot = &kernel->places[at / PM_GROUP].slot[at % PM_GROUP];

		if (!where || where & PM_WHERE_BUSY || PM_WHERE_SERVICE(where) >= PM_MAX_SERVICES)
			continue;
		*slot = (struct pm_slot){ .where = where, .hash = old_set_word(old->places, at * n[LAYOUT_SLOT_SIZE] + n[LAYOUT_SLOT_HASH]) };
		taken[0].cells++;
		taken[PM_WHERE_SERVICE(where)].cells++;
	}
}

#define SERIES_OF(where) ((where) & PM_WHERE(PM_WHERE_SERVICE(~0ull), PM_WHERE_METRIC(~0ull)))

static int slot_compare(const void *left, const void *right)
{
	const struct pm_slot *a = left, *b = right;
	const uint64_t x[] = { SERIES_OF(a->where), a->hash, a->where }, y[] = { SERIES_OF(b->where), b->hash, b->where };
	size_t i;

	for (i = 0; i < sizeof(x) / sizeof(x[0]); i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

/* How many cells a service may still have, by the rules of cell_make(). */
static uint64_t room_of(const struct kernel *kernel, const struct pm_taken *taken, uint32_t service)
{
	uint64_t all = kernel->slots / 8 * 7, own = kernel->limits.service_cells;

	all -= taken[0].cells < all ? taken[0].cells : all;
	own -= taken[service].cells < own ? taken[service].cells : own;
	return all < own ? all : own;
}

/*
 * All cells of a series, or none: a histogram of which some buckets are in the overflow series would step back. With the first series
 * that does not fit the service's share is full, or else later events would begin that series anew.
 */
static void series_place(struct kernel *kernel, struct pm_taken *taken, const struct pm_slot *cell, size_t count)
{
	uint32_t service = PM_WHERE_SERVICE(cell->where);
	uint64_t room = room_of(kernel, taken, service);
	size_t i = 0;

	while (count <= room && i < count && place_take(kernel, cell[i].hash, cell[i].where) >= 0)
		i++;
	if (i < count) {
		while (i--)
			place_free(kernel, place_find(kernel, cell[i].hash, cell[i].where));
		count = room;
	}
	taken[0].cells += count;
	taken[service].cells += count;
}

static bool has_series(const struct kernel *kernel, const struct pm_slot *cell)
{
	const struct pm_series_key key = { .hash = cell->hash, .service = PM_WHERE_SERVICE(cell->where),
					   .metric = PM_WHERE_METRIC(cell->where) };
	struct pm_series series;

	return !bpf_map_lookup_elem(bpf_map__fd(kernel->skeleton->maps.series), &key, &series) &&
	       (series.named || cell->where & PM_BUCKET_UNNAMED);
}

/* In maps of another size: places for series as a whole, as far as there is room. Overflow series get theirs with their totals. */
static int places_other(const struct old_set *old, struct kernel *kernel, struct pm_taken *taken)
{
	const uint64_t *n = old->layout.number;
	struct pm_slot *cell = calloc(n[LAYOUT_SLOTS] + 1, sizeof(*cell)), *end = cell, *from, *to;
	uint64_t at;

	if (!cell)
		return -ENOMEM;
	for (at = 0; at < n[LAYOUT_SLOTS]; at++) {
		*end = (struct pm_slot){ .where = old_set_word(old->places, at * n[LAYOUT_SLOT_SIZE] + n[LAYOUT_SLOT_WHERE]),
					 .hash = old_set_word(old->places, at * n[LAYOUT_SLOT_SIZE] + n[LAYOUT_SLOT_HASH]) };
		end += end->where && !(end->where & (PM_WHERE_BUSY | PM_BUCKET_OVERFLOW)) &&
		       PM_WHERE_SERVICE(end->where) < PM_MAX_SERVICES;
	}
	qsort(cell, (size_t)(end - cell), sizeof(*cell), slot_compare);
	for (from = cell; from < end; from = to) {
		struct pm_slot *last = from;

		/* Two slots may have one key: one place is enough. */
		for (to = from + 1; to < end && SERIES_OF(to->where) == SERIES_OF(from->where) && to->hash == from->hash; to++)
			if (to->where != last->where)
				*++last = *to;
		if (has_series(kernel, from))
			series_place(kernel, taken, from, (size_t)(last + 1 - from));
	}
	free(cell);
	return 0;
}

/* Old cells their places in the new set, which nobody counts into yet. */
static int places_copy(const struct old_set *old, struct kernel *kernel)
{
	struct mapped taken = { 0 };
	int err = mapped_open(kernel->skeleton->maps.taken, &taken);

	if (!err && journal_header(&old->journal)->salt == kernel->salt && old->layout.number[LAYOUT_SLOTS] == kernel->slots)
		places_same(old, kernel, taken.at);
	else if (!err)
		err = places_other(old, kernel, taken.at);
	mapped_close(&taken);
	return err;
}

int handover_prepare(struct handover *handover, struct kernel *kernel)
{
	struct probe_bpf *skeleton = kernel->skeleton;
	const struct pins_set *set;
	struct old_set old;
	int err, usage;

	if (!handover->count)
		return 0;
	set = &handover->set[handover->count - 1];
	err = old_set_open(set, &old);
	if (err)
		return err;
	usage = old_set_map(set, "usage", sizeof(struct pm_usage_key), sizeof(uint64_t));
	err = taken_copy(set, kernel);
	if (!err)
		err = map_copy(old.services, bpf_map__fd(skeleton->maps.services), sizeof(struct pm_service_key), sizeof(struct pm_service));
	if (!err)
		err = map_copy(old.strings, bpf_map__fd(skeleton->maps.strings), sizeof(struct pm_string_key), PM_PIECE);
	if (!err)
		err = map_copy(old.series, bpf_map__fd(skeleton->maps.series), sizeof(struct pm_series_key), sizeof(struct pm_series));
	if (!err && usage >= 0)
		err = map_copy(usage, bpf_map__fd(skeleton->maps.usage), sizeof(struct pm_usage_key), sizeof(uint64_t));
	if (!err)
		err = ids_copy(set, skeleton);
	if (!err)
		started_copy(set, kernel);
	if (!err)
		err = places_copy(&old, kernel);
	if (!err)
		err = remember_copy(&old.journal, &kernel->journal);
	if (!err)
		((struct journal_header *)kernel->journal.memory)->start_unix_ns = journal_header(&old.journal)->start_unix_ns;
	if (usage >= 0)
		(void)close(usage);
	old_set_close(&old);
	return err;
}
