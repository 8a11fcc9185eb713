/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * headroom.c - find services and metrics that come near a limit.
 *
 * Consumes a snapshot and the limits that the maps were loaded with; produces warnings in words. Past a limit nothing is
 * lost, new label sets only share a series: so this is said while there is time to do something about it. What levels take
 * is level_headroom.c's.
 */
#include "headroom.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.skel.h"
#include "../bpf/maps.h"

#define LABELS_NAMED 3

enum limit { LIMIT_CARDINALITY, LIMIT_SERIES, LIMIT_CELLS, LIMIT_LABEL_BYTES, LIMITS };

/* What was said: of a metric in a service, of a service (metric ALL), of the host (service ALL, too). */
struct said {
	enum limit limit;
	uint32_t service, metric;
	struct said *next;
};
#define ALL UINT32_MAX

struct headroom {
	struct said *said;
};

static const struct {
	const char *unit;
	const char *flag[2]; /* of a service, of the host */
} words[LIMITS] = {
	[LIMIT_CARDINALITY] = { "series", { "cardinality-limit", NULL } },
	[LIMIT_SERIES] = { "series", { "max-service-series", "max-series" } },
	[LIMIT_CELLS] = { "cells", { "max-service-cells", "max-cells" } },
	[LIMIT_LABEL_BYTES] = { "bytes of label values", { "max-service-label-bytes", "max-label-bytes" } },
};

struct headroom *headroom_new(void)
{
	return calloc(1, sizeof(struct headroom));
}

void headroom_free(struct headroom *headroom)
{
	struct said *said;

	if (!headroom)
		return;
	while ((said = headroom->said)) {
		headroom->said = said->next;
		free(said);
	}
	free(headroom);
}

void headroom_forget(struct headroom *headroom, const bool *gone)
{
	struct said **at = &headroom->said, *said;

	while ((said = *at)) {
		if (said->service == ALL || !gone[said->service & (PM_MAX_SERVICES - 1)]) {
			at = &said->next;
			continue;
		}
		*at = said->next;
		free(said);
	}
}

static bool was_said(const struct headroom *headroom, enum limit limit, uint32_t service, uint32_t metric)
{
	const struct said *said;

	for (said = headroom->said; said; said = said->next)
		if (said->limit == limit && said->service == service && said->metric == metric)
			return true;
	return false;
}

static bool say(struct headroom *headroom, enum limit limit, uint32_t service, uint32_t metric)
{
	struct said *said = malloc(sizeof(*said));

	if (!said)
		return false;
	*said = (struct said){ .limit = limit, .service = service, .metric = metric, .next = headroom->said };
	headroom->said = said;
	return true;
}

