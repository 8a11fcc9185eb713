/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collect.c - gather samples from everywhere and fold them.
 *
 * Consumes the kernel's maps (snapshot.c, ledger.c, names.c), the processes' level tables (level.c, levels.c), what was seen
 * before (seen.c) and the agent's own counters (self.c); produces points. Encoding and sending are for others.
 */
#include "collect.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cost.h"
#include "delta.h"
#include "forget.h"
#include "drops.h"
#include "headroom.h"
#include "history.h"
#include "ledger.h"
#include "level.h"
#include "levels.h"
#include "life.h"
#include "log.h"
#include "names.h"
#include "probe.skel.h"
#include "seen.h"

struct collector {
	const struct kernel *kernel;
	struct metrics *metrics;
	struct services *services;
	struct owners *owners;
	struct names *names;
	struct seen *seen;
	size_t seen_remembered;
	struct remember *remember;
	bool restored; /* and no collection yet */
	struct costs *costs;
	struct levels *levels;
	struct history *history;
	struct headroom *headroom;
	struct drops_told *drops_told;
	struct arena *scratch; /* of what is read of one process */
	bool levels_full; /* and said so */
	double hit_ns;
	bool exponential;
	const struct resource *agent;
	uint64_t agent_start_unix_ns;
	uint64_t metric_start_unix_ns[PM_MAX_METRICS];
	struct snapshot snapshot;
	struct ledger ledger;
	/* What is forgotten, and when; NULL: nothing ever. */
	struct lives *lives;
	struct forget *forget;
	uint64_t delay_ns, next_round_ns;
	bool viewing; /* somebody looks, between two exports: nobody's life is judged */
	bool delivered; /* something, since the last collector_forget() */
	uint64_t counted[PM_MAX_SERVICES]; /* hits by service id in the last collection */
	/* The samples of one collection; room is kept. */
	struct sample *sample;
	size_t count, room;
};

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
	collector->seen = seen_new();
	collector->costs = costs_new();
	collector->levels = levels_new();
	collector->history = history_new();
	collector->headroom = headroom_new();
	collector->drops_told = drops_told_new();
	collector->scratch = arena_new();
	collector->hit_ns = hit_ns;
	collector->exponential = exponential;
	collector->agent = agent;
	if (!collector->owners || !collector->names || !collector->seen || !collector->costs || !collector->levels ||
	    !collector->scratch || !collector->history || !collector->headroom || !collector->drops_told) {
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
	costs_free(collector->costs);
	levels_free(collector->levels);
	history_free(collector->history);
	headroom_free(collector->headroom);
	drops_told_free(collector->drops_told);
	arena_free(collector->scratch);
	lives_free(collector->lives);
	forget_free(collector->forget);
	snapshot_free(&collector->snapshot);
	ledger_free(&collector->ledger);
	free(collector->sample);
	free(collector);
}

int collector_metric_starts(struct collector *collector, const struct metric *metric, uint64_t now_unix_ns)
{
	if (!collector->metric_start_unix_ns[metric->id])
		collector->metric_start_unix_ns[metric->id] = now_unix_ns;
	return remember_metric(collector->remember, metric, collector->metric_start_unix_ns[metric->id]);
}

/* --- what an earlier agent left */

static void restore_metric(void *context, const struct metric *metric, uint64_t start_unix_ns)
{
	struct collector *collector = context;

	collector->metric_start_unix_ns[metric->id] = start_unix_ns;
	collector->restored = true;
}

static void restore_anew(void *context)
{
	const struct collector *collector = context;

	owners_anew(collector->owners);
	/* What was seen belongs to those names: 0 under one that is nobody's now would be a step back. */
	seen_clear(collector->seen);
}

static void restore_service(void *context, uint32_t service, const struct resource *resource)
{
	struct collector *collector = context;

	owners_set(collector->owners, service, resource);
}

static int restore_seen(void *context, const struct point *point)
{
	struct collector *collector = context;
	const struct points points = { .point = (struct point *)point, .count = 1 };

	if (metrics_hidden(collector->metrics, point->metric->id))
		return 0;
	if (collector->lives && lives_know(collector->lives, point->resource))
		return -ENOMEM;
	return seen_update(collector->seen, &points);
}

