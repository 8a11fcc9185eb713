/* SPDX-License-Identifier: BSD-2-Clause */
/* test_delta.c - through any sequence of acknowledgements and failures, what was acknowledged adds up to the total. */
#include "unit.h"

#include <errno.h>
#include <math.h>

#include "arena.h"
#include "delta.h"
#include "encode.h"
#include "exponential.h"
#include "journal.h"
#include "merge.h"

static struct attribute of_mail[] = { { "service.name", "mail" } };
static const struct resource shop, mail = { .attribute = of_mail, .attribute_count = 1 };

#define METRIC(kind_, name_, labels)                                                                             \
	{                                                                                                        \
		.kind = PROBEMETER_KIND_##kind_, .scope = "s", .name = name_, .unit = "", .description = "",     \
		.label_count = labels, .label = { "a", "b" }                                                     \
	}
static const struct metric orders = METRIC(COUNTER, "orders", 2), bare = METRIC(COUNTER, "bare", 0),
			   level = METRIC(UPDOWNCOUNTER, "level", 0), heat = METRIC(GAUGE, "heat", 0),
			   latency = METRIC(HISTOGRAM, "latency", 1), spread = METRIC(HISTOGRAM, "spread", 1);
static const double bounds[] = { 1, 2, 4 };

#define START UINT64_C(1700000000000000000)
#define SECOND UINT64_C(1000000000)

struct world {
	struct delta *delta;
	struct arena *arena;
	struct points sent;
	uint64_t now;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->delta = delta_new();
	world->arena = arena_new();
	world->now = START;
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	delta_free(world->delta);
	arena_free(world->arena);
	free(world);
	return 0;
}

/* The next export, ten seconds later. */
static const struct points *turn(struct world *world, struct point *point, size_t count)
{
	struct points points = { .point = point, .count = count };

	world->now += 10 * SECOND;
	points.time_unix_ns = world->now;
	assert_int_equal(delta_points(world->delta, &points, world->arena, &world->sent), 0);
	assert_int_equal(world->sent.time_unix_ns, world->now);
	assert_int_equal(encode_check(&world->sent, NULL, 0), 0);
	return &world->sent;
}

static void acknowledge(struct world *world)
{
	delta_acknowledge(world->delta, 0, world->sent.count);
}

static struct point counter(int64_t value)
{
	return (struct point){ .resource = &shop, .metric = &orders, .value = { "eu", "" }, .type = POINT_SUM,
			       .monotonic = true, .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START,
			       .integer = value };
}

/* Only an acknowledgement moves the baseline; the next delta is all since then, and says since when. */
static void outage_of_any_length_loses_nothing(void **state)
{
	struct world *world = *state;
	struct point point = counter(5);
	uint64_t acknowledged;

	assert_int_equal(turn(world, &point, 1)->point[0].integer, 5);
	assert_int_equal(world->sent.point[0].temporality, TEMPORALITY_DELTA);
	assert_true(world->sent.point[0].start_unix_ns == START);
	acknowledge(world);
	acknowledged = world->now;
	for (int i = 0; i < 1000; i++) {
		point.integer++;
		assert_int_equal(turn(world, &point, 1)->point[0].integer, i + 1);
		assert_true(world->sent.point[0].start_unix_ns == acknowledged);
		assert_int_equal(delta_count(world->delta, 0, 1), 1);
	}
	acknowledge(world);
	assert_int_equal(turn(world, &point, 1)->count, 0);
	acknowledged = world->now - 10 * SECOND;
	point.integer++;
	assert_int_equal(turn(world, &point, 1)->point[0].integer, 1);
	assert_true(world->sent.point[0].start_unix_ns == acknowledged);
}

/* Of an export in several requests only those count that were taken. */
static void acknowledgement_is_per_point(void **state)
{
	struct world *world = *state;
	struct point point[3] = { counter(1), counter(2), counter(3) };

	point[1].value[0] = "us";
	point[2].resource = &mail;
	assert_int_equal(turn(world, point, 3)->count, 3);
	delta_acknowledge(world->delta, 1, 1);
	assert_int_equal(turn(world, point, 3)->count, 2);
	assert_int_equal(world->sent.point[0].integer, 1);
	assert_ptr_equal(world->sent.point[1].resource, &mail);
	/* Past the end, or of an export that has been replaced, nothing happens. */
	delta_acknowledge(world->delta, 2, 100);
	assert_int_equal(turn(world, point, 3)->count, 2);
}