bool headroom_is_near(uint64_t used, uint64_t limit)
{
	return used * 100 >= limit * HEADROOM_PERCENT;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* How many different values label @i has. */
static size_t distinct(const char *const **value, size_t count, uint32_t i, const char **room)
{
	size_t at, found = 0;

	for (at = 0; at < count; at++)
		room[at] = value[at][i];
	qsort(room, count, sizeof(*room), by_text);
	for (at = 0; at < count; at++)
		found += !at || strcmp(room[at - 1], room[at]);
	return found;
}

const char *headroom_labels(const struct metric *metric, const char *const **value, size_t count, char *ret, size_t size)
{
	const char **room = calloc(count ? count : 1, sizeof(*room));
	size_t most[PROBEMETER_MAX_LABELS] = { 0 }, used = 0;
	uint32_t i, best, named;

	(void)snprintf(ret, size, "none");
	for (i = 0; room && i < metric->label_count; i++)
		most[i] = distinct(value, count, i, room);
	for (named = 0; named < LABELS_NAMED && used < size; named++) {
		for (best = 0, i = 1; i < metric->label_count; i++)
			if (most[i] > most[best])
				best = i;
		if (!most[best])
			break;
		used += (size_t)snprintf(ret + used, size - used, "%s%s (%zu values)", named ? ", " : "", metric->label[best],
					 most[best]);
		most[best] = 0;
	}
	free(room);
	return ret;
}

/* A run of one metric's series of one service. */
struct run {
	const struct raw_series *series;
	size_t count;
};

static struct run run_at(const struct snapshot *snapshot, size_t at)
{
	const struct raw_series *first = &snapshot->series[at];
	struct run run = { .series = first };

	while (at + run.count < snapshot->series_count && first[run.count].key.service == first->key.service &&
	       first[run.count].key.metric == first->key.metric)
		run.count++;
	return run;
}

static const char *run_labels(const struct headroom_source *source, struct run run, const struct metric *metric, char *ret,
			      size_t size)
{
	const char *const **value = calloc(run.count ? run.count : 1, sizeof(*value));
	size_t i, named = 0;

	for (i = 0; value && i < run.count; i++)
		named += !names_get(source->names, source->kernel, &run.series[i], metric, &value[named]);
	headroom_labels(metric, value, named, ret, size);
	free(value);
	return ret;
}

/* What is taken, by BPF's own account; @service 0 is the host. */
static struct pm_taken taken(const struct headroom_source *source, uint32_t service)
{
	struct pm_taken found = { 0 };

	(void)bpf_map_lookup_elem(bpf_map__fd(source->kernel->skeleton->maps.taken), &service, &found);
	return found;
}

/* One line, or nothing if nobody could be named. @service ALL: the host, of which @run's service has most. */
static bool warn(struct headroom *headroom, const struct headroom_source *source, enum limit limit, uint32_t service,
		 struct run run, uint64_t used, uint64_t most, char *ret, size_t size)
{
	const struct resource *resource = owners_get(source->owners, run.series->key.service);
	const struct metric *metric = metrics_get(source->metrics, run.series->key.metric);
	char labels[512], numbers[160];

	if (!resource || !metric || !say(headroom, limit, service, limit == LIMIT_CARDINALITY ? metric->id : ALL))
		return false;
	(void)snprintf(numbers, sizeof(numbers), "%llu of at most %llu %s (--%s)", (unsigned long long)used,
		       (unsigned long long)most, words[limit].unit, words[limit].flag[service == ALL]);
	run_labels(source, run, metric, labels, sizeof(labels));
	if (limit == LIMIT_CARDINALITY)
		(void)snprintf(ret, size,
			       "service '%s', metric '%s': %s; past that new label sets count in its overflow series; labels with "
			       "most values: %s",
			       service_name(resource), metric->name, numbers, labels);
	else
		(void)snprintf(ret, size,
			       "%s '%s': %s, most series in metric '%s'; past that new label sets count in overflow series; labels "
			       "with most values: %s",
			       service == ALL ? "this host, with most of it service" : "service", service_name(resource), numbers,
			       metric->name, labels);
	return true;
}

/* A service's or the host's own limits, @run being its longest. */
static bool shared_next(struct headroom *headroom, const struct headroom_source *source, uint32_t service, struct run run,
			uint64_t series, char *ret, size_t size)
{
	const struct kernel_limits *limits = &source->kernel->limits;
	struct pm_taken used = taken(source, service == ALL ? 0 : service);
	const struct {
		enum limit limit;
		uint64_t used, most;
	} row[] = {
		{ LIMIT_SERIES, series, service == ALL ? limits->series : limits->service_series },
		/* The last eighth of the host's is for overflow series. */
		{ LIMIT_CELLS, used.cells, service == ALL ? limits->cells / 8 * 7 : limits->service_cells },
		{ LIMIT_LABEL_BYTES, used.pieces * PM_PIECE,
		  (uint64_t)(service == ALL ? limits->pieces : limits->service_pieces) * PM_PIECE },
	};
	size_t i;

	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		if (headroom_is_near(row[i].used, row[i].most) && !was_said(headroom, row[i].limit, service, ALL) &&
		    warn(headroom, source, row[i].limit, service, run, row[i].used, row[i].most, ret, size))
			return true;
	return false;
}

bool headroom_next(struct headroom *headroom, const struct headroom_source *source, char *ret, size_t size)
{
	const struct snapshot *snapshot = source->snapshot;
	uint64_t most = source->kernel->limits.series_per_metric, own = 0;
	struct run run, longest = { 0 }, longest_own = { 0 };
	size_t at, next;

	for (at = 0; at < snapshot->series_count; at = next) {
		run = run_at(snapshot, at);
		next = at + run.count;
		own += run.count;
		if (run.count > longest.count)
			longest = run;
		if (run.count > longest_own.count)
			longest_own = run;
		/* With the overflow series, which is not among them. */
		if (headroom_is_near(run.count + 1, most) &&
		    !was_said(headroom, LIMIT_CARDINALITY, run.series->key.service, run.series->key.metric) &&
		    warn(headroom, source, LIMIT_CARDINALITY, run.series->key.service, run, run.count + 1, most, ret, size))
			return true;
		if (next < snapshot->series_count && snapshot->series[next].key.service == run.series->key.service)
			continue;
		if (shared_next(headroom, source, run.series->key.service, longest_own, own, ret, size))
			return true;
		own = 0;
		longest_own = (struct run){ 0 };
	}
	return longest.count && shared_next(headroom, source, ALL, longest, snapshot->series_count, ret, size);
}
