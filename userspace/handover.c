/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover.c - an agent of another schema takes over, without a hit lost or counted twice; so does one whose journal is worn.
 *
 * Consumes pinned sets of any schema whose journal says how to read them (layout.h); produces a set of this build's own
 * that goes on with their totals, ids and start times, and their removal. Here is whose turn it is, and what becomes of the
 * sets; what is in them is read by handover_set.c, copied by handover_copy.c (2) and added up by handover_move.c (5).
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
 * less room, a series that has none goes to the metric's overflow series, all buckets of a histogram together, and so do its
 * later events.
 */
#include "handover.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../bpf/maps.h"
#include "handover_move.h"
#include "handover_set.h"
#include "log.h"
#include "probe.skel.h"
#include "remember.h"

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
	struct old_set old;
	size_t i;
	int err;

	for (i = 0; i < sets->count;) {
		bool own = sets->set[i].generation && !strcmp(sets->set[i].schema, schema);

		err = sets->set[i].generation ? old_set_open(&sets->set[i], &old) : -EBADMSG;
		if (!err)
			old_set_close(&old);
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
		err = old_set_has_carried(&sets->set[sets->count - 1]);
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
	bool worn = !old_set_journal(set, &journal) && remember_worn(&journal);

	old_set_journal_close(&journal);
	return worn;
}

/* 0 if it cannot be read. */
static uint64_t salt_of(const struct pins_set *set)
{
	struct journal journal = { 0 };
	uint64_t salt = old_set_journal(set, &journal) ? 0 : journal_header(&journal)->salt;

	old_set_journal_close(&journal);
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
		err = handover_move(handover, pins, kernel);
	/* Broken off, as by a kill: the next agent has both sets, and makes one of them. */
	if (pins_short(err))
		return err;
	marks_clear(bpf_map__fd(kernel->skeleton->maps.marks));
	__atomic_store_n(turn, pins->generation, __ATOMIC_SEQ_CST);
	for (i = 0; i < handover->count; i++) {
		if (err)
			aside(pins, handover->set[i].path);
		else
			(void)pins_set_remove(&handover->set[i]);
	}
	return err;
}
