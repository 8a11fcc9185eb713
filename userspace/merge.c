/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * merge.c - fold what several sources know of one series into one point.
 *
 * Consumes samples: per kernel-side service and series a run of cells, per process a level. Produces points ordered by
 * resource, scope, metric and label values. Two label sets that became equal by cleaning are one point, as a receiver
 * could not tell them apart.
 */
#include "merge.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/maps.h"
#include "exponential.h"

/* Resources and metrics are interned: equal ones are one pointer. */
static int by_address(const void *a, const void *b)
{
	return (a > b) - (a < b);
}

static int by_series(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	int order = by_address(x->resource, y->resource);
	uint32_t i;

	if (!order && x->metric != y->metric) {
		order = strcmp(x->metric->scope, y->metric->scope);
		if (!order)
			order = strcmp(x->metric->name, y->metric->name);
		if (!order)
			order = x->metric->id < y->metric->id ? -1 : 1;
	}
	if (!order)
		order = (int)x->overflow - (int)y->overflow;
	if (!order && !x->overflow)
		for (i = 0; !order && i < x->metric->label_count; i++)
			order = strcmp(x->value[i], y->value[i]);
	return order;
}

static int histogram_start(const struct metric *metric, struct arena *arena, struct point *point)
{
	double room[BUCKET_MAX_DEFAULT_BOUNDS], *copy;
	const double *bound;

	point->type = POINT_HISTOGRAM;
	point->has_sum = true;
	point->bound_count = bucket_bounds(metric, room, &bound);
	if (!metric->bound_count) {
		copy = arena_alloc(arena, point->bound_count * sizeof(*copy), sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, room, point->bound_count * sizeof(*copy));
		bound = copy;
	}
	point->bound = bound;
	point->bucket = arena_alloc(arena, (point->bound_count + 1) * sizeof(*point->bucket), sizeof(*point->bucket));
	return point->bucket ? 0 : -ENOMEM;
}

/*
 * Count and sum of one cell. Min and max, which are optional on the wire, are left out: the kernel would have to keep them
 * exactly, with a loop of compare-and-swap in each hit, and a bucket's bound in their place would be no value anybody
 * recorded.
 */
static void histogram_total(const struct cell *cell, struct point *point)
{
	point->count += cell->count;
	point->sum = fmax(fmin(point->sum + bucket_sum(cell->where, cell->sum), DBL_MAX), -DBL_MAX);
	if (PM_BUCKET_SIGN(cell->where) && cell->count)
		point->has_sum = false;
}

static void histogram_add(const struct sample *sample, struct point *point)
{
	size_t i;

	for (i = 0; i < sample->cell_count; i++) {
		const struct cell *cell = &sample->cell[i];

		point->bucket[bucket_index(sample->metric, cell->where, point->bound, point->bound_count)] += cell->count;
		histogram_total(cell, point);
	}
}

/* Room for the cells of all @count samples. */
static int exponential_start(const struct sample *sample, size_t count, struct arena *arena, struct point *point)
{
	size_t cells = 0, i;

	for (i = 0; i < count; i++)
		cells += sample[i].cell_count;
	point->type = POINT_EXPONENTIAL;
	point->has_sum = true;
	point->cell = arena_array(arena, cells, sizeof(*point->cell));
	return point->cell ? 0 : -ENOMEM;
}

static void exponential_add(const struct sample *sample, struct point *point)
{
	size_t i;

	for (i = 0; i < sample->cell_count; i++) {
		const struct cell *cell = &sample->cell[i];
		struct bucket_count *to = &point->cell[point->cell_count];

		histogram_total(cell, point);
		if (!cell->count)
			continue;
		if (!exponential_cell(cell->where, to)) {
			point->zero_count += cell->count;
			continue;
		}
		to->count = cell->count;
		point->cell_count++;
	}
}

/* A new point with the identity of @count samples. */
static int point_start(const struct sample *sample, size_t count, const struct merge_rule *rule, struct arena *arena,
		       struct point *point)
{
	uint32_t i;

