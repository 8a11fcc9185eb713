/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_seen.c - series that go on as zeros when nobody speaks of them any more.
 */
#include "unit.h"

#include "merge.h"
#include "seen.h"

static const struct resource shop, billing;

#define METRIC(kind_, name_, labels)                                                                         \
	{                                                                                                    \
		.kind = PROBEMETER_KIND_##kind_, .scope = "shop", .name = name_, .unit = "s",                \
		.description = "", .label_count = labels, .label = { "region", "tier" }                      \
	}
static const struct metric open_orders = METRIC(UPDOWNCOUNTER, "orders.open", 1);
static const struct metric open_pairs = METRIC(UPDOWNCOUNTER, "pairs.open", 2);
static const struct metric open_doors = METRIC(UPDOWNCOUNTER, "doors.open", 0);
static const struct metric orders = METRIC(COUNTER, "orders.total", 1);
static const struct metric restarts = METRIC(COUNTER, "restarts.total", 0);
static const struct metric lag = METRIC(UPDOWNCOUNTER_LATEST, "orders.lag", 1);
static const struct metric load_ratio = METRIC(GAUGE, "load", 0);
static const struct metric latency = METRIC(HISTOGRAM, "latency", 0);

static int set_up(void **state)
{
	*state = seen_new(SEEN_GOES_ON);
	return !*state;
}

static int tear_down(void **state)
{
	seen_free(*state);
	return 0;
}

static void update(struct seen *seen, struct point *point, size_t count)
{
	const struct points points = { .point = point, .count = count };

	assert_int_equal(seen_update(seen, &points), 0);
}

/* Which series stay: an up-down counter's, which is 0 without processes, and an unlabelled counter's, which was exported
 * as 0 before anything happened. A gauge without a process has no value, it ends, and the rest is in the kernel. */
static void only_series_that_must_go_on_are_remembered(void **state)
{
	static const struct {
		const struct metric *metric;
		bool remembered;
	} expected[] = {
		{ &open_orders, true }, { &restarts, true },	{ &orders, false },
		{ &lag, false },	{ &load_ratio, false }, { &latency, false },
	};
	size_t before = 0;

	for (size_t i = 0; i < COUNT(expected); i++) {
		struct point point = { .resource = &shop, .metric = expected[i].metric, .value = { "eu" } };

		update(*state, &point, 1);
		assert_int_equal(seen_count(*state), before + expected[i].remembered);
		before = seen_count(*state);
	}
}

/* What comes back is a zero with the series' identity and start, good for merging. */
static void samples_are_zeros_with_the_identity(void **state)
{
	struct point point[] = {
		{ .resource = &shop, .metric = &open_orders, .value = { "eu" }, .start_unix_ns = 7, .integer = 12 },
		{ .resource = &shop, .metric = &restarts, .start_unix_ns = 8, .integer = 3 },
		{ .resource = &billing, .metric = &open_orders, .overflow = true, .start_unix_ns = 9, .integer = 4 },
	};
	struct sample sample[3];

	update(*state, point, 3);
	assert_int_equal(seen_count(*state), 3);
	seen_samples(*state, sample);
	for (size_t i = 0; i < 3; i++) {
		const struct sample *zero = &sample[i];

		assert_int_equal(zero->level, 0);
		assert_int_equal(zero->set_ns, 0);
		assert_int_equal(zero->cell_count, 0);
		if (zero->metric == &restarts) {
			assert_int_equal(zero->start_unix_ns, 8);
		} else if (zero->overflow) {
			assert_ptr_equal(zero->resource, &billing);
			assert_int_equal(zero->start_unix_ns, 9);
		} else {
			assert_ptr_equal(zero->resource, &shop);
			assert_ptr_equal(zero->metric, &open_orders);
			assert_string_equal(zero->value[0], "eu");
			assert_int_equal(zero->start_unix_ns, 7);
		}
	}
}

/* The labels are copies: points live for one export only. */
static void labels_outlive_the_points(void **state)
{
	char label[] = "eu";
	struct point point = { .resource = &shop, .metric = &open_orders, .value = { label } };
	struct sample sample;

	update(*state, &point, 1);
	memset(label, 'x', sizeof(label) - 1);
	seen_samples(*state, &sample);
	assert_string_equal(sample.value[0], "eu");
}

/* Each series once, however often it comes; the first start stands. */
static void series_is_remembered_once(void **state)
{
	struct sample sample[3];

	for (uint64_t i = 0; i < 10; i++) {
		struct point point[] = {
			{ .resource = &shop, .metric = &open_pairs, .value = { "ab", "c" }, .start_unix_ns = 5 + i },
			{ .resource = &shop, .metric = &open_pairs, .value = { "a", "bc" }, .start_unix_ns = 5 + i },
			{ .resource = &shop, .metric = &open_pairs, .overflow = true, .start_unix_ns = 5 + i },
		};

		update(*state, point, 3);
		assert_int_equal(seen_count(*state), 3);
	}
	seen_samples(*state, sample);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(sample[i].start_unix_ns, 5);
}