static int restore_spilled(void *context, uint32_t series)
{
	struct collector *collector = context;
	const struct raw_series raw = { .series = { .id = series } };

	return names_spill(collector->names, &raw);
}

int collector_restore(struct collector *collector)
{
	const struct remember_events events = {
		.metric = restore_metric,
		.anew = restore_anew,
		.service = restore_service,
		.seen = restore_seen,
		.spilled = restore_spilled,
		.context = collector,
	};
	const uint32_t which = PM_NEXT_SINCE;
	uint64_t since = 0;
	int err;

	/* Of a resource that has services the kernel knows better, owners_resolve(). The others start when something was
	 * forgotten last, as it may have been one of them; what was seen keeps its own start. */
	(void)bpf_map_lookup_elem(bpf_map__fd(collector->kernel->skeleton->maps.next_id), &which, &since);
	services_since(collector->services, since, true);
	err = remember_restore(collector->remember, services_hash(collector->services), &events);

	collector->seen_remembered = seen_count(collector->seen);
	return err;
}

/* Series that go on by themselves: before anybody is sent one, the next agent must know of it. */
static int remember_all_seen(struct collector *collector)
{
	size_t count = seen_count(collector->seen), i;
	struct sample *zero;

	if (count == collector->seen_remembered)
		return 0;
	zero = calloc(count, sizeof(*zero));
	if (!zero)
		return -ENOMEM;
	seen_samples(collector->seen, zero);
	for (i = collector->seen_remembered; i < count; i++)
		(void)remember_seen(collector->remember, &zero[i]); /* if there is no room, they end with this agent */
	collector->seen_remembered = count;
	free(zero);
	return 0;
}

int collector_services(struct collector *collector, const struct discovery *discovery)
{
	int err = snapshot_read_services(collector->kernel, &collector->snapshot);

	return err ? err : owners_resolve(collector->owners, &collector->snapshot, discovery);
}

/* Room for @more samples behind those there are. */
static struct sample *reserve(struct collector *collector, size_t more)
{
	size_t want = collector->count + more, room = collector->room ? collector->room : 1024;
	struct sample *grown;

	if (want > collector->room) {
		while (room < want)
			room *= 2;
		grown = realloc(collector->sample, room * sizeof(*grown));
		if (!grown)
			return NULL;
		collector->sample = grown;
		collector->room = room;
	}
	return collector->sample + collector->count;
}

static struct lives *lives_of(const struct collector *collector)
{
	return collector->viewing ? NULL : collector->lives;
}

/* When a stream of this resource's starts. */
static uint64_t start_of(const struct collector *collector, const struct resource *resource, const struct metric *metric)
{
	uint64_t start = collector->metric_start_unix_ns[metric->id];

	return resource && resource->since_unix_ns > start ? resource->since_unix_ns : start;
}

/* A run of cells of one series, all overflow or all not, all unnamed or all not. */
static int run_add(struct collector *collector, const struct raw_series *series, uint32_t service,
		   const struct metric *metric, const struct cell *cell, size_t count)
{
	struct sample *sample = reserve(collector, 1);
	const char *const *value;
	uint64_t hits = 0;
	size_t at;
	uint32_t i;

	if (!sample)
		return -ENOMEM;
	*sample = (struct sample){
		.resource = owners_get(collector->owners, service),
		.metric = metric,
		.cell = cell,
		.cell_count = count,
		.overflow = cell->where & PM_BUCKET_OVERFLOW,
	};
	if (!sample->resource)
		return 0; /* its service is settled by the next collection */
	sample->start_unix_ns = start_of(collector, sample->resource, metric);
	for (at = 0; at < count; at++)
		hits += cell[at].count;
	if (costs_add(collector->costs, sample->resource, hits) ||
	    (lives_of(collector) && lives_hits(collector->lives, sample->resource, hits)))
		return -ENOMEM;
	if (!sample->overflow && cell->where & PM_BUCKET_UNNAMED && (!series || names_spilled(collector->names, series)))
		sample->overflow = true;
	if (!sample->overflow) {
		int err = series ? names_get(collector->names, collector->kernel, series, metric, &value) : -ENOENT;

		if (err == -ENOENT) {
			/* Its label values could not be read so far. What it counted goes to the overflow series, and stays. */
			if (!(cell->where & PM_BUCKET_UNNAMED))
				return 0; /* the name came in after the series were read: next time */
			err = names_spill(collector->names, series);
			if (!err)
				(void)remember_spilled(collector->remember, series->series.id);
			sample->overflow = true;
			if (err)
				return err;
		} else if (err) {
			return err;
		} else {
			for (i = 0; i < metric->label_count; i++)
				sample->value[i] = value[i];
		}
	}
	collector->count++;
	return 0;
}

