/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_merge.c - samples of several services and processes become one point per series.
 */
#include "unit.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <time.h>

#include "merge.h"

#include "../../bpf/value.h"

static const struct resource shop, billing, mail;

#define METRIC(number, kind_, scope_, name_, labels)                                                              \
	{                                                                                                         \
		.id = number, .kind = PROBEMETER_KIND_##kind_, .scope = scope_, .name = name_, .unit = "s",       \
		.description = "", .label_count = labels, .label = { "region", "tier" }                           \
	}

static const struct metric orders = METRIC(0, COUNTER, "shop", "orders.total", 2);
static const struct metric open_orders = METRIC(1, UPDOWNCOUNTER, "shop", "orders.open", 1);
static const struct metric lag = METRIC(2, UPDOWNCOUNTER_LATEST, "shop", "orders.lag", 1);
static const struct metric load_ratio = METRIC(3, GAUGE, "shop", "load", 0);
static const struct metric latency = METRIC(4, HISTOGRAM, "shop", "latency", 1);
static const double declared_bound[] = { -1, 0, 0.1, 2.5 };
static const struct metric declared = { .id = 5,
					.kind = PROBEMETER_KIND_HISTOGRAM,
					.scope = "shop",
					.name = "declared",
					.unit = "s",
					.description = "",
					.bound = declared_bound,
					.bound_count = 4 };

struct fold {
	struct arena *arena;
	struct points points;
};

static int set_up(void **state)
{
	struct fold *fold = calloc(1, sizeof(*fold));

	fold->arena = arena_new();
	*state = fold;
	return 0;
}

static int tear_down(void **state)
{
	struct fold *fold = *state;

	arena_free(fold->arena);
	free(fold);
	return 0;
}

#define NOW 5000

static const struct points *fold_samples(struct fold *fold, struct sample *sample, size_t count)
{
	const struct merge_rule rule = { .time_unix_ns = NOW };

	assert_int_equal(merge_fold(sample, count, &rule, fold->arena, &fold->points), 0);
	assert_int_equal(fold->points.time_unix_ns, NOW);
	return &fold->points;
}
#define FOLD(fold, sample) fold_samples(fold, sample, sizeof(sample) / sizeof((sample)[0]))

/* The point of these, or NULL. */
static const struct point *find(const struct points *points, const struct resource *resource,
				const struct metric *metric, const char *first_label)
{
	for (size_t i = 0; i < points->count; i++) {
		const struct point *point = &points->point[i];

		if (point->resource == resource && point->metric == metric &&
		    (first_label ? !point->overflow && !strcmp(point->value[0], first_label) : point->overflow))
			return point;
	}
	return NULL;
}

/* Two kernel-side services with one resource (a restart under another cgroup, say) are one series. */
static void counter_sums_over_services_of_one_resource(void **state)
{
	const struct cell one = { 0, 3, 7 }, two = { 0, 1, 35 }, other = { 0, 1, 100 };
	struct sample sample[] = {
		{ .resource = &shop, .metric = &orders, .value = { "eu", "gold" }, .cell = &one, .cell_count = 1 },
		{ .resource = &billing, .metric = &orders, .value = { "eu", "gold" }, .cell = &other, .cell_count = 1 },
		{ .resource = &shop, .metric = &orders, .value = { "eu", "gold" }, .cell = &two, .cell_count = 1 },
		{ .resource = &shop, .metric = &orders, .value = { "eu", "tin" }, .cell = &other, .cell_count = 1 },
	};
	const struct points *points = FOLD(*state, sample);
	const struct point *point = find(points, &shop, &orders, "eu");

	assert_int_equal(points->count, 3);
	assert_non_null(point);
	assert_string_equal(point->value[1], "gold");
	assert_int_equal(point->integer, 42);
	assert_int_equal(point->type, POINT_SUM);
	assert_true(point->monotonic);
	assert_int_equal(point->temporality, TEMPORALITY_CUMULATIVE);
	assert_int_equal(find(points, &billing, &orders, "eu")->integer, 100);
}