/* A resource, a metric and an overflow flag each make another series of the same labels. */
static void identity_is_resource_metric_overflow_and_labels(void **state)
{
	struct point point[] = {
		{ .resource = &shop, .metric = &open_orders, .value = { "" } },
		{ .resource = &shop, .metric = &open_orders, .overflow = true },
		{ .resource = &billing, .metric = &open_orders, .value = { "" } },
		{ .resource = &shop, .metric = &open_pairs, .value = { "", "" } },
		{ .resource = &shop, .metric = &open_pairs, .value = { "", "a" } },
		{ .resource = &shop, .metric = &open_pairs, .value = { "a", "" } },
		{ .resource = &shop, .metric = &open_doors },
		/* Its process's level table was full of others' series. */
		{ .resource = &shop, .metric = &open_doors, .overflow = true },
	};

	update(*state, point, COUNT(point));
	assert_int_equal(seen_count(*state), COUNT(point));
	update(*state, point, COUNT(point));
	assert_int_equal(seen_count(*state), COUNT(point));
}

/* The longest label values there can be: 511 bytes of which each became a three-byte U+FFFD. */
static void longest_labels_fit(void **state)
{
	static const struct metric four = METRIC(UPDOWNCOUNTER, "four.open", 4);
	char label[3 * PROBEMETER_LABEL_BYTES + 1];
	struct point point = { .resource = &shop, .metric = &four, .value = { label, label, label, label } };
	struct sample sample;

	for (size_t i = 0; i + 1 < sizeof(label); i += 3)
		memcpy(label + i, "\xef\xbf\xbd", 3);
	label[sizeof(label) - 1] = '\0';
	update(*state, &point, 1);
	seen_samples(*state, &sample);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(sample.value[i], label);
}

/* The whole purpose: the process is dead, its share is gone, the series says 0 and not nothing. */
static void dead_processes_leave_a_zero(void **state)
{
	struct sample alive[] = {
		{ .resource = &shop, .metric = &open_orders, .value = { "eu" }, .level = 5, .start_unix_ns = 3 },
		{ .resource = &shop, .metric = &open_orders, .value = { "us" }, .level = 6, .start_unix_ns = 3 },
	};
	struct sample later[3] = {
		{ .resource = &shop, .metric = &open_orders, .value = { "us" }, .level = 4, .start_unix_ns = 3 },
	};
	const struct merge_rule rule = { .time_unix_ns = 10 };
	struct arena *arena = arena_new();
	struct points points;

	assert_int_equal(merge_fold(alive, 2, &rule, arena, &points), 0);
	assert_int_equal(seen_update(*state, &points), 0);
	arena_reset(arena);
	seen_samples(*state, later + 1);
	assert_int_equal(merge_fold(later, 3, &rule, arena, &points), 0);
	assert_int_equal(points.count, 2);
	assert_string_equal(points.point[0].value[0], "eu");
	assert_int_equal(points.point[0].integer, 0);
	assert_int_equal(points.point[0].start_unix_ns, 3);
	assert_int_equal(points.point[1].integer, 4);
	arena_free(arena);
}

/* A service that has other label values every day is not remembered for ever, and others still are. */
static void ever_new_labels_are_not_remembered_for_ever(void **state)
{
	enum { DAYS = 200000 };
	struct point other = { .resource = &billing, .metric = &open_orders, .value = { "eu" } };
	size_t count;

	for (int day = 0; day < DAYS; day++) {
		char label[32];
		struct point point = { .resource = &shop, .metric = &open_orders, .value = { label } };

		(void)snprintf(label, sizeof(label), "day-%d", day);
		update(*state, &point, 1);
	}
	count = seen_count(*state);
	assert_in_range(count, 10000, DAYS / 2);
	update(*state, &other, 1);
	assert_int_equal(seen_count(*state), count + 1);
}

/* One export: what @alive says, and what is remembered. */
static struct points export_of(struct seen *seen, const struct sample *alive, size_t count, struct arena *arena)
{
	const struct merge_rule rule = { .time_unix_ns = 10 };
	struct sample sample[8];
	struct points points;

	memcpy(sample, alive, count * sizeof(*alive));
	seen_samples(seen, sample + count);
	assert_int_equal(merge_fold(sample, count + seen_count(seen), &rule, arena, &points), 0);
	assert_int_equal(seen_update(seen, &points), 0);
	seen_sent(seen, &points);
	return points;
}