/* Cells and series are in the same order: one walk joins them. */
static int kernel_samples(struct collector *collector)
{
	const uint64_t flags = PM_BUCKET_UNNAMED | PM_BUCKET_OVERFLOW;
	const struct snapshot *snapshot = &collector->snapshot;
	size_t i, next, at = 0;
	int err;

	for (i = 0; i < snapshot->cell_count; i = next) {
		const struct pm_cell_key *key = &snapshot->cell[i].key;
		const struct raw_series *series = NULL;
		const struct metric *metric = metrics_get(collector->metrics, PM_WHERE_METRIC(key->where));

		for (next = i + 1; next < snapshot->cell_count; next++) {
			const struct pm_cell_key *other = &snapshot->cell[next].key;

			if (snapshot_order(key->where, key->hash, other->where, other->hash) ||
			    (key->where ^ other->where) & flags)
				break;
		}
		for (; at < snapshot->series_count; at++) {
			const struct pm_series_key *k = &snapshot->series[at].key;
			int order = snapshot_order(PM_WHERE(k->service, k->metric), k->hash, key->where, key->hash);

			if (!order)
				series = &snapshot->series[at];
			if (order >= 0)
				break;
		}
		if (!metric || metrics_hidden(collector->metrics, metric->id))
			continue;
		err = run_add(collector, series, PM_WHERE_SERVICE(key->where), metric, &collector->ledger.total[i], next - i);
		if (err)
			return err;
	}
	return 0;
}

/* Is this a child that still runs in its parent's memory: vfork before exec, CLONE_VM? */
static bool shares_memory(const struct discovery *discovery, const struct process *process)
{
	const struct process *parent = discover_find(discovery, process->parent);

	return parent && parent->loaded_count == process->loaded_count && level_same_memory(parent->pid, process->pid);
}

/* Has this metric an overflow slot among what was read of its table? Without one in a full table it loses updates. */
static bool overflows(const struct metric *metric, const struct level *level, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (level[i].metric == metric && level[i].overflow)
			return true;
	return false;
}

/* Updates that a full table had no room for. Said once per file, with the first metric that may be one of those. */
static void lost_levels(const struct process *process, const struct loaded *loaded, const struct level *level, size_t count,
			struct self *self)
{
	struct object *object = loaded->object;
	uint32_t lost = level_lost(process, loaded);
	const char *name = "?";
	size_t i;

	self->levels_lost += lost;
	if (!lost || object->lost_told)
		return;
	object->lost_told = true;
	for (i = object->descriptors.count; i-- > 0;)
		if (object->descriptors.descriptor[i].levels_address && object->metric[i] &&
		    !overflows(object->metric[i], level, count))
			name = object->metric[i]->name;
	log_message(LOG_WARN, "'%s', process %d: %u updates of levels such as '%s' " DROPS_LOG_LEVELS "; "
		    "fewer label values, or fewer level metrics in this file", object->path, process->pid, lost, name);
}

/* What one process has, among what all have. */
static int process_levels(struct collector *collector, const struct process *process, const struct loaded *loaded,
			  struct self *self)
{
	const struct level *level;
	long count;
	int err;