/* Levels and gauges have no baseline and come each time. */
static void levels_stay_as_they_are(void **state)
{
	struct world *world = *state;
	struct point point[] = {
		{ .resource = &shop, .metric = &level, .type = POINT_SUM, .temporality = TEMPORALITY_CUMULATIVE,
		  .start_unix_ns = START, .integer = -7 },
		{ .resource = &shop, .metric = &heat, .type = POINT_GAUGE, .real = 0.5 },
	};

	for (int i = 0; i < 3; i++) {
		assert_int_equal(turn(world, point, 2)->count, 2);
		assert_int_equal(world->sent.point[0].integer, -7);
		assert_int_equal(world->sent.point[0].temporality, TEMPORALITY_CUMULATIVE);
		assert_true(world->sent.point[0].start_unix_ns == START);
		assert_true(world->sent.point[1].real == 0.5);
		assert_int_equal(delta_count(world->delta, 0, 2), 0);
		acknowledge(world);
	}
}

/* A zero says something only once, and only of a counter that has no labels to wait for. */
static void zeros_are_sent_once_without_labels_and_never_with(void **state)
{
	struct world *world = *state;
	struct point point[] = { counter(0), counter(0), { 0 } };
	uint64_t bucket[4] = { 0 };

	point[1].metric = &bare;
	point[2] = (struct point){ .resource = &shop, .metric = &latency, .value = { "x" }, .type = POINT_HISTOGRAM,
				   .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .bound = bounds,
				   .bound_count = 3, .bucket = bucket, .has_sum = true };
	for (int i = 0; i < 2; i++) {
		assert_int_equal(turn(world, point, 3)->count, 1);
		assert_ptr_equal(world->sent.point[0].metric, &bare);
		assert_int_equal(world->sent.point[0].integer, 0);
	}
	acknowledge(world);
	assert_int_equal(turn(world, point, 3)->count, 0);
	point[1].integer = 4;
	assert_int_equal(turn(world, point, 3)->point[0].integer, 4);
}

/* A series that is gone is forgotten; when it comes again it is new. */
static void gone_series_are_forgotten(void **state)
{
	struct world *world = *state;
	struct point point[2] = { counter(5), counter(6) };
	size_t bytes;

	point[1].value[0] = "us";
	turn(world, point, 2);
	acknowledge(world);
	bytes = delta_bytes(world->delta);
	assert_int_equal(turn(world, point, 1)->count, 0);
	assert_true(delta_bytes(world->delta) < bytes);
	assert_int_equal(turn(world, point, 2)->count, 1);
	assert_int_equal(world->sent.point[0].integer, 6);
	assert_string_equal(world->sent.point[0].value[0], "us");
}

/* A total that has stepped back began anew: all of it counts, from the last acknowledged time on, also after an outage
 * in which it has passed what it was before. */
static void step_back_is_a_new_life(void **state)
{
	struct world *world = *state;
	struct point point = counter(100);
	uint64_t acknowledged;

	turn(world, &point, 1);
	acknowledge(world);
	acknowledged = world->now;
	point.integer = 30;
	assert_int_equal(turn(world, &point, 1)->point[0].integer, 30);
	assert_true(world->sent.point[0].start_unix_ns == acknowledged);
	point.integer = 150;
	assert_int_equal(turn(world, &point, 1)->point[0].integer, 150);
	acknowledge(world);
	point.integer = 0;
	assert_int_equal(turn(world, &point, 1)->count, 0);
	point.integer = 151;
	assert_int_equal(turn(world, &point, 1)->point[0].integer, 151);
}

