/* SPDX-License-Identifier: BSD-2-Clause */
/* test_self.c - the agent's own numbers become points that say the same. */
#include "unit.h"

#include "encode.h"
#include "self.h"

static struct attribute name[] = { { "service.name", "probemeter" } };
static const struct resource agent = { .attribute = name, .attribute_count = 1 };

#define START UINT64_C(1000)
#define TIME UINT64_C(2000)

/* The points that @self makes. */
static struct points points_of(const struct self *self, struct arena *arena)
{
	static uint64_t drop[PM_MAX_METRICS * PM_DROP_REASONS];
	const struct merge_rule rule = { .time_unix_ns = TIME };
	struct metrics *metrics = metrics_new();
	size_t count = self_count(metrics, drop);
	struct sample *sample = arena_array(arena, count, sizeof(*sample));
	struct points points;

	assert_non_null(sample);
	assert_int_equal(self_samples(self, metrics, drop, &agent, START, arena, sample), 0);
	assert_int_equal(merge_fold(sample, count, &rule, arena, &points), 0);
	assert_int_equal(points.count, count);
	metrics_free(metrics);
	return points;
}

static const struct point *find(const struct points *points, const char *metric, const char *value)
{
	const struct point *found = NULL;

	for (size_t i = 0; i < points->count; i++)
		if (!strcmp(points->point[i].metric->name, metric) &&
		    (!value || !strcmp(points->point[i].value[0], value))) {
			assert_null(found);
			found = &points->point[i];
		}
	assert_non_null(found);
	return found;
}

/* Each number under its own name, of its own kind. */
static void self_numbers_come_out(void **state)
{
	struct self self = { .sites = 1, .processes = 2, .services = 3, .services_limit = 4, .series = 5, .series_limit = 6,
			     .cells = 7, .cells_limit = 8, .kernel_bytes = 9, .memory_bytes = 10, .cpu_utilization = 0.25 };
	const struct ship_result answered = { .status = 200, .wire_bytes = 1000, .retries = 2, .rejected = 5 };
	const struct ship_result refused = { .wire_bytes = 77, .retries = 4 };
	static const struct {
		const char *metric;
		int64_t value;
		bool monotonic;
	} expected[] = {
		{ "probemeter.agent.sites", 1, false },		 { "probemeter.agent.processes", 2, false },
		{ "probemeter.agent.services", 3, false },	 { "probemeter.agent.services.limit", 4, false },
		{ "probemeter.agent.series", 5, false },	 { "probemeter.agent.series.limit", 6, false },
		{ "probemeter.agent.cells", 7, false },		 { "probemeter.agent.cells.limit", 8, false },
		{ "probemeter.agent.kernel.memory", 9, false },	 { "process.memory.usage", 10, false },
		{ "probemeter.agent.export.bytes", 1000, true }, { "probemeter.agent.export.retries", 6, true },
		{ "probemeter.agent.points.rejected", 5, true },
	};
	struct arena *arena = arena_new();
	struct points points;

	(void)state;
	self_count_request(&self, &answered);
	self_count_request(&self, &refused); /* nobody took its body */
	points = points_of(&self, arena);
	for (size_t i = 0; i < COUNT(expected); i++) {
		const struct point *point = find(&points, expected[i].metric, NULL);

		assert_int_equal(point->type, POINT_SUM);
		assert_int_equal(point->integer, expected[i].value);
		assert_int_equal(point->monotonic, expected[i].monotonic);
		assert_string_equal(point->metric->scope, ENCODE_AGENT_SCOPE);
	}
	assert_int_equal(find(&points, "process.cpu.utilization", NULL)->type, POINT_GAUGE);
	assert_true(find(&points, "process.cpu.utilization", NULL)->real == 0.25);
	assert_int_equal(encode_check(&points, NULL, 0), 0);
	arena_free(arena);
}

/* Durations lie in the bucket that holds them, upper bound inclusive; their sum is theirs. */
static void self_durations_are_a_histogram(void **state)
{
	static const struct {
		uint64_t ms;
		size_t bucket;
	} expected[] = { { 0, 0 }, { 5, 0 }, { 6, 1 }, { 100, 4 }, { 101, 5 }, { 30000, 11 }, { 30001, 12 } };
	struct arena *arena = arena_new();
	struct self self = { 0 };
	const struct point *point;
	struct points points = points_of(&self, arena);

	(void)state;
	point = find(&points, "probemeter.agent.export.duration", NULL);
	assert_int_equal(point->count, 0);
	for (size_t i = 0; i < COUNT(expected); i++) {
		uint64_t before = self.duration_bucket[expected[i].bucket];

		self_count_export(&self, i % 2, expected[i].ms);
		assert_int_equal(self.duration_bucket[expected[i].bucket], before + 1);
	}
	points = points_of(&self, arena);
	point = find(&points, "probemeter.agent.export.duration", NULL);
	assert_int_equal(point->type, POINT_HISTOGRAM);
	assert_string_equal(point->metric->unit, "s");
	assert_int_equal(point->count, COUNT(expected));
	assert_int_equal(point->bound_count, SELF_DURATION_BOUNDS);
	assert_int_equal(point->bucket[0], 2);
	assert_int_equal(point->bucket[SELF_DURATION_BOUNDS], 1);
	assert_true(point->sum > 60.213 - 2e-6 && point->sum < 60.213 + 2e-6);
	assert_int_equal(find(&points, "probemeter.agent.exports", "delivered")->integer, 3);
	assert_int_equal(find(&points, "probemeter.agent.exports", "failed")->integer, 4);
	assert_int_equal(encode_check(&points, NULL, 0), 0);
	arena_free(arena);
}

/* A collector that claims to have rejected more points than there are numbers makes the count stand still, not wrap. */
static void self_counts_of_a_liar_do_not_wrap(void **state)
{
	const struct ship_result liar = { .rejected = INT64_MAX };
	struct arena *arena = arena_new();
	struct self self = { 0 };
	struct points points;

	(void)state;
	for (int i = 0; i < 5; i++)
		self_count_request(&self, &liar);
	points = points_of(&self, arena);
	assert_true(find(&points, "probemeter.agent.points.rejected", NULL)->integer == INT64_MAX);
	arena_free(arena);
}

/* The table in operating.md names every metric that is exported. */
static void self_document_is_complete(void **state)
{
	struct arena *arena = arena_new();
	const struct self self = { 0 };
	struct points points = points_of(&self, arena);
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	self_document(out);
	(void)fclose(out);
	for (size_t i = 0; i < points.count; i++)
		assert_non_null(strstr(text, arena_printf(arena, "| `%s` |", points.point[i].metric->name)));
	assert_non_null(strstr(text, "| `probemeter.agent.events.dropped` | counter | `{event}` | `reason`, `metric` |"));
	assert_non_null(strstr(text, "| `probemeter.agent.export.duration` | histogram | `s` | |"));
	free(text);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(self_numbers_come_out),
		cmocka_unit_test(self_durations_are_a_histogram),
		cmocka_unit_test(self_counts_of_a_liar_do_not_wrap),
		cmocka_unit_test(self_document_is_complete),
	};

	return cmocka_run_group_tests_name("self", tests, NULL, NULL);
}
