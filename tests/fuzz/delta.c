/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * delta.c - totals over several exports, of which some are acknowledged.
 *
 * Input: rounds; in each, values are added to a few series or a series goes or steps back, and then an acknowledgement comes or
 * does not. Promised: points obey the data model, and what was acknowledged adds up to the totals of the last round
 * that was, exactly, in counts and in buckets.
 *
 * reaches: delta_points point_subtract total_subtract total_of point_fill delta_acknowledge baseline_get
 * reaches: baseline_reset exponential_fit encode_check
 */
#include <math.h>

#include "bucket.h"
#include "delta.h"
#include "encode.h"
#include "exponential.h"
#include "fuzz.h"

#define ROUNDS 8
#define SERIES 6
#define BOUNDS 3
#define CELLS 5

static struct attribute name[] = { { "service.name", "one" } };
static const struct resource resource = { .attribute = name, .attribute_count = 1 };
static const double bounds[BOUNDS] = { 1, 10, 100 };
static const struct metric metrics[] = {
	{ .id = 0, .kind = PROBEMETER_KIND_COUNTER, .scope = "s", .name = "c", .unit = "", .description = "", .label_count = 1,
	  .label = { "l" } },
	{ .id = 1, .kind = PROBEMETER_KIND_HISTOGRAM, .scope = "s", .name = "h", .unit = "", .description = "", .label_count = 1,
	  .label = { "l" }, .bound_count = BOUNDS, .bound = bounds },
	{ .id = 2, .kind = PROBEMETER_KIND_HISTOGRAM, .scope = "s", .name = "x", .unit = "", .description = "", .label_count = 1,
	  .label = { "l" } },
};
static const char *const label[] = { "a", "b" };

/* What a series holds: explicit buckets, or cells by index. */
struct total {
	uint64_t count[CELLS];
	uint64_t born;
	bool there;
};

static const int32_t cell_index[CELLS] = { -800, -1, 0, 3, 4000 };

static struct point point_of(size_t series, const struct total *total, struct arena *arena)
{
	struct point point = { .resource = &resource, .metric = &metrics[series / 2], .value = { label[series % 2] },
			       .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = total->born };
	uint32_t i;

	if (series / 2 == 0) {
		point.type = POINT_SUM;
		point.monotonic = true;
		point.integer = (int64_t)total->count[0];
		return point;
	}
	point.has_sum = true;
	if (series / 2 == 1) {
		point.type = POINT_HISTOGRAM;
		point.bound = bounds;
		point.bound_count = BOUNDS;
		point.bucket = arena_array(arena, BOUNDS + 1, sizeof(*point.bucket));
		for (i = 0; i <= BOUNDS; i++) {
			point.bucket[i] = total->count[i];
			point.count += total->count[i];
		}
	} else {
		point.type = POINT_EXPONENTIAL;
		point.cell = arena_array(arena, CELLS, sizeof(*point.cell));
		for (i = 0; i < CELLS; i++) {
			point.count += total->count[i];
			if (total->count[i])
				point.cell[point.cell_count++] = (struct bucket_count){ cell_index[i], 0, total->count[i] };
		}
		REQUIRE(!exponential_fit(&point, arena));
	}
	point.sum = (double)point.count;
	return point;
}

/* Any series may go, come back later, step back, or grow. */
static void totals_change(struct input *input, struct total *total, uint64_t now)
{
	for (size_t i = 0; i < SERIES; i++) {
		uint8_t how = (uint8_t)take(input, 1);

		if (!total[i].there && how < 0xfe)
			total[i] = (struct total){ .born = now, .there = true };
		if (how == 0xff)
			total[i].there = false;
		for (size_t n = 0; n < CELLS && total[i].there; n++)
			if (how == 0xfe)
				total[i].count[n] /= 2;
			else if (how >> n & 1)
				total[i].count[n] += take(input, how & 0x40 ? 4 : 1);
	}
}

/* How many counts the series @i has. */
static size_t cells_of(size_t i)
{
	return i < 2 ? 1 : i < 4 ? BOUNDS + 1 : CELLS;
}

/* Of a series that is gone, or that steps back behind what was acknowledged, nothing counts any more. */
static void forget(const struct total *total, struct total *had)
{
	bool anew = !total->there;

	for (size_t n = 0; n < CELLS; n++)
		anew |= total->count[n] < had->count[n];
	if (anew)
		memset(had->count, 0, sizeof(had->count));
}

/* Add to what a receiver has. */
static void receive(const struct point *point, struct total *had)
{
	size_t series = (size_t)(point->metric - metrics) * 2 + (point->value[0] == label[1]);

	if (point->type == POINT_SUM)
		had[series].count[0] += (uint64_t)point->integer;
	for (uint32_t i = 0; point->type == POINT_HISTOGRAM && i <= BOUNDS; i++)
		had[series].count[i] += point->bucket[i];
	for (uint32_t i = 0; point->type == POINT_EXPONENTIAL && i < point->cell_count; i++)
		for (size_t n = 0; n < CELLS; n++)
			if (point->cell[i].index == cell_index[n])
				had[series].count[n] += point->cell[i].count;
}

static void check_round(const struct points *points)
{
	char why[256] = "";

	for (size_t i = 0; i < points->count; i++)
		REQUIRE(points->point[i].temporality == TEMPORALITY_DELTA);
	if (encode_check(points, why, sizeof(why))) {
		(void)fprintf(stderr, "%s\n", why);
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct total total[SERIES] = { 0 }, had[SERIES] = { 0 };
	struct input input = { data, size };
	struct delta *delta = delta_new();
	struct arena *arena = arena_new();
	size_t round, i, n;

	REQUIRE(delta && arena);
	for (round = 0; round < ROUNDS && input.size; round++) {
		struct points points = { .time_unix_ns = 1000 + round }, sent;
		struct point all[SERIES];

		totals_change(&input, total, 999 + round);
		points.point = all;
		for (i = 0; i < SERIES; i++) {
			forget(&total[i], &had[i]);
			if (total[i].there)
				all[points.count++] = point_of(i, &total[i], arena);
		}
		REQUIRE(!delta_points(delta, &points, arena, &sent));
		check_round(&sent);
		REQUIRE(delta_count(delta, 0, sent.count) == sent.count);
		if (take(&input, 1) & 1)
			continue;
		delta_acknowledge(delta, 0, sent.count);
		for (i = 0; i < sent.count; i++)
			receive(&sent.point[i], had);
		for (i = 0; i < SERIES; i++)
			for (n = 0; total[i].there && n < cells_of(i); n++)
				REQUIRE(had[i].count[n] == total[i].count[n]);
	}
	arena_free(arena);
	delta_free(delta);
	return 0;
}
