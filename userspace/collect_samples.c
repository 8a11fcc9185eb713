/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collect_samples.c - what the kernel and the processes have, as samples.
 *
 * Consumes a snapshot and its totals (snapshot.c, ledger.c), names of series (names.c) and the processes' level tables
 * (level.c, levels.c); produces the samples of one collection, and tells cost.c and life.c who counted and who lives. What
 * the agent adds of its own, and folding them, is collect.c's.
 */
#include "collector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "level.h"
#include "log.h"

struct sample *collector_room(struct collector *collector, size_t more)
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
	struct sample *sample = collector_room(collector, 1);
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
	    (collector_lives(collector) && lives_hits(collector->lives, sample->resource, hits)))
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
int collector_kernel_samples(struct collector *collector)
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
	struct level_room room;
	char line[1024];
	long count;
	int err;

	arena_reset(collector->scratch);
	count = level_read(process, loaded, collector->scratch, &room, &level);
	/* Gone, or unloaded, since it was looked at: so is its level. */
	if (count == -ESRCH || count == -EFAULT)
		return 0;
	if (count < 0) {
		log_message(LOG_WARN, "process %d: its levels cannot be read: %s; run with CAP_SYS_PTRACE", process->pid,
			    strerror((int)-count));
		return count == -ENOMEM ? -ENOMEM : 0;
	}
	lost_levels(process, loaded, level, (size_t)count, self);
	if (level_headroom_table(collector->level_headroom, process, loaded->object, &room, level, (size_t)count, line, sizeof(line)))
		log_message(LOG_WARN, "%s", line);
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
	sample = collector_room(collector, count);
	if (!sample)
		return -ENOMEM;
	levels_samples(collector->levels, sample);
	collector->count += count;
	return 0;
}

/* A counter without labels is 0 from its attach on, so that its first burst is an increase. */
static int zero_samples(struct collector *collector, const struct process *process, const struct object *object)
{
	struct sample *sample = collector_room(collector, object->descriptors.count);
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

int collector_process_samples(struct collector *collector, const struct discovery *discovery, struct self *self)
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
		if (collector_lives(collector) && lives_alive(collector->lives, process->resource))
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
