/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collect_forget.c - the end of services of which nobody lives, from the collection that says so to the maps' room.
 *
 * Consumes signs of life and what became of exports (life.c), and the kernel's word on who lives (forget.c); produces
 * points that say that their series end, and, once those were delivered, a host on which nothing is known of these services:
 * not in the maps, the journal, nor in anything of this process. When that is due is life.c's, how the maps give back what
 * programs may still be using is forget.c's.
 */
#include "collector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "delta.h"

int collector_forgets(struct collector *collector, uint64_t delay_ns)
{
	int err = forget_new(collector->kernel, &collector->forget);
	bool gone[PM_MAX_SERVICES];

	if (err)
		return err;
	collector->lives = lives_new(delay_ns);
	if (!collector->lives) {
		forget_free(collector->forget);
		collector->forget = NULL;
		return -ENOMEM;
	}
	collector->delay_ns = delay_ns;
	/* What was given back halfway by an agent that was killed. */
	if (forget_recover(collector->forget) &&
	    !snapshot_read(collector->kernel, metrics_count(collector->metrics), &collector->snapshot))
		(void)forget_give_back(collector->forget, &collector->snapshot, gone);
	collector->snapshot.made = 0;
	return 0;
}

void collector_sent(struct collector *collector, const struct points *points)
{
	seen_sent(collector->ends, points);
	if (collector->lives)
		(void)lives_sent(collector->lives, points);
}

void collector_failed(struct collector *collector, size_t first, size_t count)
{
	seen_failed(collector->ends, first, count);
	if (collector->lives)
		lives_failed(collector->lives, first, count);
}

void collector_delivered(struct collector *collector)
{
	seen_delivered(collector->ends);
	if (collector->lives)
		lives_delivered(collector->lives);
	collector->delivered = true;
}

struct lives *collector_lives(const struct collector *collector)
{
	return collector->viewing ? NULL : collector->lives;
}

int collector_judge(struct collector *collector)
{
	bool held[PM_MAX_SERVICES];
	const struct resource *due;
	uint32_t id;

	for (id = 1; id < PM_MAX_SERVICES; id++) {
		due = owners_get(collector->owners, id);
		if (due && lives_know(collector->lives, due))
			return -ENOMEM;
	}
	lives_turn(collector->lives);
	/* If it cannot be said who lives, the next collection tries again. */
	if (lives_due(collector->lives, NULL) && !forget_living(collector->forget, held)) {
		for (id = 1; id < PM_MAX_SERVICES; id++)
			if (held[id] && owners_get(collector->owners, id))
				lives_wait(collector->lives, owners_get(collector->owners, id));
		for (due = NULL; (due = lives_due(collector->lives, due));)
			lives_end(collector->lives, due);
	}
	for (due = NULL; (due = lives_ends(collector->lives, due));)
		costs_end(collector->costs, due);
	return 0;
}

void collector_mark_ends(struct collector *collector, struct points *points)
{
	const struct resource *last = NULL;
	bool ending = false;
	size_t i;

	for (i = 0; i < points->count; i++) {
		struct point *point = &points->point[i];

		if (point->resource != last)
			ending = lives_ending(collector->lives, point->resource);
		last = point->resource;
		if (ending || (point->metric == costs_metric() && costs_ends(collector->costs, point->value[0])))
			merge_end(point);
	}
}

/* What one collector_forget() works on, by service id. */
struct farewell {
	bool id[PM_MAX_SERVICES]; /* all of them */
	bool back[PM_MAX_SERVICES]; /* those that live after all */
	const struct resource *resource[PM_MAX_SERVICES]; /* NULL: nobody's */
};

/* Excluded services and orphans have no series that could end: they are tried now and then. */
#define ROUND_NS 10000000000ull

static bool farewell_is_due(struct collector *collector, bool *ret_round)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	bool over = collector->delivered && lives_over(collector->lives, NULL);

	collector->delivered = false;
	*ret_round = now >= collector->next_round_ns;
	if (*ret_round)
		collector->next_round_ns = now + (collector->delay_ns > ROUND_NS ? collector->delay_ns : ROUND_NS);
	return over || *ret_round;
}

/* Who has a process again lives. */
static void farewell_revive(struct collector *collector, const struct discovery *discovery)
{
	struct process *process;

	for (process = discovery->process; process; process = process->hh.next) {
		const struct resource *resource = owners_of_process(collector->owners, process);

		if (resource)
			lives_wait(collector->lives, resource);
	}
}

/* Choose the services to be closed. Return: 0 or -errno. */
static int farewell_choose(struct collector *collector, struct farewell *farewell, bool round)
{
	bool kept[PM_MAX_SERVICES], held[PM_MAX_SERVICES];
	const struct resource *over;
	uint32_t id;
	int err;

	for (id = 1; id < PM_MAX_SERVICES; id++) {
		kept[id] = owners_settled(collector->owners, id);
		farewell->id[id] = round && owners_excludes(collector->owners, id);
	}
	if (round)
		forget_orphans(collector->forget, collector->snapshot.service, collector->snapshot.service_count, kept,
			       farewell->id);
	/* Who is seen to live is not even tried. */
	err = forget_living(collector->forget, held);
	if (err)
		return err;
	for (id = 1; id < PM_MAX_SERVICES; id++)
		farewell->id[id] &= !held[id];
	for (over = NULL; (over = lives_over(collector->lives, over));)
		for (id = 1; id < PM_MAX_SERVICES; id++)
			if (owners_get(collector->owners, id) == over) {
				farewell->id[id] = true;
				farewell->resource[id] = over;
			}
	return 0;
}