	arena_reset(collector->scratch);
	count = level_read(process, loaded, collector->scratch, &level);
	/* Gone, or unloaded, since it was looked at: so is its level. */
	if (count == -ESRCH || count == -EFAULT)
		return 0;
	if (count < 0) {
		log_message(LOG_WARN, "process %d: its levels cannot be read: %s; run with CAP_SYS_PTRACE", process->pid,
			    strerror((int)-count));
		return count == -ENOMEM ? -ENOMEM : 0;
	}
	lost_levels(process, loaded, level, (size_t)count, self);
	err = levels_add(collector->levels, process->resource, level, (size_t)count, collector->metric_start_unix_ns);
	if (err == -ENOSPC && !collector->levels_full)
		log_message(LOG_WARN, "levels: more than %d overflow series on this host; some levels of service '%s' are left out; "
			    "fewer distinct OTEL_RESOURCE_ATTRIBUTES", LEVELS_SERIES, service_name(process->resource));
	collector->levels_full |= err == -ENOSPC;
	return err == -ENOMEM ? err : 0;
}

static int level_samples(struct collector *collector)
{
	size_t count = levels_count(collector->levels);
	struct sample *sample;

	if (!count)
		return 0;
	sample = reserve(collector, count);
	if (!sample)
		return -ENOMEM;
	levels_samples(collector->levels, sample);
	collector->count += count;
	return 0;
}

/* A counter without labels is 0 from its attach on, so that its first burst is an increase. */
static int zero_samples(struct collector *collector, const struct process *process, const struct object *object)
{
	struct sample *sample = reserve(collector, object->descriptors.count);
	size_t i;

	if (!sample)
		return -ENOMEM;
	for (i = 0; i < object->descriptors.count; i++) {
		const struct metric *metric = object->metric[i];

		if (!metric || metric->kind != PROBEMETER_KIND_COUNTER || metric->label_count || !object->attachment)
			continue;
		*sample++ = (struct sample){
			.resource = process->resource,
			.metric = metric,
			.start_unix_ns = start_of(collector, process->resource, metric),
		};
		collector->count++;
	}
	return 0;
}