/* Of a histogram, a bucket that holds less than before is enough, whatever the count says. */
static void bucket_that_steps_back_is_a_new_life(void **state)
{
	struct world *world = *state;
	uint64_t bucket[4] = { 2, 1, 0, 0 };
	struct point point = { .resource = &shop, .metric = &latency, .value = { "x" }, .type = POINT_HISTOGRAM,
			       .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .bound = bounds,
			       .bound_count = 3, .bucket = bucket, .count = 3, .has_sum = true, .sum = 3 };

	turn(world, &point, 1);
	acknowledge(world);
	bucket[0] = 0;
	bucket[3] = 4;
	point.count = 5;
	point.sum = 50;
	assert_int_equal(turn(world, &point, 1)->point[0].count, 5);
	assert_true(world->sent.point[0].sum == 50);
	acknowledge(world);
	bucket[1] = 0;
	bucket[2] = 9;
	point.count = 13;
	assert_int_equal(turn(world, &point, 1)->point[0].count, 13);
}

/* The clock is set back by an hour: intervals stay such, whatever the times are then worth. */
static void clock_that_steps_back_makes_no_backward_interval(void **state)
{
	struct world *world = *state;
	struct point point = counter(1);

	turn(world, &point, 1);
	acknowledge(world);
	world->now -= 3600 * SECOND;
	point.integer++;
	point.start_unix_ns = world->now + 10 * SECOND; /* as merge has it */
	assert_int_equal(turn(world, &point, 1)->point[0].integer, 1);
	assert_true(world->sent.point[0].start_unix_ns == world->now - 1);
}

/* The boundary between two label values counts, and the overflow series is not the one with empty values. */
static void identity_is_resource_metric_overflow_and_labels(void **state)
{
	struct world *world = *state;
	static const char *const value[][2] = { { "ab", "c" }, { "a", "bc" }, { "abc", "" }, { "", "abc" }, { "", "" },
						{ "12345678", "" }, { "1234567", "8" }, { "", "12345678" } };
	struct point point[COUNT(value) + 2];

	for (size_t i = 0; i < COUNT(point); i++) {
		point[i] = counter((int64_t)i + 1);
		if (i < COUNT(value))
			memcpy(point[i].value, value[i], sizeof(value[i]));
	}
	point[COUNT(value)].overflow = true;
	point[COUNT(value) + 1].resource = &mail;
	turn(world, point, COUNT(point));
	acknowledge(world);
	for (size_t i = 0; i < COUNT(point); i++)
		point[i].integer += 10 * ((int64_t)i + 1);
	assert_int_equal(turn(world, point, COUNT(point))->count, COUNT(point));
	for (size_t i = 0; i < COUNT(point); i++)
		assert_int_equal(world->sent.point[i].integer, 10 * (i + 1));
}

/* splitmix64: the same numbers in each run. */
static uint64_t random64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

#define SERIES 9 /* three of each kind */
#define CELLS 6

/* What a series is, and what a receiver has of it. */
struct series {
	struct point total;
	uint64_t bucket[4];
	struct bucket_count cell[CELLS]; /* counts of 0: not there yet */
	int64_t integer;
	uint64_t received_bucket[4], received_zero, received_count, received_cell[CELLS];
	double received_sum;
	uint64_t end; /* of the last acknowledged delta */
};

static void grow(struct series *series, uint64_t *seed)
{
	static const double step[] = { 0.1, 1e9, 1e-9, 3.3, 0.7 };
	uint64_t events = random64(seed) % 4 ? random64(seed) % 5 : 0;

	for (uint64_t i = 0; i < events; i++) {
		uint32_t at = (uint32_t)(random64(seed) % CELLS);

		if (series->total.type == POINT_SUM) {
			series->total.integer += (int64_t)(random64(seed) % 1000);
			continue;
		}
		series->total.count++;
		series->total.sum += step[random64(seed) % COUNT(step)];
		if (series->total.type == POINT_HISTOGRAM)
			series->bucket[at % 4]++;
		else if (random64(seed) % 6)
			series->cell[at].count++;
		else
			series->total.zero_count++;
	}
}

/* The total as merge would make it. */
static struct point total_of(struct series *series, struct arena *arena)
{
	struct point point = series->total;

	point.bucket = series->bucket;
	if (point.type != POINT_EXPONENTIAL)
		return point;
	point.cell = arena_array(arena, CELLS, sizeof(*point.cell));
	for (uint32_t i = 0; i < CELLS; i++)
		if (series->cell[i].count)
			point.cell[point.cell_count++] = series->cell[i];
	assert_int_equal(exponential_fit(&point, arena), 0);
	return point;
}

