/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover.c - an agent of another schema takes over, without a hit lost or counted twice; so does one whose journal is worn.
 *
 * Consumes pinned sets of any schema whose journal says how to read them (layout.h); produces a set of this build's own
 * that goes on with their totals, ids and start times, and their removal.
 *
 * The order, and what a kill at any point leaves:
 *
 *  1. A new set is made, one generation higher. `turn` (bpf/turn.bpf.h) still names the old one, so the new programs
 *     count nothing. Killed from here to 3: the next agent removes the new set; nothing has happened.
 *  2. Journal, services, series and names are copied, ids as they are (handover_prepare), and cells get their places, so that
 *     in full maps no new one comes before them. The new programs are attached beside the old ones, so no site is ever
 *     without a probe, and semaphores stay up.
 *  3. Once every hit that began before that has ended, the turn moves: one store. From here on the new set counts.
 *  4. The old links go. When their programs are gone, the old totals are final.
 *  5. Totals are added up in a map of their own, `carried`, which is pinned when it is complete: that is the moment in
 *     which they are the new set's. Killed between 3 and 5: the next agent finds two sets without `carried`, and makes a
 *     third one of both.
 *  6. The old sets are removed. Killed before: the next agent sees by `carried` that they may go.
 *
 * For the same reason a file is attached at the same nops as before, whatever this agent's trial prefers: only at one
 * place do the new programs run before the old ones.
 *
 * Exact are counts, sums, buckets, drops, start times, up-down counters' zero series. Series that the old programs made
 * after the copy are made in step 5; they are few and not counted against their metric's limit. Where the new maps have
 * less room, what has none goes to the metric's overflow series, as events would.
 */
#include "handover.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../bpf/maps.h"
#include "layout.h"
#include "log.h"
#include "merge.h"
#include "probe.skel.h"
#include "remember.h"
#include "table.h"

/* --- the word that says whose turn it is, before programs are loaded */

static int turn_open(const struct pins *pins, uint64_t **ret)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = pins_common_open(pins, "turn"), err = 0;
	void *memory;

	if (fd < 0)
		return pins_error(fd);
	if (bpf_obj_get_info_by_fd(fd, &info, &size) || info.type != BPF_MAP_TYPE_ARRAY || info.value_size != 8) {
		err = -EBADMSG;
	} else {
		memory = mmap(NULL, PM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (memory == MAP_FAILED)
			err = pins_error(-errno);
		else
			*ret = memory;
	}
	(void)close(fd);
	return err;
}

static void marks_clear(int fd)
{
	uint32_t thread;

	while (fd >= 0 && !bpf_map_get_next_key(fd, NULL, &thread) && !bpf_map_delete_elem(fd, &thread))
		;
}

static void turn_settle(const struct pins *pins, uint64_t *turn)
{
	int fd = pins_common_open(pins, "marks");

	marks_clear(fd);
	if (fd >= 0)
		(void)close(fd);
	__atomic_store_n(turn, *turn & ~PM_TURN_BOTH, __ATOMIC_SEQ_CST);
}

/* --- one old set, open */

struct old {
	struct journal journal;
	struct layout layout;
	const char *places, *cells;
	size_t places_size, cells_size, carries_size, carried_size;
	const uint64_t *carries;
	const struct pm_carried *carried; /* or NULL */
	int series, strings, services, drops;
};

/* A pinned array, mapped, at least @need bytes of it; NULL with @err, and nothing where that is set already. */
static void *array_map(const struct pins_set *set, const char *name, int protection, size_t need, size_t *ret_size, int *err)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = *err ? -1 : pins_set_map(set, name);
	void *memory = NULL;

	if (*err)
		return NULL;
	if (fd < 0) {
		*err = pins_error(fd);
		return NULL;
	}
	if (bpf_obj_get_info_by_fd(fd, &info, &size) || info.type != BPF_MAP_TYPE_ARRAY ||
	    (uint64_t)info.max_entries * ((info.value_size + 7u) & ~7u) < need)
		*err = -EBADMSG;
	if (!*err) {
		*ret_size = (size_t)info.max_entries * ((info.value_size + 7u) & ~7u);
		memory = mmap(NULL, *ret_size, protection, MAP_SHARED, fd, 0);
	}
	if (memory == MAP_FAILED) {
		*err = pins_error(-errno);
		memory = NULL;
	}
	(void)close(fd);
	return memory;
}