/* Label values that cleaning made equal come from different memory; a receiver could not tell two points apart. */
static void label_sets_that_became_equal_are_one_point(void **state)
{
	char first[] = "caf\xef\xbf\xbd", second[] = "caf\xef\xbf\xbd";
	const struct cell cell = { 0, 1, 1 };
	struct sample sample[] = {
		{ .resource = &shop, .metric = &orders, .value = { first, "" }, .cell = &cell, .cell_count = 1 },
		{ .resource = &shop, .metric = &orders, .value = { second, "" }, .cell = &cell, .cell_count = 1 },
		/* The boundary between two values counts. */
		{ .resource = &shop, .metric = &orders, .value = { "ab", "c" }, .cell = &cell, .cell_count = 1 },
		{ .resource = &shop, .metric = &orders, .value = { "a", "bc" }, .cell = &cell, .cell_count = 1 },
	};
	const struct points *points = FOLD(*state, sample);

	assert_int_equal(points->count, 3);
	assert_int_equal(find(points, &shop, &orders, first)->integer, 2);
}

/* A counter nobody fired yet is a zero, not an absence. */
static void sample_without_cells_is_a_zero(void **state)
{
	struct sample sample[] = { { .resource = &shop, .metric = &orders, .value = { "", "" }, .start_unix_ns = 10 } };
	const struct points *points = FOLD(*state, sample);

	assert_int_equal(points->count, 1);
	assert_int_equal(points->point[0].integer, 0);
	assert_int_equal(points->point[0].start_unix_ns, 10);
}

/* Deltas of both signs over live processes add up to the right total, a negative one too. */
static void up_down_counter_sums_signed_shares(void **state)
{
	static const struct {
		int64_t share[3];
		int64_t total;
	} expected[] = {
		{ { 5, -8, 0 }, -3 },
		{ { -1, -2, -3 }, -6 },
		{ { 7, -7, 0 }, 0 },
		{ { INT64_MAX, INT64_MIN, 1 }, 0 },
		{ { INT64_MIN, 1, -1 }, INT64_MIN },
		{ { 4000000000, 4000000000, -1 }, 7999999999 },
	};

	for (size_t i = 0; i < COUNT(expected); i++) {
		struct sample sample[3] = { { 0 } };
		const struct points *points;

		for (size_t n = 0; n < 3; n++)
			sample[n] = (struct sample){ .resource = &shop,
						     .metric = &open_orders,
						     .value = { "eu" },
						     .level = (uint64_t)expected[i].share[n] };
		points = FOLD(*state, sample);
		assert_int_equal(points->count, 1);
		assert_int_equal(points->point[0].type, POINT_SUM);
		assert_false(points->point[0].monotonic);
		assert_true(points->point[0].integer == expected[i].total);
	}
}

/* In whatever order processes are read, the last SET counts. */
static void latest_kinds_take_the_last_set(void **state)
{
	static const double half = 0.5, two = -2;
	uint64_t half_bits, two_bits;

	memcpy(&half_bits, &half, sizeof(half));
	memcpy(&two_bits, &two, sizeof(two));
	for (int turn = 0; turn < 3; turn++) {
		struct sample sample[] = {
			{ .resource = &shop, .metric = &lag, .value = { "eu" }, .level = 10, .set_ns = 100 },
			{ .resource = &shop, .metric = &lag, .value = { "eu" }, .level = (uint64_t)-4, .set_ns = 300 },
			{ .resource = &shop, .metric = &lag, .value = { "eu" }, .level = 99, .set_ns = 200 },
			{ .resource = &shop, .metric = &load_ratio, .level = half_bits, .set_ns = 8, .start_unix_ns = 1 },
			{ .resource = &shop, .metric = &load_ratio, .level = two_bits, .set_ns = 9, .start_unix_ns = 1 },
			{ .resource = &shop, .metric = &load_ratio, .level = half_bits, .set_ns = 0, .start_unix_ns = 1 },
		};
		const struct point *point;
		struct sample first = sample[0];

		/* Three orders of the three. */
		sample[0] = sample[turn];
		sample[turn] = first;
		point = find(FOLD(*state, sample), &shop, &lag, "eu");
		assert_int_equal(point->integer, -4);
		assert_false(point->monotonic);
		point = &((struct fold *)*state)->points.point[0];
		assert_ptr_equal(point->metric, &load_ratio);
		assert_int_equal(point->type, POINT_GAUGE);
		assert_true(point->real == -2);
		/* OTLP gauges have no start. */
		assert_int_equal(point->start_unix_ns, 0);
	}
}