/* Add a delta as a receiver does that knows nothing but the points. */
static void receive(struct series *series, const struct point *point, uint64_t time)
{
	assert_true(point->start_unix_ns == (series->end ? series->end : START));
	assert_true(point->start_unix_ns < time);
	assert_int_equal(point->temporality, TEMPORALITY_DELTA);
	series->end = time;
	if (point->type == POINT_SUM) {
		assert_true(point->integer > 0);
		series->integer += point->integer;
		return;
	}
	assert_true(point->count > 0);
	series->received_count += point->count;
	assert_true(point->sum >= 0);
	series->received_sum += point->sum;
	for (uint32_t i = 0; point->type == POINT_HISTOGRAM && i < 4; i++)
		series->received_bucket[i] += point->bucket[i];
	if (point->type != POINT_EXPONENTIAL)
		return;
	series->received_zero += point->zero_count;
	/* Every cell is in the bucket of this delta's scale that holds it; the cells of this test are so far apart that no
	 * two share one. */
	for (uint32_t i = 0; i < CELLS; i++) {
		const struct exponential_buckets *side = series->cell[i].negative ? &point->negative : &point->positive;
		int64_t at = (series->cell[i].index >> (EXPONENTIAL_CELL_SCALE - point->scale)) - side->offset;

		if (at >= 0 && at < side->bucket_count)
			series->received_cell[i] += side->count[at];
	}
}

/* 300 worlds of 9 series and 60 exports; requests are cut anywhere, and taken, refused or lost. What the collector took
 * is, at any time, the total as it was at the last acknowledgement; in the end it is the total. */
static void acknowledged_deltas_add_up_to_the_total(void **state)
{
	static const int32_t place[CELLS] = { -7000, -3000, -40, 900, 1500, 8000 };
	uint64_t seed = 3, deltas = 0, lost = 0;
	double worst = 0;

	(void)state;
	for (int run = 0; run < 300; run++) {
		struct delta *delta = delta_new();
		struct series series[SERIES] = { 0 };
		static const char *const name[] = { "a", "b", "c" };

		for (size_t i = 0; i < SERIES; i++) {
			series[i].total = counter(0);
			series[i].total.value[0] = name[i % 3];
			series[i].total.has_sum = true;
			series[i].total.type = i < 3 ? POINT_SUM : i < 6 ? POINT_HISTOGRAM : POINT_EXPONENTIAL;
			series[i].total.metric = i < 3 ? &orders : i < 6 ? &latency : &spread;
			series[i].total.bound = bounds;
			series[i].total.bound_count = i >= 3 && i < 6 ? 3 : 0;
			for (uint32_t c = 0; c < CELLS; c++)
				series[i].cell[c].index = place[c];
		}
		for (int export = 0; export < 60; export++) {
			struct arena *arena = arena_new();
			struct point point[SERIES];
			struct points points = { .time_unix_ns = START + 1 + (uint64_t)export, .point = point, .count = SERIES };
			struct points sent;
			size_t first, count;

			for (size_t i = 0; i < SERIES; i++) {
				grow(&series[i], &seed);
				point[i] = total_of(&series[i], arena);
			}
			assert_int_equal(delta_points(delta, &points, arena, &sent), 0);
			assert_int_equal(encode_check(&sent, NULL, 0), 0);
			for (first = 0; first < sent.count; first += count) {
				count = 1 + random64(&seed) % (sent.count - first);
				if (random64(&seed) % 3 && export < 59) {
					lost += count;
					continue;
				}
				for (size_t i = first; i < first + count; i++, deltas++)
					for (size_t s = 0; s < SERIES; s++)
						if (series[s].total.metric == sent.point[i].metric &&
						    !strcmp(series[s].total.value[0], sent.point[i].value[0]))
							receive(&series[s], &sent.point[i], sent.time_unix_ns);
				delta_acknowledge(delta, first, count);
			}
			arena_free(arena);
		}
		for (size_t i = 0; i < SERIES; i++) {
			const struct series *one = &series[i];

			assert_true(one->integer == one->total.integer);
			assert_int_equal(one->received_count, one->total.count);
			assert_int_equal(one->received_zero, one->total.zero_count);
			for (uint32_t b = 0; b < 4; b++)
				assert_int_equal(one->received_bucket[b], one->bucket[b]);
			for (uint32_t c = 0; c < CELLS; c++)
				assert_int_equal(one->received_cell[c], one->cell[c].count);
			if (one->total.count)
				worst = fmax(worst, fabs(one->received_sum - one->total.sum) / one->total.sum);
		}
		delta_free(delta);
	}
	print_message("%llu deltas taken, %llu not; a sum at most %.2g of itself off\n", (unsigned long long)deltas,
		      (unsigned long long)lost, worst);
	assert_true(deltas > 10000 && lost > 10000);
	/* One rounding, not one per delta. */
	assert_true(worst <= 0x1p-52);
}