	memset(point, 0, sizeof(*point));
	point->resource = sample->resource;
	point->metric = sample->metric;
	point->overflow = sample->overflow;
	for (i = 0; i < sample->metric->label_count; i++)
		point->value[i] = sample->value[i];
	point->temporality = TEMPORALITY_CUMULATIVE;
	point->start_unix_ns = sample->start_unix_ns;
	switch (sample->metric->kind) {
	case PROBEMETER_KIND_HISTOGRAM:
		return rule->exponential && !sample->metric->bound_count ? exponential_start(sample, count, arena, point) :
									   histogram_start(sample->metric, arena, point);
	case PROBEMETER_KIND_GAUGE:
		point->type = POINT_GAUGE;
		point->start_unix_ns = 0;
		return 0;
	default:
		point->type = POINT_SUM;
		point->monotonic = sample->metric->kind == PROBEMETER_KIND_COUNTER;
		return 0;
	}
}

/* @set_ns: of the sample that @point's value comes from; for the latest kinds. */
static void point_add(const struct sample *sample, struct point *point, uint64_t *set_ns)
{
	size_t i;

	if (sample->start_unix_ns < point->start_unix_ns)
		point->start_unix_ns = sample->start_unix_ns;
	switch (sample->metric->kind) {
	case PROBEMETER_KIND_HISTOGRAM:
		if (point->type == POINT_EXPONENTIAL)
			exponential_add(sample, point);
		else
			histogram_add(sample, point);
		break;
	case PROBEMETER_KIND_COUNTER:
		/* OTLP's integers are signed: a counter that passes 2^63 stands still rather than turn negative. */
		for (i = 0; i < sample->cell_count; i++)
			if (sample->cell[i].sum > (uint128_t)(INT64_MAX - point->integer))
				point->integer = INT64_MAX;
			else
				point->integer += (int64_t)sample->cell[i].sum;
		break;
	case PROBEMETER_KIND_UPDOWNCOUNTER:
		point->integer = (int64_t)((uint64_t)point->integer + sample->level);
		break;
	default:
		if (sample->set_ns <= *set_ns)
			break;
		*set_ns = sample->set_ns;
		if (sample->metric->kind == PROBEMETER_KIND_GAUGE)
			memcpy(&point->real, &sample->level, sizeof(point->real));
		else
			point->integer = (int64_t)sample->level;
	}
}

static bool is_latest(const struct metric *metric)
{
	return metric->kind == PROBEMETER_KIND_UPDOWNCOUNTER_LATEST || metric->kind == PROBEMETER_KIND_GAUGE;
}

int merge_fold(struct sample *sample, size_t count, const struct merge_rule *rule, struct arena *arena,
	       struct points *ret)
{
	struct points result = { .time_unix_ns = rule->time_unix_ns };
	size_t i, next;

	result.point = arena_alloc(arena, (count ? count : 1) * sizeof(*result.point), sizeof(void *));
	if (!result.point)
		return -ENOMEM;
	if (count)
		qsort(sample, count, sizeof(*sample), by_series);
	for (i = 0; i < count; i = next) {
		struct point *point = &result.point[result.count];
		uint64_t set_ns = 0;
		bool ends = false;
		size_t at;
		int err;

		for (next = i + 1; next < count && !by_series(&sample[i], &sample[next]); next++)
			;
		err = point_start(&sample[i], next - i, rule, arena, point);
		for (at = i; !err && at < next; at++) {
			point_add(&sample[at], point, &set_ns);
			ends |= sample[at].ends;
		}
		if (!err && point->type == POINT_EXPONENTIAL)
			err = exponential_fit(point, arena);
		if (err)
			return err;
		if (point->start_unix_ns > rule->time_unix_ns)
			point->start_unix_ns = rule->time_unix_ns;
		if (is_latest(sample[i].metric) && !set_ns && ends)
			merge_end(point);
		if (!is_latest(sample[i].metric) || set_ns || ends)
			result.count++;
	}
	*ret = result;
	return 0;
}

void merge_end(struct point *point)
{
	point->ended = true;
	point->count = 0;
	point->sum = 0;
	point->zero_count = 0;
	point->cell_count = 0;
	point->positive.bucket_count = point->negative.bucket_count = 0;
	if (point->type == POINT_SUM)
		point->integer = 0;
	else if (point->type == POINT_GAUGE)
		point->real = 0;
	else if (point->type == POINT_HISTOGRAM)
		memset(point->bucket, 0, (point->bound_count + 1u) * sizeof(*point->bucket));
}