/* An ADD elsewhere or a table slot that was only reserved is no value. */
static void latest_kinds_without_a_set_make_no_point(void **state)
{
	struct sample sample[] = {
		{ .resource = &shop, .metric = &lag, .value = { "eu" }, .level = 10 },
		{ .resource = &shop, .metric = &lag, .value = { "us" }, .level = 11, .set_ns = 1 },
		{ .resource = &shop, .metric = &load_ratio, .level = 10 },
		{ .resource = &shop, .metric = &open_orders, .value = { "eu" }, .level = 10 },
	};
	const struct points *points = FOLD(*state, sample);

	assert_int_equal(points->count, 2);
	assert_null(find(points, &shop, &lag, "eu"));
	assert_int_equal(find(points, &shop, &lag, "us")->integer, 11);
	assert_int_equal(find(points, &shop, &open_orders, "eu")->integer, 10);
}

/* Of a series that had a value it is said that it has none any more; who has one again goes on. */
static void latest_kinds_end_with_their_last_set(void **state)
{
	struct sample sample[] = {
		{ .resource = &shop, .metric = &lag, .value = { "eu" }, .level = 10, .set_ns = 2 },
		{ .resource = &shop, .metric = &lag, .value = { "eu" }, .ends = true, .start_unix_ns = 3 },
		{ .resource = &shop, .metric = &lag, .value = { "us" }, .ends = true, .start_unix_ns = 3 },
		{ .resource = &shop, .metric = &lag, .value = { "us" }, .level = 11 },
		{ .resource = &shop, .metric = &load_ratio, .ends = true },
	};
	const struct points *points = FOLD(*state, sample);

	assert_int_equal(points->count, 3);
	assert_false(find(points, &shop, &lag, "eu")->ended);
	assert_int_equal(find(points, &shop, &lag, "eu")->integer, 10);
	assert_true(find(points, &shop, &lag, "us")->ended);
	assert_int_equal(find(points, &shop, &lag, "us")->integer, 0);
	assert_true(points->point[0].metric == &load_ratio && points->point[0].ended); /* by name */
}

/* The overflow series is not the series with empty labels; all of a metric's and resource's are one. */
static void overflow_series_stays_apart(void **state)
{
	const struct cell one = { 0, 1, 1 }, ten = { 0, 1, 10 }, hundred = { 0, 1, 100 };
	struct sample sample[] = {
		{ .resource = &shop, .metric = &orders, .overflow = true, .cell = &ten, .cell_count = 1 },
		{ .resource = &shop, .metric = &orders, .value = { "", "" }, .cell = &one, .cell_count = 1 },
		{ .resource = &shop, .metric = &orders, .overflow = true, .cell = &hundred, .cell_count = 1 },
		{ .resource = &billing, .metric = &orders, .overflow = true, .cell = &one, .cell_count = 1 },
	};
	const struct points *points = FOLD(*state, sample);

	assert_int_equal(points->count, 3);
	assert_int_equal(find(points, &shop, &orders, NULL)->integer, 110);
	assert_int_equal(find(points, &shop, &orders, "")->integer, 1);
	assert_int_equal(find(points, &billing, &orders, NULL)->integer, 1);
}

/* One cell per value, as the kernel would have it before two values share one. */
static size_t cells_of(const struct metric *metric, const double *value, size_t count, struct cell *ret)
{
	struct pm_bounds bounds = { .count = metric->bound_count };
	uint64_t bits;

	for (uint32_t i = 0; i < metric->bound_count; i++) {
		memcpy(&bits, &metric->bound[i], sizeof(bits));
		bounds.bound[i] = order_of(bits);
	}
	for (size_t i = 0; i < count; i++) {
		struct placed placed;

		memcpy(&bits, &value[i], sizeof(bits));
		placed = metric->bound_count ?
				 placed_by_bound(parts_of(bits), bounds_below_of(&bounds, order_of(bits))) :
				 placed_by_eighth(parts_of(bits));
		ret[i] = (struct cell){ PM_WHERE(1, metric->id) | placed.bucket, 1, placed.sum };
	}
	return count;
}