/* A million deltas of a tenth: errors of the additions do not add up. */
static void sums_of_deltas_do_not_drift(void **state)
{
	struct world *world = *state;
	uint64_t bucket[4] = { 0 };
	struct point point = { .resource = &shop, .metric = &latency, .value = { "x" }, .type = POINT_HISTOGRAM,
			       .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .bound = bounds,
			       .bound_count = 3, .bucket = bucket, .has_sum = true };
	double received = 0;

	for (int i = 0; i < 200000; i++) {
		bucket[0]++;
		point.count++;
		point.sum = (double)point.count * 0.1;
		received += turn(world, &point, 1)->point[0].sum;
		acknowledge(world);
		arena_reset(world->arena);
	}
	assert_true(fabs(received - point.sum) <= point.sum * 0x1p-52);
}

/* A total's sum is made of cells, and a new one may round it down by a hair, which no delta can say. It is made up for. */
static void sums_that_wobble_do_not_drift(void **state)
{
	struct world *world = *state;
	uint64_t bucket[4] = { 0 };
	struct point point = { .resource = &shop, .metric = &latency, .value = { "x" }, .type = POINT_HISTOGRAM,
			       .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .bound = bounds,
			       .bound_count = 3, .bucket = bucket, .has_sum = true };
	double received = 0;

	for (int i = 0; i < 1001; i++) {
		bucket[0]++;
		point.count++;
		point.sum = i % 2 ? 1 + 0x1p-52 : 1 + 0x1p-51;
		assert_true(turn(world, &point, 1)->point[0].sum >= 0);
		received += world->sent.point[0].sum;
		acknowledge(world);
	}
	assert_true(received == point.sum);
}

/* One value far away makes one delta coarse; the ones after it are as fine as their own values allow. */
static void scale_of_a_delta_is_its_own(void **state)
{
	struct world *world = *state;
	struct bucket_count cell[] = { { .index = 0, .count = 1 }, { .index = 5, .count = 1 }, { .index = 5000, .count = 1 } };
	struct point point = { .resource = &shop, .metric = &spread, .value = { "x" }, .type = POINT_EXPONENTIAL,
			       .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .cell = cell, .cell_count = 3,
			       .count = 3, .has_sum = true, .sum = 1 };

	assert_true(turn(world, &point, 1)->point[0].scale < EXPONENTIAL_CELL_SCALE);
	acknowledge(world);
	cell[0].count += 2;
	cell[1].count += 1;
	point.count += 3;
	assert_int_equal(turn(world, &point, 1)->point[0].scale, EXPONENTIAL_CELL_SCALE);
	assert_int_equal(world->sent.point[0].positive.bucket_count, 6);
	assert_int_equal(world->sent.point[0].positive.count[0], 2);
	assert_int_equal(world->sent.point[0].positive.count[5], 1);
	/* The totals are untouched: others read them. */
	assert_int_equal(cell[0].count, 3);
	assert_int_equal(point.cell_count, 3);
}

