/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history.c - rings of what was new.
 *
 * Consumes the points of each collection, produces rows of numbers for view.c. Pure but for its memory. What is new is kept,
 * not totals: in single precision that is as exact as anybody can draw, in half the room.
 */
#include "history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include <probemeter/probemeter.h>

#include "bucket.h"
#include "quota.h"

#define SPAN_NS (HISTORY_MOMENTS * HISTORY_STEP_NS)
#define OVERFLOW_KEY 1

struct history_line {
	uint64_t key; /* of its label values */
	uint64_t start_unix_ns;
	uint64_t seen; /* the last moment that had it */
	double size; /* then; decides who stays */
	uint32_t width;
	uint64_t total[]; /* @width of them; behind them as many floats for each of HISTORY_MOMENTS */
};

/* A metric of a service. */
struct group {
	UT_hash_handle hh;
	struct owner {
		const struct resource *resource;
		const struct metric *metric;
	} of;
	unsigned count;
	struct history_line *line[HISTORY_LINES];
};

struct history {
	struct group *group;
	struct quota *bytes;
	uint64_t moments; /* so far; the next one has this number */
	uint64_t at_ns[HISTORY_MOMENTS], now_ns;
	bool refused; /* something found no room: what is new to us may be old */
};

struct history *history_new(void)
{
	struct history *history = calloc(1, sizeof(*history));

	if (!history)
		return NULL;
	history->bytes = quota_new(HISTORY_BYTES);
	if (!history->bytes) {
		history_free(history);
		return NULL;
	}
	return history;
}

static void group_free(struct history *history, struct group *group)
{
	HASH_DEL(history->group, group);
	while (group->count)
		free(group->line[--group->count]);
	free(group);
}

void history_free(struct history *history)
{
	struct group *group, *next;

	if (!history)
		return;
	HASH_ITER(hh, history->group, group, next)
		group_free(history, group);
	quota_free(history->bytes);
	free(history);
}

void history_forget(struct history *history, const struct resource *resource)
{
	struct group *group, *next;

	HASH_ITER(hh, history->group, group, next)
		if (group->of.resource == resource)
			group_free(history, group);
	quota_give(history->bytes, resource);
}

/* --- who is who */

static struct group *group_find(const struct history *history, const struct point *point)
{
	const struct owner of = { point->resource, point->metric };
	struct group *group;

	HASH_FIND(hh, history->group, &of, sizeof(of), group);
	return group;
}

static struct group *group_make(struct history *history, const struct point *point)
{
	struct group *group = group_find(history, point);

	if (group)
		return group;
	group = quota_take(history->bytes, point->resource, sizeof(*group)) ? calloc(1, sizeof(*group)) : NULL;
	if (!group) {
		history->refused = true;
		return NULL;
	}
	group->of = (struct owner){ point->resource, point->metric };
	HASH_ADD(hh, history->group, of, sizeof(group->of), group);
	return group;
}

static bool is_histogram(const struct point *point)
{
	return point->type == POINT_HISTOGRAM || point->type == POINT_EXPONENTIAL;
}

static uint64_t key_of(const struct point *point)
{
	uint64_t key = PROBEMETER_HASH_SEED;
	uint32_t i;

	if (is_histogram(point))
		return 0;
	if (point->overflow)
		return OVERFLOW_KEY;
	for (i = 0; i < point->metric->label_count; i++)
		key = probemeter_hash_label_(key, point->value[i]);
	return key;
}

static struct history_line *line_find(const struct group *group, uint64_t key)
{
	unsigned i;

	for (i = 0; i < group->count; i++)
		if (group->line[i]->key == key)
			return group->line[i];
	return NULL;
}

/* --- rows */

static float *row_of(const struct history_line *line, uint64_t moment)
{
	return (float *)(line->total + line->width) + moment % HISTORY_MOMENTS * line->width;
}

static void row_fill(const struct history_line *line, uint64_t moment, float value)
{
	float *row = row_of(line, moment);
	uint32_t i;

	for (i = 0; i < line->width; i++)
		row[i] = value;
}