static void check_histogram(const struct point *point, const double *value, size_t count)
{
	uint64_t bucket[PM_MAX_BOUNDS + 1] = { 0 }, total = 0;
	double sum = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t n;

		for (n = 0; n < point->bound_count && value[i] > point->bound[n]; n++)
			;
		bucket[n]++;
		sum += value[i];
	}
	assert_int_equal(point->type, POINT_HISTOGRAM);
	assert_int_equal(point->count, count);
	for (uint32_t n = 0; n <= point->bound_count; n++) {
		assert_int_equal(point->bucket[n], bucket[n]);
		total += point->bucket[n];
	}
	assert_int_equal(total, point->count);
	assert_true(fabs(point->sum - sum) <= fabs(sum) * 0x1p-32 + 1e-300);
}

/* Buckets, count and sum agree, over cells and over services, with default and with declared bounds. */
static void histogram_buckets_add_up_to_count(void **state)
{
	static const double value[] = { 0, 1e-9, 0x1p-14, 0.001, 0.1, 0.25, 0.5, 0.50000001, 1, 2.5, 2.6, 512, 513, 1e300 };
	enum { SAMPLES = COUNT(value) };
	struct cell cell[SAMPLES], declared_cell[SAMPLES];
	struct sample sample[] = {
		{ .resource = &shop, .metric = &latency, .value = { "eu" }, .cell = cell, .cell_count = 5 },
		{ .resource = &shop, .metric = &latency, .value = { "eu" }, .cell = cell + 5, .cell_count = SAMPLES - 5 },
		{ .resource = &shop, .metric = &declared, .cell = declared_cell, .cell_count = SAMPLES },
	};
	const struct points *points;
	const struct point *point;

	cells_of(&latency, value, SAMPLES, cell);
	cells_of(&declared, value, SAMPLES, declared_cell);
	points = FOLD(*state, sample);
	assert_int_equal(points->count, 2);
	point = find(points, &shop, &latency, "eu");
	assert_int_equal(point->bound_count, 24);
	assert_true(point->has_sum);
	check_histogram(point, value, SAMPLES);
	point = &points->point[0];
	assert_ptr_equal(point->metric, &declared);
	assert_ptr_equal(point->bound, declared_bound);
	assert_true(point->has_sum);
	check_histogram(point, value, SAMPLES);
}

/* With negative values a sum may fall, which no cumulative sum may: OTLP leaves it out. */
static void histogram_with_negative_values_has_no_sum(void **state)
{
	static const double value[] = { -5, -1, -0.5, -0.0, 0, 0.05, 1, 7 };
	enum { SAMPLES = COUNT(value) };
	struct cell cell[SAMPLES], declared_cell[SAMPLES];
	const struct cell past = { PM_BUCKET(1023, 1, 0), 0, 0 };
	struct sample sample[] = {
		{ .resource = &shop, .metric = &latency, .value = { "eu" }, .cell = cell, .cell_count = SAMPLES },
		{ .resource = &shop, .metric = &declared, .cell = declared_cell, .cell_count = SAMPLES },
		/* A cell that is there and counted nothing yet. */
		{ .resource = &shop, .metric = &latency, .value = { "us" }, .cell = &past, .cell_count = 1 },
	};
	const struct points *points;

	cells_of(&latency, value, SAMPLES, cell);
	cells_of(&declared, value, SAMPLES, declared_cell);
	points = FOLD(*state, sample);
	assert_false(find(points, &shop, &latency, "eu")->has_sum);
	assert_true(find(points, &shop, &latency, "us")->has_sum);
	assert_ptr_equal(points->point[0].metric, &declared);
	assert_false(points->point[0].has_sum);
	check_histogram(&points->point[0], value, SAMPLES);
	check_histogram(find(points, &shop, &latency, "eu"), value, SAMPLES);
}

