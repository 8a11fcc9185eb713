/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * merge.c - arbitrary cells and levels to points.
 *
 * Input: how histograms leave, then samples; each says whose, of which metric, with which labels, and holds cells as the
 * kernel might have them or as nobody would. Promised: every point obeys the data model, and nothing that was counted is
 * lost or counted twice.
 *
 * reaches: merge_fold point_add histogram_add exponential_add exponential_fit cells_join side_fill bucket_index bucket_sum
 * reaches: bucket_bounds encode_check quantile_estimate
 */
#include <math.h>

#include "../../bpf/maps.h"
#include "encode.h"
#include "exponential.h"
#include "fuzz.h"
#include "merge.h"
#include "quantile.h"

#define SAMPLES 24
#define CELLS 24

static struct attribute names[2][1] = { { { "service.name", "one" } }, { { "service.name", "two" } } };
static const struct resource resources[2] = { { names[0], 1 }, { names[1], 1 } };
static const double bounds[] = { -2.5, 0, 0.1, 1e300 };

#define METRIC(number, kind_, name_, unit_, labels)                                                          \
	{ .id = number, .kind = PROBEMETER_KIND_##kind_, .scope = "s", .name = name_, .unit = unit_, .description = "",   \
	  .label_count = labels, .label = { "a", "b" } }

static const struct metric metrics[] = {
	METRIC(0, COUNTER, "counter", "1", 2),
	METRIC(1, UPDOWNCOUNTER, "updown", "1", 1),
	METRIC(2, UPDOWNCOUNTER_LATEST, "latest", "1", 1),
	METRIC(3, GAUGE, "gauge", "1", 0),
	METRIC(4, HISTOGRAM, "histogram", "s", 1),
	METRIC(5, HISTOGRAM, "fine", "{%}", 0),
	{ .id = 6, .kind = PROBEMETER_KIND_HISTOGRAM, .scope = "s", .name = "declared", .unit = "", .description = "",
	  .label_count = 1, .label = { "a" }, .bound_count = 4, .bound = bounds },
	/* Another one of the same name. */
	{ .id = 7, .kind = PROBEMETER_KIND_COUNTER, .scope = "s", .name = "updown", .unit = "", .description = "" },
};

struct load {
	struct sample sample[SAMPLES];
	struct cell cell[SAMPLES][CELLS];
	uint64_t counted[COUNT(metrics)]; /* in cells */
	size_t count;
};

static void sample_take(struct input *input, struct load *load, struct arena *arena)
{
	struct sample *sample = &load->sample[load->count];
	struct cell *cell = load->cell[load->count];
	uint8_t head = (uint8_t)take(input, 1);

	*sample = (struct sample){
		.resource = &resources[head & 1],
		.metric = &metrics[head >> 1 & 7],
		.overflow = head & 0x10,
		.ends = head & 0x20,
		.start_unix_ns = 1 + take(input, 2),
	};
	for (uint32_t i = 0; i < sample->metric->label_count; i++)
		sample->value[i] = take_label(input, 4, arena);
	if (sample->metric->kind == PROBEMETER_KIND_COUNTER || sample->metric->kind == PROBEMETER_KIND_HISTOGRAM) {
		sample->cell = cell;
		sample->cell_count = take(input, 1) % (CELLS + 1);
	} else {
		sample->level = take(input, 8);
		sample->set_ns = take(input, 2);
	}
	for (size_t i = 0; i < sample->cell_count; i++) {
		cell[i].where = take(input, 3);
		/* No host counts for longer than that. */
		cell[i].count = take(input, 7);
		cell[i].sum = (uint128_t)take(input, 8) << (take(input, 1) % 33);
		load->counted[sample->metric->id] += cell[i].count;
	}
	load->count++;
}

static uint64_t count_of(const struct point *point)
{
	return point->type == POINT_HISTOGRAM || point->type == POINT_EXPONENTIAL ? point->count : 0;
}

static void check_quantiles(const struct point *point)
{
	double low, high;
	bool above;

	if (point->type != POINT_HISTOGRAM && point->type != POINT_EXPONENTIAL)
		return;
	if (!quantile_estimate(point, 0.5, &low, &above)) {
		REQUIRE(!point->count);
		return;
	}
	REQUIRE(!isnan(low) && quantile_estimate(point, 0.99, &high, &above) && !isnan(high) && low <= high);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct merge_rule rule = { .exponential = take(&input, 1) & 1, .time_unix_ns = 100000 };
	uint64_t left[COUNT(metrics)];
	struct arena *arena = arena_new();
	static struct load load;
	struct points points;
	char why[256] = "";

	load.count = 0;
	memset(load.counted, 0, sizeof(load.counted));
	REQUIRE(arena);
	while (input.size && load.count < SAMPLES)
		sample_take(&input, &load, arena);
	memcpy(left, load.counted, sizeof(left));
	REQUIRE(!merge_fold(load.sample, load.count, &rule, arena, &points));
	if (encode_check(&points, why, sizeof(why))) {
		(void)fprintf(stderr, "%s\n", why);
		abort();
	}
	for (size_t i = 0; i < points.count; i++) {
		left[points.point[i].metric->id] -= count_of(&points.point[i]);
		check_quantiles(&points.point[i]);
	}
	for (size_t i = 0; i < COUNT(metrics); i++)
		REQUIRE(metrics[i].kind != PROBEMETER_KIND_HISTOGRAM || !left[i]);
	arena_free(arena);
	return 0;
}