/* A gauge's end is told until somebody has heard it, and then no more. */
static void ends_are_told_until_delivered(void **state)
{
	static const struct sample alive[] = {
		{ .resource = &shop, .metric = &load_ratio, .set_ns = 1 },
		{ .resource = &shop, .metric = &lag, .value = { "eu" }, .set_ns = 1, .start_unix_ns = 4 },
		{ .resource = &shop, .metric = &lag, .value = { "us" }, .set_ns = 1, .start_unix_ns = 4 },
		{ .resource = &shop, .metric = &open_orders, .value = { "us" }, .start_unix_ns = 4 },
	};
	struct seen *seen = seen_new(SEEN_ENDS);
	struct arena *arena = arena_new();
	struct points points;

	(void)state;
	points = export_of(seen, alive, 4, arena);
	assert_int_equal(points.count, 4);
	assert_int_equal(seen_count(seen), 3);
	seen_delivered(seen);
	assert_int_equal(seen_count(seen), 3);
	/* "us" lives on. The first request of two did not arrive: it had the gauge. */
	points = export_of(seen, alive + 2, 1, arena);
	assert_int_equal(points.count, 3);
	assert_true(points.point[0].metric == &load_ratio && points.point[0].ended);
	assert_true(points.point[1].ended && points.point[1].start_unix_ns == 4 && !strcmp(points.point[1].value[0], "eu"));
	assert_true(!points.point[2].ended && !strcmp(points.point[2].value[0], "us"));
	seen_failed(seen, 0, 1);
	seen_delivered(seen);
	assert_int_equal(seen_count(seen), 2);
	points = export_of(seen, alive + 2, 1, arena);
	assert_int_equal(points.count, 2);
	assert_true(points.point[0].ended);
	seen_delivered(seen);
	assert_int_equal(seen_count(seen), 1);
	/* All are back, and gone again: that is another end of each. */
	points = export_of(seen, alive, 3, arena);
	assert_int_equal(points.count, 3);
	assert_false(points.point[0].ended);
	seen_delivered(seen);
	assert_int_equal(seen_count(seen), 3);
	points = export_of(seen, alive, 0, arena);
	assert_int_equal(points.count, 3);
	assert_true(points.point[0].ended && points.point[1].ended && points.point[2].ended);
	seen_delivered(seen);
	assert_int_equal(seen_count(seen), 0);
	points = export_of(seen, alive, 0, arena);
	assert_int_equal(points.count, 0);
	arena_free(arena);
	seen_free(seen);
}

/* Series that end give their room back, one by one. */
static void ends_give_their_room_back(void **state)
{
	enum { DAYS = 200000, A_DAY = 1000 };
	struct seen *seen = seen_new(SEEN_ENDS);
	char label[A_DAY][32];
	struct point point[A_DAY];
	const struct points points = { .point = point, .count = A_DAY };

	(void)state;
	for (int day = 0; day < DAYS / A_DAY; day++) {
		for (int i = 0; i < A_DAY; i++) {
			(void)snprintf(label[i], sizeof(label[i]), "%d-%d", day, i);
			point[i] = (struct point){ .resource = &shop, .metric = &lag, .value = { label[i] } };
		}
		assert_int_equal(seen_update(seen, &points), 0);
		assert_int_equal(seen_count(seen), A_DAY);
		for (int i = 0; i < A_DAY; i++)
			point[i].ended = true;
		seen_sent(seen, &points);
		seen_delivered(seen);
		assert_int_equal(seen_count(seen), 0);
	}
	seen_free(seen);
}

/* Freed half made or not made at all. */
static void free_takes_null(void **state)
{
	(void)state;
	seen_free(NULL);
}

/* A resource that is forgotten takes its own series along and no other's, and may come back. */
static void a_forgotten_resource_goes_on_no_more(void **state)
{
	struct seen *seen = *state;
	struct point point[] = { { .resource = &shop, .metric = &open_orders, .value = { "eu" } },
				 { .resource = &billing, .metric = &open_orders, .value = { "eu" } },
				 { .resource = &shop, .metric = &restarts, .start_unix_ns = 5 } };
	struct sample sample[3];

	update(seen, point, COUNT(point));
	seen_forget(seen, &shop);
	assert_int_equal(seen_count(seen), 1);
	seen_samples(seen, sample);
	assert_ptr_equal(sample[0].resource, &billing);
	point[2].start_unix_ns = 9;
	update(seen, &point[2], 1);
	assert_int_equal(seen_count(seen), 2);
	seen_samples(seen, sample);
	assert_int_equal(sample[1].start_unix_ns, 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_series_that_must_go_on_are_remembered),
		TEST(a_forgotten_resource_goes_on_no_more),
		TEST(samples_are_zeros_with_the_identity),
		TEST(labels_outlive_the_points),
		TEST(series_is_remembered_once),
		TEST(identity_is_resource_metric_overflow_and_labels),
		TEST(longest_labels_fit),
		TEST(dead_processes_leave_a_zero),
		TEST(ever_new_labels_are_not_remembered_for_ever),
		TEST(ends_are_told_until_delivered),
		TEST(ends_give_their_room_back),
		TEST(free_takes_null),
	};

	return cmocka_run_group_tests_name("seen", tests, NULL, NULL);
}