/* A counter that passes 2^63 stands still: falling or turning negative would look like a restart. */
static void counter_saturates_at_the_largest_integer(void **state)
{
	static const struct {
		uint128_t sum[2];
		int64_t total;
	} expected[] = {
		{ { INT64_MAX - 1, 1 }, INT64_MAX },
		{ { INT64_MAX, 1 }, INT64_MAX },
		{ { INT64_MAX, INT64_MAX }, INT64_MAX },
		{ { UINT64_MAX, 0 }, INT64_MAX },
		{ { (uint128_t)1 << 64, 5 }, INT64_MAX },
		{ { ~(uint128_t)0, ~(uint128_t)0 }, INT64_MAX },
	};

	for (size_t i = 0; i < COUNT(expected); i++) {
		const struct cell cell[] = { { 0, 1, expected[i].sum[0] }, { 0, 1, expected[i].sum[1] } };
		struct sample sample[] = {
			{ .resource = &shop, .metric = &orders, .value = { "", "" }, .cell = &cell[0], .cell_count = 1 },
			{ .resource = &shop, .metric = &orders, .value = { "", "" }, .cell = &cell[1], .cell_count = 1 },
		};

		assert_true(FOLD(*state, sample)->point[0].integer == expected[i].total);
	}
}

/* A series began when the first of its sources did. */
static void start_is_the_earliest_of_the_samples(void **state)
{
	struct sample sample[] = {
		{ .resource = &shop, .metric = &orders, .value = { "", "" }, .start_unix_ns = 30 },
		{ .resource = &shop, .metric = &orders, .value = { "", "" }, .start_unix_ns = 10 },
		{ .resource = &shop, .metric = &orders, .value = { "", "" }, .start_unix_ns = 20 },
	};

	assert_int_equal(FOLD(*state, sample)->point[0].start_unix_ns, 10);
}

/* After the clock was set back a series must not begin after its own time. */
static void start_is_not_after_the_time(void **state)
{
	struct sample sample[] = {
		{ .resource = &shop, .metric = &orders, .value = { "", "" }, .start_unix_ns = NOW + 3 },
		{ .resource = &shop, .metric = &orders, .value = { "a", "" }, .start_unix_ns = NOW - 1 },
	};
	const struct points *points = FOLD(*state, sample);

	assert_int_equal(find(points, &shop, &orders, "")->start_unix_ns, NOW);
	assert_int_equal(find(points, &shop, &orders, "a")->start_unix_ns, NOW - 1);
}

/* Past the largest double a sum stands still: an infinity is no valid sum. */
static void sum_past_the_largest_double_is_that(void **state)
{
	static const double value[] = { DBL_MAX, 0x1p1023, 1 };
	struct cell cell[COUNT(value)];
	struct sample sample[] = { { .resource = &shop, .metric = &latency, .value = { "eu" }, .cell = cell,
				     .cell_count = COUNT(value) } };

	cells_of(&latency, value, COUNT(value), cell);
	assert_true(FOLD(*state, sample)->point[0].sum == DBL_MAX);
	assert_true(((struct fold *)*state)->points.point[0].has_sum);
}

/* points.h promises exporters: a resource's points adjacent, in it a scope's, in it a metric's, in it no label set
 * twice; and the order within a resource does not depend on the order of the samples. */
static void points_come_grouped_and_in_one_order(void **state)
{
	static const struct metric metric[] = {
		METRIC(10, COUNTER, "b", "one", 1), METRIC(11, COUNTER, "a", "two", 1), METRIC(12, COUNTER, "a", "one", 1),
		METRIC(13, COUNTER, "b", "one", 1), /* another binary's, with another description, say */
		METRIC(14, COUNTER, "a", "three", 1),
	};
	static const char *const label[] = { "z", "", "a", "ab", "\xc3\xa9" };
	static const struct resource *const resource[] = { &shop, &billing, &mail };
	enum { SAMPLES = 3 * 5 * 6 };
	const struct point *first_round = NULL;
	struct sample sample[SAMPLES];
	unsigned seed = 7;

	for (int round = 0; round < 20; round++) {
		const struct points *points;
		size_t n = 0, i, j;

		for (size_t r = 0; r < 3; r++)
			for (size_t m = 0; m < 5; m++)
				for (size_t l = 0; l < 6; l++)
					sample[n++] = (struct sample){ .resource = resource[r],
								       .metric = &metric[m],
								       .value = { l < 5 ? label[l] : NULL },
								       .overflow = l == 5 };
		for (i = SAMPLES - 1; i; i--) {
			struct sample swap = sample[i];

			seed = seed * 1103515245 + 12345;
			j = seed / 65536 % (i + 1);
			sample[i] = sample[j];
			sample[j] = swap;
		}
		points = FOLD(*state, sample);
		assert_int_equal(points->count, SAMPLES);
		for (i = 1; i < SAMPLES; i++)
			for (j = 0; j < i; j++) {
				const struct point *a = &points->point[j], *before = &points->point[i - 1],
						   *b = &points->point[i];
				bool same_scope;

				/* What was seen earlier goes on without a gap. */
				assert_true(a->resource != b->resource || before->resource == b->resource);
				same_scope = a->resource == b->resource && !strcmp(a->metric->scope, b->metric->scope);
				assert_true(!same_scope || (before->resource == b->resource &&
							    !strcmp(before->metric->scope, b->metric->scope)));
				assert_true(!same_scope || a->metric != b->metric || before->metric == b->metric);
			}
		for (i = 0; first_round && i < SAMPLES; i++) {
			assert_ptr_equal(points->point[i].metric, first_round[i].metric);
			assert_int_equal(points->point[i].overflow, first_round[i].overflow);
			assert_ptr_equal(points->point[i].value[0], first_round[i].value[0]);
		}
		first_round = points->point;
	}
}