static void unmap(const void *memory, size_t size)
{
	if (memory)
		(void)munmap((void *)memory, size);
}

static void old_close(struct old *old)
{
	int fd[] = { old->series, old->strings, old->services, old->drops };
	size_t i;

	unmap(old->journal.memory, old->journal.size);
	unmap(old->places, old->places_size);
	unmap(old->cells, old->cells_size);
	unmap(old->carries, old->carries_size);
	unmap(old->carried, old->carried_size);
	for (i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		if (fd[i] >= 0)
			(void)close(fd[i]);
	*old = (struct old){ .series = -1, .strings = -1, .services = -1, .drops = -1 };
}

static int hash_open(const struct pins_set *set, const char *name, uint32_t key_size, uint32_t value_size)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = pins_set_map(set, name);

	if (fd < 0)
		return pins_error(fd);
	if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.key_size == key_size && info.value_size == value_size)
		return fd;
	(void)close(fd);
	return -EBADMSG;
}

/* Return: 1, 0 or -errno. */
static int has_carried(const struct pins_set *set)
{
	int fd = pins_set_map(set, "carried");

	if (fd < 0)
		return fd == -ENOENT ? 0 : pins_error(fd);
	(void)close(fd);
	return 1;
}

/* All that is needed of a set. Return: 0, or as pins_error(). */
static int old_open(const struct pins_set *set, struct old *ret)
{
	struct old old = { .series = -1, .strings = -1, .services = -1, .drops = -1 };
	const uint64_t *n = old.layout.number;
	uint64_t slots;
	int err = 0, carried;
	size_t i;

	*ret = old;
	old.journal.memory = array_map(set, "journal", PROT_READ, sizeof(struct journal_header), &old.journal.size, &err);
	if (!err)
		err = journal_check(&old.journal);
	if (!err)
		err = layout_read(&old.journal, &old.layout);
	if (err)
		goto out;
	slots = n[LAYOUT_SLOTS];
	old.places = array_map(set, "places", PROT_READ, slots * n[LAYOUT_SLOT_SIZE], &old.places_size, &err);
	old.cells = array_map(set, "cells", PROT_READ, n[LAYOUT_CPUS] * slots * n[LAYOUT_CELL_SIZE], &old.cells_size, &err);
	old.carries = array_map(set, "carries", PROT_READ, slots * sizeof(uint64_t), &old.carries_size, &err);
	carried = has_carried(set);
	if (carried > 0)
		old.carried = array_map(set, "carried", PROT_READ,
					(slots + n[LAYOUT_METRICS] * n[LAYOUT_REASONS]) * sizeof(struct pm_carried),
					&old.carried_size, &err);
	old.series = hash_open(set, "series", sizeof(struct pm_series_key), sizeof(struct pm_series));
	old.strings = hash_open(set, "strings", sizeof(struct pm_string_key), PM_PIECE);
	old.services = hash_open(set, "services", sizeof(struct pm_service_key), sizeof(struct pm_service));
	old.drops = hash_open(set, "drops", sizeof(uint32_t), sizeof(uint64_t));
	{
		const int opened[] = { carried, old.series, old.strings, old.services, old.drops };

		for (i = 0; i < sizeof(opened) / sizeof(opened[0]) && !err; i++)
			err = opened[i] < 0 ? opened[i] : 0;
	}
out:
	if (err)
		old_close(&old);
	else
		*ret = old;
	return err;
}

/* --- what is there */

static void set_drop(struct handover *handover, size_t at)
{
	handover->count--;
	memmove(&handover->set[at], &handover->set[at + 1], (handover->count - at) * sizeof(handover->set[0]));
}

static void aside(const struct pins *pins, const char *path)
{
	char where[PINS_PATH];

	(void)pins_set_aside(pins, path, where, sizeof(where));
	log_message(LOG_WARN,
		    "run: what an earlier agent left in '%s' cannot be read; it is set aside as '%s', without its links, and its totals "
		    "begin anew; 'probemeter stop --detach' removes it", path, where);
}