/* The told limit holds: as many series as there can be cells, histograms with one bucket each. */
static void memory_stays_below_what_is_told(void **state)
{
	enum { CELLS_AT_MOST = 40000 };
	struct world *world = *state;
	struct point *point = calloc(CELLS_AT_MOST, sizeof(*point));
	char(*label)[16] = calloc(CELLS_AT_MOST, sizeof(*label));
	static uint64_t bucket[4] = { 0, 1, 0, 0 };
	size_t bytes = 0;

	for (size_t i = 0; i < CELLS_AT_MOST; i++) {
		(void)snprintf(label[i], sizeof(label[i]), "%zu", i);
		point[i] = (struct point){ .resource = &shop, .metric = &latency, .value = { label[i] },
					   .type = POINT_HISTOGRAM, .temporality = TEMPORALITY_CUMULATIVE,
					   .start_unix_ns = START, .bound = bounds, .bound_count = 3, .bucket = bucket,
					   .count = 1, .has_sum = true, .sum = 1.5 };
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(turn(world, point, CELLS_AT_MOST)->count, i < 2 ? CELLS_AT_MOST : 0);
		bytes = delta_bytes(world->delta) > bytes ? delta_bytes(world->delta) : bytes;
		if (i)
			acknowledge(world);
	}
	print_message("%d series: %zu bytes, told %zu\n", CELLS_AT_MOST, bytes, delta_bytes_max(CELLS_AT_MOST));
	assert_true(bytes <= delta_bytes_max(CELLS_AT_MOST));
	free(point);
	free(label);
}

/* An end says so under the others' temporality, since the last of them; if the series goes on after all, so does the sum. */
static void an_end_keeps_what_was_acknowledged(void **state)
{
	struct world *world = *state;
	struct point point = counter(5);
	uint64_t acknowledged;

	(void)turn(world, &point, 1);
	acknowledge(world);
	acknowledged = world->now;
	merge_end(&point);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(turn(world, &point, 1)->count, 1);
		assert_true(world->sent.point[0].ended);
		assert_int_equal(world->sent.point[0].temporality, TEMPORALITY_DELTA);
		assert_true(world->sent.point[0].start_unix_ns == acknowledged);
		assert_int_equal(delta_count(world->delta, 0, 1), 0);
		acknowledge(world);
	}
	point = counter(7);
	assert_int_equal(turn(world, &point, 1)->point[0].integer, 2);
}