/* A line of which nothing is known. */
static void line_clear(struct history_line *line, uint64_t key)
{
	uint64_t moment;

	line->key = key;
	line->seen = 0;
	line->start_unix_ns = 0;
	memset(line->total, 0, line->width * sizeof(*line->total));
	for (moment = 0; moment < HISTORY_MOMENTS; moment++)
		row_fill(line, moment, NAN);
}

static size_t line_bytes(uint32_t width)
{
	return sizeof(struct history_line) + width * (sizeof(uint64_t) + HISTORY_MOMENTS * sizeof(float));
}

/* @start_unix_ns: of its totals. Series that come up while we look on began at 0. */
static struct history_line *line_new(struct history *history, struct group *group, uint64_t key, uint32_t width,
				     uint64_t start_unix_ns)
{
	struct history_line *line;

	if (group->count == HISTORY_LINES)
		return NULL;
	line = quota_take(history->bytes, group->of.resource, line_bytes(width)) ? calloc(1, line_bytes(width)) : NULL;
	if (!line) {
		history->refused = true;
		return NULL;
	}
	line->width = width;
	line_clear(line, key);
	if (history->moments && !history->refused) {
		line->seen = history->moments - 1;
		line->start_unix_ns = start_unix_ns;
	}
	return group->line[group->count++] = line;
}

/* The moments that did not have it. */
static void line_catch_up(const struct history *history, struct history_line *line)
{
	uint64_t moment = line->seen + 1;

	if (moment + HISTORY_MOMENTS < history->moments)
		moment = history->moments - HISTORY_MOMENTS;
	for (; moment < history->moments; moment++)
		row_fill(line, moment, NAN);
}

static void line_count(const struct history *history, struct history_line *line, uint64_t start_unix_ns, const uint64_t *total)
{
	bool goes_on = line->start_unix_ns == start_unix_ns && line->seen + 1 == history->moments;
	float *row = row_of(line, history->moments);
	uint32_t i;

	line_catch_up(history, line);
	for (i = 0; i < line->width; i++)
		goes_on &= total[i] >= line->total[i];
	for (i = 0; i < line->width; i++) {
		row[i] = goes_on ? (float)(total[i] - line->total[i]) : NAN;
		line->total[i] = total[i];
	}
	line->start_unix_ns = start_unix_ns;
	line->seen = history->moments;
}

/* --- points */

static double value_of(const struct point *point)
{
	return point->type == POINT_GAUGE ? point->real : (double)point->integer;
}

static bool is_counter(const struct point *point)
{
	return point->type == POINT_SUM && point->monotonic;
}

static void line_add(const struct history *history, struct history_line *line, const struct point *point)
{
	const uint64_t total = (uint64_t)point->integer;

	if (is_counter(point)) {
		line_count(history, line, point->start_unix_ns, &total);
	} else {
		line_catch_up(history, line);
		row_fill(line, history->moments, (float)value_of(point));
		line->seen = history->moments;
	}
	line->size = fabs(value_of(point));
}

/* What has not been there for as long as anybody remembers is in nobody's way. */
static double size_of(const struct history *history, const struct history_line *line)
{
	return line->seen + HISTORY_MOMENTS < history->moments ? -1 : line->size;
}

/* @point, the largest of those that have no line, takes the place of the smallest that has one, if it is clearly larger. */
static void replace(const struct history *history, struct group *group, const struct point *point)
{
	struct history_line *least = group->line[0];
	unsigned i;

	for (i = 1; i < group->count; i++)
		if (size_of(history, group->line[i]) < size_of(history, least))
			least = group->line[i];
	if (fabs(value_of(point)) <= 2 * size_of(history, least))
		return;
	line_clear(least, key_of(point));
	line_add(history, least, point);
}

static void series_add(struct history *history, struct group *group, const struct point *point, size_t count)
{
	const struct point *left = NULL;
	size_t i;

	for (i = 0; i < count; i++) {
		uint64_t key = key_of(&point[i]);
		struct history_line *line = line_find(group, key);

		if (point[i].ended)
			continue;
		if (!line)
			line = line_new(history, group, key, 1, point[i].start_unix_ns);
		if (line)
			line_add(history, line, &point[i]);
		else if (!left || fabs(value_of(&point[i])) > fabs(value_of(left)))
			left = &point[i];
	}
	if (left && group->count)
		replace(history, group, left);
}

