/* SPDX-License-Identifier: BSD-2-Clause */
/* test_history.c - what is remembered of the last fifteen minutes, and in how much room. */
#include "unit.h"

#include <math.h>

#include "bucket.h"
#include "exponential.h"
#include "history.h"

#define SECOND 1000000000ull

static const struct resource shop, billing;

#define METRIC(kind_, name_, labels)                                                                         \
	{                                                                                                    \
		.kind = PROBEMETER_KIND_##kind_, .scope = "shop", .name = name_, .unit = "s",                \
		.description = "", .label_count = labels, .label = { "region" }                              \
	}
static const struct metric orders = METRIC(COUNTER, "orders.total", 1);
static const struct metric open_orders = METRIC(UPDOWNCOUNTER, "orders.open", 1);
static const struct metric latency = METRIC(HISTOGRAM, "orders.latency", 1);

static int set_up(void **state)
{
	*state = history_new();
	return !*state;
}

static int tear_down(void **state)
{
	history_free(*state);
	return 0;
}

static struct point counter(const char *region, int64_t total)
{
	return (struct point){ .resource = &shop, .metric = &orders, .value = { region }, .type = POINT_SUM,
			       .monotonic = true, .start_unix_ns = 7, .integer = total };
}

static struct point level(const char *region, int64_t value)
{
	return (struct point){ .resource = &shop, .metric = &open_orders, .value = { region }, .type = POINT_SUM,
			       .start_unix_ns = 7, .integer = value };
}

/* One more moment, at the given second. */
static void add(struct history *history, uint64_t second, struct point *point, size_t count)
{
	const struct points points = { .point = point, .count = count };

	history_add(history, &points, second * SECOND);
}

/* One number at each moment of a line; -1 for what is not known. */
static void expect(const struct history *history, struct point point, const double *wanted, size_t count)
{
	const struct history_line *line = history_find(history, &point);
	uint64_t ago_ns[HISTORY_MOMENTS];
	size_t i;

	assert_non_null(line);
	assert_int_equal(history_moments(history, ago_ns), count);
	for (i = 0; i < count; i++) {
		const float *row = history_row(history, line, i);

		assert_float_equal((row ? *row : -1), wanted[i], 0);
	}
}

/* Of a counter, what was new; the first look knows nothing of that. What comes up later began at 0: a first error is seen. */
static void counters_are_what_was_new(void **state)
{
	struct history *history = *state;
	struct point first[] = { counter("eu", 100) }, second[] = { counter("eu", 130), counter("us", 4) },
		     third[] = { counter("eu", 130), counter("us", 5) };

	add(history, 10, first, 1);
	add(history, 20, second, 2);
	add(history, 30, third, 2);
	expect(history, first[0], (double[]){ -1, 30, 0 }, 3);
	expect(history, second[1], (double[]){ -1, 4, 1 }, 3);
	assert_int_equal(*history_totals(history_find(history, &first[0])), 130);
	assert_null(history_find(history, &(struct point){ .resource = &billing, .metric = &orders, .value = { "eu" } }));
}

/* A stream that begins anew, one that falls, and one that was away leave a gap, and no step. */
static void what_is_not_known_is_a_gap(void **state)
{
	struct history *history = *state;
	struct point again = counter("eu", 3), fallen = counter("us", 2);
	struct point first[] = { counter("eu", 100), counter("us", 100), counter("za", 1) };
	struct point second[] = { again, fallen };
	struct point third[] = { counter("eu", 4), counter("us", 2), counter("za", 9) };

	second[0].start_unix_ns = third[0].start_unix_ns = 8;
	add(history, 10, first, 3);
	add(history, 20, second, 2);
	add(history, 30, third, 3);
	expect(history, first[0], (double[]){ -1, -1, 1 }, 3);
	expect(history, first[1], (double[]){ -1, -1, 0 }, 3);
	expect(history, first[2], (double[]){ -1, -1, -1 }, 3);
}

/* A level is its value; the ended one is not there. */
static void levels_are_values(void **state)
{
	struct history *history = *state;
	struct point first = level("eu", 5), second = level("eu", -3), ended = level("eu", 0), gauge = level("us", 0);

	ended.ended = true;
	gauge.type = POINT_GAUGE;
	gauge.real = 0.25;
	add(history, 10, &first, 1);
	add(history, 20, &second, 1);
	add(history, 30, &ended, 1);
	add(history, 40, &gauge, 1);
	expect(history, first, (double[]){ 5, -3, -1, -1 }, 4);
	expect(history, gauge, (double[]){ -1, -1, -1, 0.25 }, 4);
}