/* What is forgotten begins anew, also if it has counted past what it had before; what is on its way is not minded. */
static void a_forgotten_resource_begins_anew(void **state)
{
	struct world *world = *state;
	struct point point[] = { counter(5), counter(20) };

	point[1].resource = &mail;
	(void)turn(world, point, 2);
	acknowledge(world);
	point[0].integer = point[1].integer = 30;
	(void)turn(world, point, 2);
	delta_forget(world->delta, &shop);
	acknowledge(world);
	point[0].integer = 40;
	assert_int_equal(turn(world, point, 2)->count, 1);
	assert_int_equal(world->sent.point[0].integer, 40);
	acknowledge(world);
	delta_forget(world->delta, &shop);
	delta_forget(world->delta, &mail);
	assert_int_equal(turn(world, point, 2)->point[1].integer, 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Another process begins with what this one has packed. */
static int hand_over(struct world *world, size_t cut)
{
	struct journal_pack pack = { 0 };
	struct journal_record record = { 0 };
	int err;

	delta_pack(world->delta, &pack);
	delta_free(world->delta);
	world->delta = delta_new();
	assert_false(pack.failed);
	record.at = pack.data;
	record.end = pack.data + pack.size - cut;
	err = delta_unpack(world->delta, &record);
	pack_free(&pack);
	return err;
}

static struct point histogram(uint64_t *bucket)
{
	return (struct point){ .resource = &shop, .metric = &latency, .value = { "x" }, .type = POINT_HISTOGRAM,
			       .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .has_sum = true, .bound = bounds,
			       .bound_count = 3, .bucket = bucket, .count = bucket[0] + bucket[1] + bucket[2] + bucket[3],
			       .sum = (double)(bucket[0] + 2 * bucket[1]) };
}

/* What one process had acknowledged the next one does not send again, and what was not it does. */
static void another_process_goes_on(void **state)
{
	struct world *world = *state;
	struct attribute attribute[] = { { "service.name", "mail" } };
	const struct resource again = { .attribute = attribute, .attribute_count = 1 }; /* the same, elsewhere */
	uint64_t bucket[2][4] = { { 2, 1, 0, 0 }, { 2, 4, 0, 1 } }, acknowledged;
	struct point point[3] = { counter(5), histogram(bucket[0]), counter(7) };

	point[2].resource = &mail;
	(void)turn(world, point, 3);
	delta_acknowledge(world->delta, 0, 2);
	acknowledged = world->now;
	assert_int_equal(hand_over(world, 0), 0);
	point[0].integer = 9;
	point[1] = histogram(bucket[1]);
	point[2].resource = &again;
	assert_int_equal(turn(world, point, 3)->count, 3);
	assert_int_equal(world->sent.point[0].integer, 4);
	assert_true(world->sent.point[0].start_unix_ns == acknowledged);
	assert_int_equal(world->sent.point[1].count, 4);
	assert_int_equal(world->sent.point[1].bucket[1], 3);
	assert_int_equal(world->sent.point[1].bucket[3], 1);
	assert_int_equal(world->sent.point[2].integer, 7);
	assert_true(world->sent.point[2].start_unix_ns == START);
	acknowledge(world);
	/* And the one after it. */
	assert_int_equal(hand_over(world, 0), 0);
	assert_int_equal(turn(world, point, 3)->count, 0);
}

/* A baseline is of one life of a series: one that has begun since sends all it has. */
static void another_process_knows_lives_apart(void **state)
{
	struct world *world = *state;
	struct point point = counter(5);

	(void)turn(world, &point, 1);
	acknowledge(world);
	assert_int_equal(hand_over(world, 0), 0);
	point.start_unix_ns = START + SECOND;
	point.integer = 6;
	assert_int_equal(turn(world, &point, 1)->point[0].integer, 6);
	assert_true(world->sent.point[0].start_unix_ns == START + SECOND);
}

/* What is cut off is refused whole. */
static void another_process_refuses_what_is_cut(void **state)
{
	struct world *world = *state;
	uint64_t bucket[4] = { 1, 2, 3, 4 };
	struct point point[2] = { counter(5), histogram(bucket) };

	(void)turn(world, point, 2);
	acknowledge(world);
	assert_int_equal(hand_over(world, 8), -EBADMSG);
	assert_int_equal(turn(world, point, 2)->count, 2);
	assert_int_equal(world->sent.point[0].integer, 5);
}

/* Where nobody knows what was sent, nothing is sent twice, and what begins now is sent whole. */
static void begins_with_what_there_is(void **state)
{
	struct world *world = *state;
	struct point point[3] = { counter(5), counter(6), counter(7) };
	struct points points = { .point = point, .count = 3, .time_unix_ns = START + 20 * SECOND };

	point[1].value[0] = "us";
	point[1].start_unix_ns = START + 15 * SECOND;
	point[2].value[0] = "known";
	(void)turn(world, &point[2], 1);
	delta_acknowledge(world->delta, 0, 1);
	point[2].integer = 9;
	assert_int_equal(delta_begin(world->delta, &points, START + 15 * SECOND), 0);
	point[0].integer = 8;
	world->now = points.time_unix_ns;
	assert_int_equal(turn(world, point, 3)->count, 3);
	assert_int_equal(world->sent.point[0].integer, 3);
	assert_true(world->sent.point[0].start_unix_ns == points.time_unix_ns);
	assert_int_equal(world->sent.point[1].integer, 6);
	assert_int_equal(world->sent.point[2].integer, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(another_process_goes_on),
		TEST(another_process_knows_lives_apart),
		TEST(another_process_refuses_what_is_cut),
		TEST(begins_with_what_there_is),
		TEST(outage_of_any_length_loses_nothing),
		TEST(acknowledgement_is_per_point),
		TEST(levels_stay_as_they_are),
		TEST(zeros_are_sent_once_without_labels_and_never_with),
		TEST(gone_series_are_forgotten),
		TEST(step_back_is_a_new_life),
		TEST(an_end_keeps_what_was_acknowledged),
		TEST(a_forgotten_resource_begins_anew),
		TEST(bucket_that_steps_back_is_a_new_life),
		TEST(clock_that_steps_back_makes_no_backward_interval),
		TEST(identity_is_resource_metric_overflow_and_labels),
		TEST(acknowledged_deltas_add_up_to_the_total),
		TEST(sums_of_deltas_do_not_drift),
		TEST(sums_that_wobble_do_not_drift),
		TEST(scale_of_a_delta_is_its_own),
		TEST(memory_stays_below_what_is_told),
	};

	return cmocka_run_group_tests_name("delta", tests, NULL, NULL);
}