/* Put back those in @farewell->back, with all that share their resource: its series go on as a whole. */
static void farewell_put_back(struct collector *collector, struct farewell *farewell)
{
	uint32_t id;

	for (id = 1; id < PM_MAX_SERVICES; id++)
		if (farewell->id[id] && farewell->back[id] && farewell->resource[id])
			lives_wait(collector->lives, farewell->resource[id]);
	for (id = 1; id < PM_MAX_SERVICES; id++) {
		const struct resource *resource = farewell->resource[id];

		if (!farewell->id[id] || !(farewell->back[id] || (resource && !lives_ending(collector->lives, resource))))
			continue;
		forget_reopen(collector->forget, id);
		farewell->id[id] = false;
	}
}

/* From the keys to the last look at the numbers. Return: 0 or -errno, and then all is as before. */
static int farewell_close(struct collector *collector, struct farewell *farewell, uint64_t now_unix_ns)
{
	struct snapshot *snapshot = &collector->snapshot;
	uint64_t counted[PM_MAX_SERVICES];
	uint32_t id;
	size_t i;
	int err;

	err = forget_close(collector->forget, farewell->id, snapshot->service, snapshot->service_count, now_unix_ns);
	snapshot->made = 0;
	if (!err)
		err = forget_living(collector->forget, farewell->back);
	if (!err) {
		farewell_put_back(collector, farewell);
		err = forget_fence(collector->forget);
	}
	if (!err)
		err = snapshot_read(collector->kernel, metrics_count(collector->metrics), snapshot);
	if (err) {
		memcpy(farewell->back, farewell->id, sizeof(farewell->back));
	} else {
		snapshot_hits(snapshot, counted);
		for (id = 1; id < PM_MAX_SERVICES; id++)
			farewell->back[id] = counted[id] != collector->counted[id] && !owners_excludes(collector->owners, id);
		for (i = 0; i < snapshot->service_count; i++)
			farewell->back[snapshot->service[i].service.id & (PM_MAX_SERVICES - 1)] = true; /* no orphan */
	}
	farewell_put_back(collector, farewell);
	snapshot->made = 0;
	return err;
}

/* What the journal has of them. First, so that no agent finds there what the maps do not have any more. Return: -ENOMEM:
 * then nothing was forgotten. */
static int farewell_journal(struct collector *collector)
{
	const struct resource *over, **list;
	bool gone[PM_MAX_SERVICES];
	size_t count = 0;

	for (over = NULL; (over = lives_over(collector->lives, over));)
		count++;
	list = calloc(count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	count = 0;
	for (over = NULL; (over = lives_over(collector->lives, over));)
		list[count++] = over;
	forget_closed(collector->forget, gone);
	remember_gone(collector->remember, gone, list, count);
	free(list);
	return 0;
}

/* Everything that maps and this process know of the services that are closed, and of the resources whose end was told. */
static long farewell_drop(struct collector *collector, struct delta *delta, char *first, size_t first_size)
{
	const struct resource *over, *next;
	bool gone[PM_MAX_SERVICES];
	long count = 0;
	uint32_t id;

	/* What could not be freed for want of memory stays closed, for the next call. */
	(void)forget_give_back(collector->forget, &collector->snapshot, gone);
	ledger_forget(&collector->ledger, gone);
	names_forget(collector->names, gone);
	headroom_forget(collector->headroom, gone);
	for (id = 1; id < PM_MAX_SERVICES; id++)
		if (gone[id]) {
			owners_forget(collector->owners, id);
			collector->counted[id] = 0;
		}
	for (over = lives_over(collector->lives, NULL); over; over = next) {
		next = lives_over(collector->lives, over);
		if (!count++)
			(void)snprintf(first, first_size, "%s", service_name(over));
		seen_forget(collector->seen, over);
		seen_forget(collector->ends, over);
		costs_forget(collector->costs, over);
		level_headroom_forget(collector->level_headroom, over);
		history_forget(collector->history, over);
		if (delta)
			delta_forget(delta, over);
		lives_forget(collector->lives, over);
		services_drop(collector->services, over);
	}
	collector->seen_remembered = seen_count(collector->seen); /* as each collection leaves it */
	return count;
}

long collector_forget(struct collector *collector, const struct discovery *discovery, struct delta *delta, char *first,
		      size_t first_size)
{
	bool round, nothing = false;
	struct farewell *farewell;
	uint64_t now_unix_ns;
	int err;

	if (!collector->lives || !farewell_is_due(collector, &round))
		return 0;
	farewell = calloc(1, sizeof(*farewell));
	if (!farewell)
		return -ENOMEM;
	/* Before the services are read: what comes after this look is not yet known, and starts no earlier. */
	now_unix_ns = clock_ns(CLOCK_REALTIME);
	err = collector_services(collector, discovery);
	if (!err) {
		farewell_revive(collector, discovery);
		err = farewell_choose(collector, farewell, round);
	}
	if (!err)
		nothing = !memchr(farewell->id, true, sizeof(farewell->id)) && !lives_over(collector->lives, NULL);
	if (!err && !nothing) {
		err = farewell_close(collector, farewell, now_unix_ns);
		if (!err && farewell_journal(collector)) {
			err = -ENOMEM;
			memcpy(farewell->back, farewell->id, sizeof(farewell->back));
			farewell_put_back(collector, farewell);
		}
	}
	free(farewell);
	if (err || nothing)
		return err;
	services_since(collector->services, now_unix_ns, false);
	return farewell_drop(collector, delta, first, first_size);
}