/* Sets that are no sets, or that this build cannot make sense of. Those of its own schema are looked at when loaded. What
 * cannot be read because something is short is there for the next agent. */
static int aside_unreadable(const struct pins *pins, const char *schema, struct handover *sets)
{
	struct old old;
	size_t i;
	int err;

	for (i = 0; i < sets->count;) {
		bool own = sets->set[i].generation && !strcmp(sets->set[i].schema, schema);

		err = sets->set[i].generation ? old_open(&sets->set[i], &old) : -EBADMSG;
		if (!err)
			old_close(&old);
		if (err && err != -EBADMSG)
			return err;
		if (!err || (own && sets->count == 1)) {
			i++;
			continue;
		}
		aside(pins, sets->set[i].path);
		set_drop(sets, i);
	}
	return 0;
}

/* What a handover that was broken off leaves: newer sets that never counted, older ones whose links may still be there,
 * or whose totals have been carried. */
static int recover(const struct pins *pins, uint64_t *turn, struct handover *sets)
{
	uint64_t counting = *turn & ~PM_TURN_BOTH;
	size_t i;
	int err = 0;

	while (!err && sets->count && sets->set[sets->count - 1].generation > counting) {
		err = pins_set_detach(&sets->set[sets->count - 1]);
		if (!err || err == -EBUSY)
			err = pins_set_remove(&sets->set[sets->count - 1]);
		sets->count--;
	}
	for (i = 0; i < sets->count && !err; i++)
		if (sets->set[i].generation < counting)
			err = pins_set_detach(&sets->set[i]);
	if (err && err != -EBUSY)
		return err;
	turn_settle(pins, turn);
	err = 0;
	while (!err && sets->count > 1) {
		err = has_carried(&sets->set[sets->count - 1]);
		if (err <= 0)
			break;
		err = pins_set_remove(&sets->set[0]);
		set_drop(sets, 0);
	}
	return err;
}

/* A set of ours whose journal is full of what is over is taken over by a fresh one, as another schema's would be. */
static bool is_worn(const struct pins_set *set)
{
	struct journal journal = { 0 };
	int err = 0;
	bool worn;

	journal.memory = array_map(set, "journal", PROT_READ, sizeof(struct journal_header), &journal.size, &err);
	worn = !err && !journal_check(&journal) && remember_worn(&journal);
	unmap(journal.memory, journal.size);
	return worn;
}

/* 0 if it cannot be read. */
static uint64_t salt_of(const struct pins_set *set)
{
	struct journal journal = { 0 };
	uint64_t salt;
	int err = 0;

	journal.memory = array_map(set, "journal", PROT_READ, sizeof(struct journal_header), &journal.size, &err);
	salt = journal.memory && !err && !journal_check(&journal) ? journal_header(&journal)->salt : 0;
	unmap(journal.memory, journal.size);
	return salt;
}

int handover_look(struct pins *pins, const char *schema, bool stays, struct handover *ret)
{
	struct handover sets = { .count = 0 };
	uint64_t *turn = NULL, generation = 1;
	bool adopted;
	long count = pins_sets(pins, sets.set, HANDOVER_SETS);
	int err = 0;

	*ret = (struct handover){ .count = 0 };
	if (!pins->persistent)
		return 0;
	if (count < 0)
		return (int)count;
	sets.count = (size_t)count;
	err = turn_open(pins, &turn);
	if (err && err != -EBADMSG)
		return err;
	if (err) {
		/* Without it nobody knows which set counts. */
		while (sets.count)
			aside(pins, sets.set[--sets.count].path);
		pins_common_remove(pins);
		return pins_use(pins, schema, 1, false);
	}
	err = aside_unreadable(pins, schema, &sets);
	if (!err)
		err = recover(pins, turn, &sets);
	generation = *turn;
	(void)munmap(turn, PM_PAGE);
	if (err)
		return err;
	adopted = sets.count == 1 && sets.set[0].generation == generation && !strcmp(sets.set[0].schema, schema) &&
		  (!stays || !is_worn(&sets.set[0]));
	if (!adopted)
		*ret = sets;
	pins->salt = !adopted && sets.count ? salt_of(&sets.set[sets.count - 1]) : 0;
	return pins_use(pins, schema, adopted ? generation : generation + 1, adopted);
}