/* The series of a histogram are one, and it does not matter how its buckets go to the collector. */
static void histograms_are_their_buckets(void **state)
{
	struct history *history = *state;
	double room[BUCKET_MAX_DEFAULT_BOUNDS];
	const double *bound;
	uint32_t bounds = bucket_bounds(&latency, room, &bound), half = 0;
	uint64_t eu[BUCKET_MAX_DEFAULT_BOUNDS + 1] = { 0 }, us[BUCKET_MAX_DEFAULT_BOUNDS + 1] = { 0 };
	/* At scale 3, (0.25, 0.5] are the indices -16 to -9. */
	struct bucket_count cell[] = { { .index = -16, .count = 4 }, { .index = -9, .count = 2 },
				       { .index = 0, .negative = 1, .count = 1 } };
	struct point point[] = {
		{ .resource = &shop, .metric = &latency, .value = { "eu" }, .type = POINT_HISTOGRAM, .start_unix_ns = 7,
		  .bound = bound, .bound_count = bounds, .bucket = eu },
		{ .resource = &shop, .metric = &latency, .value = { "us" }, .type = POINT_HISTOGRAM, .start_unix_ns = 7,
		  .bound = bound, .bound_count = bounds, .bucket = us },
	};
	struct point exponential = { .resource = &shop, .metric = &latency, .value = { "eu" }, .type = POINT_EXPONENTIAL,
				     .start_unix_ns = 7, .zero_count = 3, .cell = cell, .cell_count = 3 };
	const struct history_line *line;

	while (bound[half] < 0.5)
		half++;
	add(history, 10, point, 2);
	eu[half] = 2;
	us[half] = 1;
	us[bounds] = 5;
	add(history, 20, point, 2);
	us[bounds] = 0;
	add(history, 30, point, 1); /* the other one has been forgotten: not fewer than nothing */
	add(history, 40, &exponential, 1);
	line = history_find(history, &point[1]);
	assert_ptr_equal(line, history_find(history, &point[0]));
	assert_int_equal(history_width(line), bounds + 1);
	assert_null(history_row(history, line, 0));
	assert_float_equal(history_row(history, line, 1)[half], 3, 0);
	assert_float_equal(history_row(history, line, 1)[bounds], 5, 0);
	assert_null(history_row(history, line, 2));
	assert_float_equal(history_row(history, line, 3)[half], 4, 0);
	assert_float_equal(history_row(history, line, 3)[0], 4, 0);
	assert_float_equal(history_row(history, line, 3)[bounds], 0, 0);
	assert_int_equal(history_totals(line)[half], 6);
}

/* Moments are ten seconds apart however often somebody looks, and are forgotten after fifteen minutes. */
static void moments_are_steps_of_the_last_fifteen_minutes(void **state)
{
	struct history *history = *state;
	struct point point = counter("eu", 0);
	uint64_t ago_ns[HISTORY_MOMENTS];
	const struct history_line *line;
	uint64_t second;

	for (second = 1; second <= 2000; second++) {
		point.integer = (int64_t)second;
		add(history, second, &point, 1);
	}
	assert_int_equal(history_moments(history, ago_ns), HISTORY_MOMENTS);
	line = history_find(history, &point);
	for (size_t i = 0; i < HISTORY_MOMENTS; i++) {
		assert_in_range(ago_ns[i], (HISTORY_MOMENTS - 1 - i) * 9 * SECOND, (HISTORY_MOMENTS - i) * 10 * SECOND);
		assert_float_equal(*history_row(history, line, i), 9, 0); /* exports may come a little early */
	}
	/* A minute apart: fifteen of them. */
	for (; second <= 12000; second += 60)
		add(history, second, &point, 1);
	assert_int_equal(history_moments(history, ago_ns), 16);
	assert_int_equal(ago_ns[0], 15 * 60 * SECOND);
}

/* Of many series the largest are kept, and one that becomes large takes the place of a small one. */
static void the_largest_series_are_kept(void **state)
{
	enum { MANY = 100 };
	struct history *history = *state;
	struct point point[MANY];
	char region[MANY][16];
	size_t i, round, kept = 0;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < MANY; i++) {
			(void)snprintf(region[i], sizeof(region[i]), "region-%zu", i);
			point[i] = counter(region[i], (int64_t)(i < MANY - HISTORY_LINES ? 1 : 1000 * round));
		}
		add(history, 10 * (round + 1), point, MANY);
	}
	for (i = 0; i < MANY; i++) {
		const struct history_line *line = history_find(history, &point[i]);

		kept += line != NULL;
		assert_true(!line == (i < MANY - HISTORY_LINES));
		if (line)
			assert_float_equal(*history_row(history, line, 19), 1000, 0);
	}
	assert_int_equal(kept, HISTORY_LINES);
}

/* However much there is, it takes no more than it may; one service gets half, and another one's lines still find room. */
static void room_is_bounded_and_shared(void **state)
{
	enum { METRICS = 3000 };
	struct history *history = *state;
	struct metric *metric = calloc(METRICS, sizeof(*metric));
	struct point *point = calloc(METRICS, sizeof(*point)), other = counter("eu", 1);
	struct resource *many = calloc(METRICS, sizeof(*many));
	size_t i, before;

	assert_true(metric && point && many);
	for (i = 0; i < METRICS; i++) {
		metric[i] = orders;
		metric[i].label_count = 0;
		point[i] = counter("", 1);
		point[i].metric = &metric[i];
	}
	add(history, 10, point, METRICS);
	assert_in_range(history_bytes(history), HISTORY_BYTES / 2 - 4096, HISTORY_BYTES / 2);
	other.resource = &billing;
	add(history, 20, &other, 1);
	assert_non_null(history_find(history, &other));
	for (i = 0; i < METRICS; i++)
		point[i].resource = &many[i];
	add(history, 30, point, METRICS);
	assert_in_range(history_bytes(history), HISTORY_BYTES - 4096, HISTORY_BYTES);
	/* What was refused before may be old when it finds room: nobody says that it began at 0. */
	before = history_bytes(history);
	history_forget(history, &shop);
	assert_in_range(history_bytes(history), 0, before / 2 + 4096);
	assert_null(history_find(history, &(struct point){ .resource = &shop, .metric = &metric[0], .type = POINT_SUM }));
	add(history, 40, point, METRICS);
	assert_null(history_row(history, history_find(history, &point[METRICS - 1]), 3));
	free(metric);
	free(point);
	free(many);
}

static void free_takes_null(void **state)
{
	(void)state;
	history_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counters_are_what_was_new, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_known_is_a_gap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(levels_are_values, set_up, tear_down),
		cmocka_unit_test_setup_teardown(histograms_are_their_buckets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(moments_are_steps_of_the_last_fifteen_minutes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_largest_series_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(room_is_bounded_and_shared, set_up, tear_down),
		cmocka_unit_test(free_takes_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