static int process_samples(struct collector *collector, const struct discovery *discovery, struct self *self)
{
	struct process *process;
	int err = 0;
	size_t j;

	self->processes = 0;
	self->levels_lost = 0;
	levels_begin(collector->levels);
	for (process = discovery->process; process && !err; process = process->hh.next) {
		if (!owners_of_process(collector->owners, process))
			continue;
		self->processes++;
		if (lives_of(collector) && lives_alive(collector->lives, process->resource))
			return -ENOMEM;
		if (shares_memory(discovery, process))
			continue;
		for (j = 0; j < process->loaded_count && !err; j++) {
			if (!process->loaded[j].object->metric)
				continue; /* found when memory was short: soon */
			err = zero_samples(collector, process, process->loaded[j].object);
			if (!err && process->loaded[j].object->has_levels)
				err = process_levels(collector, process, &process->loaded[j], self);
		}
	}
	return err ? err : level_samples(collector);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static uint64_t monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* Hits by service id. */
static void count_hits(const struct snapshot *snapshot, uint64_t *ret)
{
	size_t i;

	memset(ret, 0, PM_MAX_SERVICES * sizeof(*ret));
	for (i = 0; i < snapshot->cell_count; i++)
		ret[PM_WHERE_SERVICE(snapshot->cell[i].key.where) & (PM_MAX_SERVICES - 1)] += snapshot->cell[i].total.count;
}

/* Who is due ends, unless the kernel knows of a process that lives. */
static int judge(struct collector *collector)
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

/* Points of resources that end say so, and so does what the agent tells of them. */
static void mark_ends(struct collector *collector, struct points *points)
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

static int collect(struct collector *collector, const struct discovery *discovery, struct self *self,
		   const struct merge_rule *rule, struct arena *arena, struct points *ret)
{
	uint64_t now_unix_ns = rule->time_unix_ns;
	struct points points;
	struct sample *sample;
	size_t own, costs;
	int err;

	if (!collector->agent_start_unix_ns)
		collector->agent_start_unix_ns = now_unix_ns;
	collector->count = 0;
	costs_begin(collector->costs);
	err = snapshot_read(collector->kernel, &collector->snapshot);
	if (err)
		return err;
	err = owners_resolve(collector->owners, &collector->snapshot, discovery);
	if (err)
		return err;
	err = ledger_update(&collector->ledger, collector->snapshot.cell, collector->snapshot.cell_count);
	if (err)
		return err;
	if (!collector->viewing)
		count_hits(&collector->snapshot, collector->counted);
	if (lives_of(collector))
		lives_begin(collector->lives, monotonic_ns());
	err = kernel_samples(collector);
	if (!err && collector->restored)
		costs_rebase(collector->costs);
	collector->restored = false;
	if (!err)
		err = process_samples(collector, discovery, self);
	if (!err && lives_of(collector))
		err = judge(collector);
	if (err)
		return err;
	self->services = collector->snapshot.service_count;
	self->series = collector->snapshot.series_count;
	self->cells = collector->snapshot.cell_count;
	self_measure(self, collector->kernel);
	self->dropped_start_unix_ns = journal_header(&collector->kernel->journal)->start_unix_ns;
	own = self_count(collector->metrics, collector->snapshot.drop);
	costs = costs_count(collector->costs);
	sample = reserve(collector, seen_count(collector->seen) + own + costs);
	if (!sample)
		return -ENOMEM;
	seen_samples(collector->seen, sample);
	sample += seen_count(collector->seen);
	err = self_samples(self, collector->metrics, collector->snapshot.drop, collector->agent,
			   collector->agent_start_unix_ns, arena, sample);
	if (!err)
		err = costs_samples(collector->costs, collector->hit_ns, collector->agent, collector->agent_start_unix_ns,
				    arena, sample + own);
	if (err)
		return err;
	collector->count += seen_count(collector->seen) + own + costs;
	err = merge_fold(collector->sample, collector->count, rule, arena, &points);
	if (!err)
		err = seen_update(collector->seen, &points);
	if (!err)
		err = remember_all_seen(collector);
	if (err)
		return err;
	if (collector->lives)
		mark_ends(collector, &points);
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
	if (forget_recover(collector->forget) && !snapshot_read(collector->kernel, &collector->snapshot))
		(void)forget_give_back(collector->forget, &collector->snapshot, gone);
	collector->snapshot.made = 0;
	return 0;
}

void collector_sent(struct collector *collector, const struct points *points)
{
	if (collector->lives)
		(void)lives_sent(collector->lives, points);
}

void collector_failed(struct collector *collector, size_t first, size_t count)
{
	if (collector->lives)
		lives_failed(collector->lives, first, count);
}

void collector_delivered(struct collector *collector)
{
	if (collector->lives)
		lives_delivered(collector->lives);
	collector->delivered = true;
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
	uint64_t now = monotonic_ns();
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
		err = snapshot_read(collector->kernel, snapshot);
	if (err) {
		memcpy(farewell->back, farewell->id, sizeof(farewell->back));
	} else {
		count_hits(snapshot, counted);
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
		costs_forget(collector->costs, over);
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
	struct timespec clock;
	uint64_t now_unix_ns;
	int err;

	if (!collector->lives || !farewell_is_due(collector, &round))
		return 0;
	farewell = calloc(1, sizeof(*farewell));
	if (!farewell)
		return -ENOMEM;
	/* Before the services are read: what comes after this look is not yet known, and starts no earlier. */
	(void)clock_gettime(CLOCK_REALTIME, &clock);
	now_unix_ns = (uint64_t)clock.tv_sec * 1000000000ull + (uint64_t)clock.tv_nsec;
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
	       headroom_next(collector->headroom, &source, ret, size);
}

uint64_t collector_latest_start(const struct collector *collector)
{
	uint64_t latest = 0;
	size_t i;

	for (i = 0; i < PM_MAX_METRICS; i++)
		if (collector->metric_start_unix_ns[i] > latest)
			latest = collector->metric_start_unix_ns[i];
	return latest;
}

const struct history *collector_history(const struct collector *collector)
{
	return collector->history;
}
