/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * merge.h - samples to points: pure, no I/O, no logging.
 */
#ifndef PROBEMETER_MERGE_H
#define PROBEMETER_MERGE_H

#include "arena.h"
#include "bucket.h"
#include "points.h"

/* The total of one cell: all CPUs, since it was made. */
struct cell {
	uint64_t where; /* bpf/maps.h; only the bucket matters here */
	uint64_t count;
	/* Of integers for a counter; of mantissas in the cell's unit for a histogram. Never wraps. */
	uint128_t sum;
};

/* What one source knows of one series: the kernel of one service's, or one process of its level. */
struct sample {
	const struct resource *resource;
	const struct metric *metric;
	const char *value[PROBEMETER_MAX_LABELS]; /* cleaned label values */
	bool overflow;
	uint64_t start_unix_ns;
	const struct cell *cell; /* counters and histograms; none: a zero */
	size_t cell_count;
	uint64_t level; /* levels: int64, or binary64 of a gauge */
	uint64_t set_ns; /* time of the last SET; 0: never set */
	bool ends; /* of a latest kind: there was a value, so without one now its series ends */
};

/* How histograms leave. */
struct merge_rule {
	uint64_t time_unix_ns;
	bool exponential; /* those without declared bounds: POINT_EXPONENTIAL, not explicit buckets */
};

/**
 * merge_fold - one point per resource, metric and label values
 * @sample: any order; is sorted in place
 * @arena:  owns the points
 * @ret:    untouched on failure
 *
 * Counters and histograms add up, up-down counters too; of a latest kind the sample set last wins, and without any SET
 * there is no point, or one that ends its series. Start is the earliest of the samples', but not after the time, should the clock have been set back.
 *
 * Return: 0 or -ENOMEM.
 * Source: OpenTelemetry metrics data model, "Temporality" and "Single-Writer".
 */
int merge_fold(struct sample *sample, size_t count, const struct merge_rule *rule, struct arena *arena,
	       struct points *ret);

/* Make @point the end of its series: no value. Histograms keep their bounds and a sum of 0, because receivers that take a
 * histogram apart (Prometheus) end one series for each of what they find. */
void merge_end(struct point *point);

#endif