/* The buckets of all series together, at most PROBEMETER_MAX_BOUNDS + 1. */
static void buckets_add(struct history *history, struct group *group, const struct point *point, size_t count)
{
	uint64_t total[PROBEMETER_MAX_BOUNDS + 1] = { 0 }, start_unix_ns = UINT64_MAX;
	double room[BUCKET_MAX_DEFAULT_BOUNDS];
	struct history_line *line = line_find(group, 0);
	const double *bound;
	uint32_t bounds = bucket_bounds(point->metric, room, &bound), n;
	size_t i;

	for (i = 0; i < count; i++) {
		if (point[i].ended)
			continue;
		if (point[i].start_unix_ns < start_unix_ns)
			start_unix_ns = point[i].start_unix_ns;
		for (n = 0; point[i].type == POINT_HISTOGRAM && n <= bounds; n++)
			total[n] += point[i].bucket[n];
		total[0] += point[i].zero_count;
		for (n = 0; n < point[i].cell_count; n++)
			total[bucket_of_cell(&point[i].cell[n], bound, bounds)] += point[i].cell[n].count;
	}
	if (start_unix_ns == UINT64_MAX)
		return;
	if (!line)
		line = line_new(history, group, 0, bounds + 1, start_unix_ns);
	if (line)
		line_count(history, line, start_unix_ns, total);
}

void history_add(struct history *history, const struct points *points, uint64_t now_ns)
{
	const struct point *point = points->point;
	struct group *group;
	size_t i, next;

	history->now_ns = now_ns;
	/* Exports are not exact to the last millisecond. */
	if (history->moments &&
	    now_ns - history->at_ns[(history->moments - 1) % HISTORY_MOMENTS] < HISTORY_STEP_NS - HISTORY_STEP_NS / 10)
		return;
	history->at_ns[history->moments % HISTORY_MOMENTS] = now_ns;
	for (i = 0; i < points->count; i = next) {
		for (next = i + 1; next < points->count && point[next].metric == point[i].metric &&
				   point[next].resource == point[i].resource; next++)
			;
		group = group_make(history, &point[i]);
		if (group)
			(is_histogram(&point[i]) ? buckets_add : series_add)(history, group, &point[i], next - i);
	}
	history->moments++;
}

/* --- looking back */

/* The number of the oldest moment that is still shown. */
static uint64_t oldest(const struct history *history)
{
	uint64_t moment = history->moments < HISTORY_MOMENTS ? 0 : history->moments - HISTORY_MOMENTS;

	while (moment < history->moments && history->now_ns - history->at_ns[moment % HISTORY_MOMENTS] > SPAN_NS)
		moment++;
	return moment;
}

size_t history_moments(const struct history *history, uint64_t ret_ago_ns[HISTORY_MOMENTS])
{
	uint64_t first = oldest(history), moment;

	for (moment = first; moment < history->moments; moment++)
		ret_ago_ns[moment - first] = history->now_ns - history->at_ns[moment % HISTORY_MOMENTS];
	return (size_t)(history->moments - first);
}

const struct history_line *history_find(const struct history *history, const struct point *point)
{
	const struct group *group = group_find(history, point);

	return group ? line_find(group, key_of(point)) : NULL;
}

uint32_t history_width(const struct history_line *line)
{
	return line->width;
}

const uint64_t *history_totals(const struct history_line *line)
{
	return line->total;
}

const float *history_row(const struct history *history, const struct history_line *line, size_t moment)
{
	uint64_t number = oldest(history) + moment;
	const float *row = row_of(line, number);

	return number > line->seen || isnan(row[0]) ? NULL : row;
}

size_t history_bytes(const struct history *history)
{
	const struct group *group;
	size_t bytes = 0;
	unsigned i;

	for (group = history->group; group; group = group->hh.next) {
		bytes += sizeof(*group);
		for (i = 0; i < group->count; i++)
			bytes += line_bytes(group->line[i]->width);
	}
	return bytes;
}