/* --- before the turn: copies */

/* A map that allocates on demand may find no memory for a moment. Return: 0 or -errno. */
static int put(int fd, const void *key, const void *value, uint64_t flags)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int tries;

	for (tries = 0; tries < 1000; tries++) {
		if (!bpf_map_update_elem(fd, key, value, flags))
			return 0;
		if (errno != ENOMEM)
			return -errno;
		(void)nanosleep(&pause, NULL);
	}
	return -ENOMEM;
}

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
			(void)put(to, key, value, BPF_ANY);
	}
	return errno == ENOENT ? 0 : -errno;
}

static int fd_of(const struct bpf_map *map)
{
	return bpf_map__fd(map);
}

/* An array of numbers that fits a page, mapped; NULL if that fails. */
static uint64_t *numbers_map(const struct bpf_map *map)
{
	void *memory = mmap(NULL, PM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(map), 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int numbers_copy(const struct pins_set *set, const char *name, const struct bpf_map *map)
{
	int fd = hash_open(set, name, sizeof(uint32_t), sizeof(uint64_t)), err = 0;
	uint64_t *to = numbers_map(map);
	uint32_t i;

	if (fd < 0 || !to)
		err = fd < 0 ? fd : -ENOMEM;
	/* An older build may have had fewer. */
	for (i = 0; i < bpf_map__max_entries(map) && !err; i++)
		if (bpf_map_lookup_elem(fd, &i, &to[i]))
			err = errno == ENOENT ? 0 : -errno;
	if (to)
		(void)munmap(to, PM_PAGE);
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
	int from = hash_open(set, "taken", sizeof(uint32_t), sizeof(struct pm_taken)), to = fd_of(kernel->skeleton->maps.taken);
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
	int from = hash_open(set, "started", sizeof(int), sizeof(struct pm_started)), to = fd_of(kernel->skeleton->maps.started);
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

static uint64_t start_of(const struct old *old)
{
	return journal_header(&old->journal)->start_unix_ns;
}

static uint64_t word_at(const char *memory, uint64_t offset)
{
	uint64_t word;

	memcpy(&word, memory + offset, sizeof(word));
	return word;
}

/* Every old cell a place in the new set, which nobody counts into yet: the same one, so that all of them have one. */
static int places_copy(const struct old *old, struct kernel *kernel)
{
	const uint64_t *n = old->layout.number;
	size_t size = PM_MAX_SERVICES * sizeof(struct pm_taken);
	struct pm_taken *taken;
	uint64_t at;

	/* In maps of another size they have others, and get them with their totals. */
	if (journal_header(&old->journal)->salt != kernel->salt || n[LAYOUT_SLOTS] != kernel->slots)
		return 0;
	taken = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(kernel->skeleton->maps.taken), 0);
	if (taken == MAP_FAILED)
		return -errno;
	for (at = 0; at < kernel->slots; at++) {
		uint64_t where = word_at(old->places, at * n[LAYOUT_SLOT_SIZE] + n[LAYOUT_SLOT_WHERE]);
		struct pm_slot *slot = &kernel->places[at / PM_GROUP].slot[at % PM_GROUP];

		if (!where || where & PM_WHERE_BUSY || PM_WHERE_SERVICE(where) >= PM_MAX_SERVICES)
			continue;
		*slot = (struct pm_slot){ .where = where, .hash = word_at(old->places, at * n[LAYOUT_SLOT_SIZE] + n[LAYOUT_SLOT_HASH]) };
		taken[0].cells++;
		taken[PM_WHERE_SERVICE(where)].cells++;
	}
	(void)munmap(taken, size);
	return 0;
}

int handover_prepare(struct handover *handover, struct kernel *kernel)
{
	struct probe_bpf *skeleton = kernel->skeleton;
	const struct pins_set *set;
	struct old old;
	int err, usage;

	if (!handover->count)
		return 0;
	set = &handover->set[handover->count - 1];
	err = old_open(set, &old);
	if (err)
		return err;
	usage = hash_open(set, "usage", sizeof(struct pm_usage_key), sizeof(uint64_t));
	err = taken_copy(set, kernel);
	if (!err)
		err = map_copy(old.services, fd_of(skeleton->maps.services), sizeof(struct pm_service_key), sizeof(struct pm_service));
	if (!err)
		err = map_copy(old.strings, fd_of(skeleton->maps.strings), sizeof(struct pm_string_key), PM_PIECE);
	if (!err)
		err = map_copy(old.series, fd_of(skeleton->maps.series), sizeof(struct pm_series_key), sizeof(struct pm_series));
	if (!err && usage >= 0)
		err = map_copy(usage, fd_of(skeleton->maps.usage), sizeof(struct pm_usage_key), sizeof(uint64_t));
	if (!err)
		err = ids_copy(set, skeleton);
	if (!err)
		started_copy(set, kernel);
	if (!err)
		err = places_copy(&old, kernel);
	if (!err)
		err = remember_copy(&old.journal, &kernel->journal);
	if (!err)
		((struct journal_header *)kernel->journal.memory)->start_unix_ns = start_of(&old);
	if (usage >= 0)
		(void)close(usage);
	old_close(&old);
	return err;
}

/* --- after the turn: totals */

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
	struct old old;
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
	int fd = fd_of(moving->kernel->skeleton->maps.strings);
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
				all &= !put(fd, &other, piece, BPF_ANY);
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
	int to = fd_of(moving->kernel->skeleton->maps.services);
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
			(void)put(to, &key, &fresh, BPF_NOEXIST);
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
	int to = fd_of(moving->kernel->skeleton->maps.series);
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
			if (put(to, &moved, &fresh, BPF_NOEXIST) && bpf_map_lookup_elem(to, &moved, &fresh))
				continue; /* no room: its cells go to the overflow */
		}
		/* Copied before the turn, and named since by either program, or its name had no room. */
		if (!series.named)
			continue;
		fresh.named = strings_copy(moving, series.id, fresh.id);
		(void)put(to, &moved, &fresh, BPF_EXIST);
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

/* The slot of a key, found or taken, as cell.bpf.h does it and beside it. Return: slot, or -1. */
static long slot_take(struct moving *moving, uint64_t hash, uint64_t where)
{
	struct kernel *kernel = moving->kernel;
	uint64_t mix = pm_mix(hash, where, kernel->salt), expected;
	uint32_t tries = where & PM_BUCKET_OVERFLOW ? PM_GROUP_TRIES_OVERFLOW : PM_GROUP_TRIES, pass, try, i;

	for (pass = 0; pass < 2; pass++) {
		if (pass && !has_share(moving, where))
			return -1;
		for (try = 0; try < tries; try++)
			for (i = 0; i < PM_GROUP; i++) {
				uint32_t group = (uint32_t)((mix >> 3) + try) & (kernel->slots / PM_GROUP - 1);
				uint32_t at = (uint32_t)(mix + i) & (PM_GROUP - 1);
				struct pm_slot *slot = &kernel->places[group].slot[at];

				expected = 0;
				if (!pass && __atomic_load_n(&slot->where, __ATOMIC_ACQUIRE) == where && slot->hash == hash)
					return (long)group * PM_GROUP + at;
				if (!pass || !__atomic_compare_exchange_n(&slot->where, &expected, where | PM_WHERE_BUSY, false,
									  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
					continue;
				slot->hash = hash;
				__atomic_store_n(&slot->where, where, __ATOMIC_SEQ_CST);
				__atomic_fetch_add(&moving->taken[0].cells, 1, __ATOMIC_SEQ_CST);
				__atomic_fetch_add(&moving->taken[PM_WHERE_SERVICE(where)].cells, 1, __ATOMIC_SEQ_CST);
				return (long)group * PM_GROUP + at;
			}
	}
	return -1;
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
	       (!bpf_map_lookup_elem(fd_of(moving->kernel->skeleton->maps.series), &key, &series) &&
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
	const struct old *old = &moving->old;
	const uint64_t *n = old->layout.number;
	uint64_t slot, cpu;

	for (slot = 0; slot < n[LAYOUT_SLOTS]; slot++) {
		uint64_t at = slot * n[LAYOUT_SLOT_SIZE], where = word_at(old->places, at + n[LAYOUT_SLOT_WHERE]), count = 0;
		uint128_t sum = (uint128_t)old->carries[slot] << 64;

		/* Programs that were killed while they filled a slot counted elsewhere, or nowhere. */
		if (!where || where & PM_WHERE_BUSY)
			continue;
		for (cpu = 0; cpu < n[LAYOUT_CPUS]; cpu++) {
			uint64_t cell = (cpu * n[LAYOUT_SLOTS] + slot) * n[LAYOUT_CELL_SIZE];

			count += word_at(old->cells, cell + n[LAYOUT_CELL_COUNT]);
			sum += word_at(old->cells, cell + n[LAYOUT_CELL_SUM]);
		}
		if (old->carried) {
			count += old->carried[slot].count;
			sum += (uint128_t)old->carried[slot].high << 64 | old->carried[slot].sum;
		}
		if (count)
			cell_move(moving, word_at(old->places, at + n[LAYOUT_SLOT_HASH]), where, count, sum);
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
	int err = old_open(set, &moving->old);

	if (!err)
		err = services_move(moving);
	if (!err)
		err = series_move(moving);
	if (!err) {
		cells_move(moving);
		drops_move(moving);
	}
	renamed_free(moving);
	old_close(&moving->old);
	return err;
}

static int totals_move(struct handover *handover, const struct pins *pins, struct kernel *kernel)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct moving moving = { .handover = handover, .kernel = kernel };
	size_t size = kernel_carried_entries(kernel) * sizeof(struct pm_carried), i;
	size_t taken_size = PM_MAX_SERVICES * sizeof(struct pm_taken);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "carried", 4, sizeof(struct pm_carried), kernel_carried_entries(kernel), &opts);
	int err = fd < 0 ? -errno : 0;
	void *carried = err ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	void *taken = mmap(NULL, taken_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(kernel->skeleton->maps.taken), 0);

	moving.next_id = numbers_map(kernel->skeleton->maps.next_id);
	moving.vacant = numbers_map(kernel->skeleton->maps.vacant);
	moving.carried = carried;
	moving.taken = taken;
	if (!err && (carried == MAP_FAILED || taken == MAP_FAILED || !moving.next_id || !moving.vacant))
		err = -ENOMEM;
	for (i = 0; i < handover->count && !err; i++)
		err = old_move(&moving, &handover->set[i]);
	if (!err)
		err = kernel_carried_map(kernel, fd);
	/* From here on the totals are in the new set, whole. */
	if (!err)
		err = pins_map_late(pins, "carried", fd);
	if (carried != MAP_FAILED)
		(void)munmap(carried, size);
	if (taken != MAP_FAILED)
		(void)munmap(taken, taken_size);
	if (moving.next_id)
		(void)munmap(moving.next_id, PM_PAGE);
	if (moving.vacant)
		(void)munmap(moving.vacant, PM_PAGE);
	if (fd >= 0)
		(void)close(fd);
	return err;
}

int handover_finish(struct handover *handover, const struct pins *pins, struct kernel *kernel,
		    int (*barrier)(const struct kernel *kernel))
{
	volatile uint64_t *turn = (volatile uint64_t *)&kernel->skeleton->data_turn->turn;
	size_t i;
	int err;

	if (!pins->persistent || (*turn == pins->generation && !handover->count))
		return 0;
	err = handover->count ? barrier(kernel) : 0;
	__atomic_store_n(turn, pins->generation | (handover->count ? PM_TURN_BOTH : 0), __ATOMIC_SEQ_CST);
	for (i = 0; i < handover->count; i++)
		if (pins_set_detach(&handover->set[i]))
			log_message(LOG_WARN, "run: links of '%s' are still in the kernel: another process has them open; 'bpftool link' says "
				    "which; they count nothing any more", handover->set[i].path);
	if (handover->count && !err)
		err = barrier(kernel);
	if (!err && handover->count)
		err = totals_move(handover, pins, kernel);
	/* Broken off, as by a kill: the next agent has both sets, and makes one of them. */
	if (pins_short(err))
		return err;
	marks_clear(fd_of(kernel->skeleton->maps.marks));
	__atomic_store_n(turn, pins->generation, __ATOMIC_SEQ_CST);
	for (i = 0; i < handover->count; i++) {
		if (err)
			aside(pins, handover->set[i].path);
		else
			(void)pins_set_remove(&handover->set[i]);
	}
	return err;
}