/* Nothing to say is no error. */
static void no_samples_make_no_points(void **state)
{
	assert_int_equal(fold_samples(*state, NULL, 0)->count, 0);
}

/* Output parameters are untouched on failure. */
static void memory_shortage_leaves_the_result_alone(void **state)
{
	struct fold *fold = *state;
	const struct merge_rule rule = { .time_unix_ns = NOW };
	struct points points = { .count = 77 };
	struct sample sample = { .resource = &shop, .metric = &orders };

	assert_int_equal(merge_fold(&sample, (size_t)1 << 55, &rule, fold->arena, &points), -ENOMEM);
	assert_int_equal(points.count, 77);
	assert_int_equal(points.time_unix_ns, 0);
}

/* Ten thousand histograms of ten cells each, over two services: well below an interval. */
static void ten_thousand_series_fold_quickly(void **state)
{
	enum { SERIES = 10000, CELLS = 10 };
	struct sample *sample = calloc(2 * SERIES, sizeof(*sample));
	char(*label)[16] = calloc(SERIES, sizeof(*label));
	const struct points *points;
	struct timespec start, end;
	struct cell cell[CELLS];
	double ms;

	for (unsigned i = 0; i < CELLS; i++)
		cell[i] = (struct cell){ PM_BUCKET(1015 + i, 0, 3), 100, 100ull << 31 };
	for (size_t i = 0; i < SERIES; i++) {
		(void)snprintf(label[i], sizeof(label[i]), "user-%zu", i * 7919 % SERIES);
		sample[i] = (struct sample){
			.resource = &shop, .metric = &latency, .value = { label[i] }, .cell = cell, .cell_count = CELLS
		};
		sample[2 * SERIES - 1 - i] = sample[i];
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	points = fold_samples(*state, sample, 2 * SERIES);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	ms = (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6;
	print_message("%d series of %d cells, twice: %.1f ms (with sanitizers)\n", SERIES, CELLS, ms);
	assert_int_equal(points->count, SERIES);
	for (size_t i = 0; i < SERIES; i++)
		assert_int_equal(points->point[i].count, 2 * CELLS * 100);
	assert_true(ms < 2000);
	free(sample);
	free(label);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counter_sums_over_services_of_one_resource),
		TEST(label_sets_that_became_equal_are_one_point),
		TEST(sample_without_cells_is_a_zero),
		TEST(up_down_counter_sums_signed_shares),
		TEST(latest_kinds_take_the_last_set),
		TEST(latest_kinds_without_a_set_make_no_point),
		TEST(latest_kinds_end_with_their_last_set),
		TEST(overflow_series_stays_apart),
		TEST(histogram_buckets_add_up_to_count),
		TEST(histogram_with_negative_values_has_no_sum),
		TEST(counter_saturates_at_the_largest_integer),
		TEST(start_is_the_earliest_of_the_samples),
		TEST(start_is_not_after_the_time),
		TEST(sum_past_the_largest_double_is_that),
		TEST(points_come_grouped_and_in_one_order),
		TEST(no_samples_make_no_points),
		TEST(memory_shortage_leaves_the_result_alone),
		TEST(ten_thousand_series_fold_quickly),
	};

	return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
