/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collect_restore.c - what one agent's collections leave to the next agent's.
 *
 * Consumes what remember.c kept: starts of streams, services, series that were seen or had no name; produces a collector
 * that goes on with them, and what is to be kept from here on. How it is kept is remember.c's.
 */
#include "collector.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "probe.skel.h"

int collector_metric_starts(struct collector *collector, const struct metric *metric, uint64_t now_unix_ns)
{
	if (!collector->metric_start_unix_ns[metric->id])
		collector->metric_start_unix_ns[metric->id] = now_unix_ns;
	return remember_metric(collector->remember, metric, collector->metric_start_unix_ns[metric->id]);
}

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

int collector_remember_seen(struct collector *collector)
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

uint64_t collector_latest_start(const struct collector *collector)
{
	uint64_t latest = 0;
	size_t i;

	for (i = 0; i < PM_MAX_METRICS; i++)
		if (collector->metric_start_unix_ns[i] > latest)
			latest = collector->metric_start_unix_ns[i];
	return latest;
}
