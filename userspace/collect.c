/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collect.c - gather samples from everywhere and fold them.
 *
 * Consumes samples of the kernel and the processes (collect_samples.c), what was seen before (seen.c) and the agent's own
 * counters (self.c, cost.c); produces points. What goes on from an earlier agent is collect_restore.c's, whose series end
 * and what is given back then is collect_forget.c's. Encoding and sending are for others.
 */
#include "collector.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"

struct collector *collector_new(const struct kernel *kernel, struct metrics *metrics, struct services *services,
				struct remember *remember, const struct resource *agent, double hit_ns, bool exponential)
{
	struct collector *collector = calloc(1, sizeof(*collector));

	if (!collector)
		return NULL;
	collector->kernel = kernel;
	collector->metrics = metrics;
	collector->services = services;
	collector->remember = remember;
	collector->owners = owners_new(kernel, services, metrics, remember);
	collector->names = names_new();
	collector->seen = seen_new(SEEN_GOES_ON);
	collector->ends = seen_new(SEEN_ENDS);
	collector->costs = costs_new();
	collector->levels = levels_new();
	collector->history = history_new();
	collector->headroom = headroom_new();
	collector->level_headroom = level_headroom_new();
	collector->drops_told = drops_told_new();
	collector->scratch = arena_new();
	collector->hit_ns = hit_ns;
	collector->exponential = exponential;
	collector->agent = agent;
	if (!collector->owners || !collector->names || !collector->seen || !collector->ends || !collector->costs ||
	    !collector->levels || !collector->scratch || !collector->history || !collector->headroom || !collector->level_headroom ||
	    !collector->drops_told) {
		collector_free(collector);
		return NULL;
	}
	return collector;
}

void collector_choose(struct collector *collector, const struct rules *rules, bool per_process)
{
	owners_choose(collector->owners, rules, per_process);
}

bool collector_counts(struct collector *collector, struct process *process)
{
	return owners_of_process(collector->owners, process) != NULL;
}

void collector_free(struct collector *collector)
{
	if (!collector)
		return;
	owners_free(collector->owners);
	names_free(collector->names);
	seen_free(collector->seen);
	seen_free(collector->ends);
	costs_free(collector->costs);
	levels_free(collector->levels);
	history_free(collector->history);
	headroom_free(collector->headroom);
	level_headroom_free(collector->level_headroom);
	drops_told_free(collector->drops_told);
	arena_free(collector->scratch);
	lives_free(collector->lives);
	forget_free(collector->forget);
	snapshot_free(&collector->snapshot);
	ledger_free(&collector->ledger);
	free(collector->sample);
	free(collector);
}

int collector_services(struct collector *collector, const struct discovery *discovery)
{
	int err = snapshot_read_services(collector->kernel, &collector->snapshot);

	return err ? err : owners_resolve(collector->owners, &collector->snapshot, discovery);
}

static int collect(struct collector *collector, const struct discovery *discovery, struct self *self,
		   const struct merge_rule *rule, struct arena *arena, struct points *ret)
{
	uint64_t now_unix_ns = rule->time_unix_ns;
	struct points points;
	struct sample *sample;
	size_t own, costs, seen, ends;
	int err;

	if (!collector->agent_start_unix_ns)
		collector->agent_start_unix_ns = now_unix_ns;
	collector->count = 0;
	costs_begin(collector->costs);
	err = snapshot_read(collector->kernel, metrics_count(collector->metrics), &collector->snapshot);
	if (err)
		return err;
	err = owners_resolve(collector->owners, &collector->snapshot, discovery);
	if (err)
		return err;
	err = ledger_update(&collector->ledger, collector->snapshot.cell, collector->snapshot.cell_count);
	if (err)
		return err;
	if (!collector->viewing)
		snapshot_hits(&collector->snapshot, collector->counted);
	if (collector_lives(collector))
		lives_begin(collector->lives, clock_ns(CLOCK_MONOTONIC));
	err = collector_kernel_samples(collector);
	if (!err && collector->restored)
		costs_rebase(collector->costs);
	collector->restored = false;
	if (!err)
		err = collector_process_samples(collector, discovery, self);
	if (!err && collector_lives(collector))
		err = collector_judge(collector);
	if (err)
		return err;
	self->services = collector->snapshot.service_count;
	self->series = collector->snapshot.series_count;
	self->cells = collector->snapshot.cell_count;
	self_measure(self, collector->kernel);
	self->dropped_start_unix_ns = journal_header(&collector->kernel->journal)->start_unix_ns;
	own = self_count(collector->metrics, collector->snapshot.drop);
	costs = costs_count(collector->costs);
	seen = seen_count(collector->seen);
	ends = seen_count(collector->ends);
	sample = collector_room(collector, seen + ends + own + costs);
	if (!sample)
		return -ENOMEM;
	seen_samples(collector->seen, sample);
	sample += seen;
	seen_samples(collector->ends, sample);
	sample += ends;
	err = self_samples(self, collector->metrics, collector->snapshot.drop, collector->agent,
			   collector->agent_start_unix_ns, arena, sample);
	if (!err)
		err = costs_samples(collector->costs, collector->hit_ns, collector->agent, collector->agent_start_unix_ns,
				    arena, sample + own);
	if (err)
		return err;
	collector->count += seen + ends + own + costs;
	err = merge_fold(collector->sample, collector->count, rule, arena, &points);
	if (!err)
		err = seen_update(collector->seen, &points);
	/* Who looks is told that a gauge is no more by its absence. */
	if (!err && !collector->viewing)
		err = seen_update(collector->ends, &points);
	if (!err)
		err = collector_remember_seen(collector);
	if (err)
		return err;
	if (collector->lives)
		collector_mark_ends(collector, &points);
	history_add(collector->history, &points, clock_ns(CLOCK_BOOTTIME));
	*ret = points;
	return 0;
}

int collector_points(struct collector *collector, const struct discovery *discovery, struct self *self,
		     uint64_t now_unix_ns, struct arena *arena, struct points *ret)
{
	const struct merge_rule rule = { .time_unix_ns = now_unix_ns, .exponential = collector->exponential };

	return collect(collector, discovery, self, &rule, arena, ret);
}

int collector_view(struct collector *collector, const struct discovery *discovery, struct self *self,
		   uint64_t now_unix_ns, struct arena *arena, struct points *ret)
{
	const struct merge_rule rule = { .time_unix_ns = now_unix_ns };
	size_t i, count = 0;
	int err;

	collector->viewing = true;
	err = collect(collector, discovery, self, &rule, arena, ret);
	collector->viewing = false;
	/* What has ended is not there. */
	for (i = 0; !err && i < ret->count; i++)
		if (!ret->point[i].ended)
			ret->point[count++] = ret->point[i];
	if (!err)
		ret->count = count;
	return err;
}

const struct resource *collector_over(struct collector *collector, uint64_t elapsed_ns, unsigned max_percent,
				      double *ret_percent)
{
	return costs_over(collector->costs, collector->hit_ns, elapsed_ns, max_percent, ret_percent);
}

bool collector_warning(struct collector *collector, char *ret, size_t size)
{
	const struct headroom_source source = {
		.kernel = collector->kernel,
		.snapshot = &collector->snapshot,
		.metrics = collector->metrics,
		.owners = collector->owners,
		.names = collector->names,
	};

	return drops_next(collector->drops_told, collector->metrics, collector->snapshot.drop, ret, size) ||
	       headroom_next(collector->headroom, &source, ret, size) ||
	       level_headroom_next(collector->level_headroom, collector->levels, ret, size);
}

const struct history *collector_history(const struct collector *collector)
{
	return collector->history;
}
