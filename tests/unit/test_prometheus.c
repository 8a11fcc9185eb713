/* SPDX-License-Identifier: BSD-2-Clause */
/* test_prometheus.c - names, labels and the page that Prometheus scrapes. */
#include "unit.h"

#include "prometheus.h"
#include "prometheus_name.h"

#define START UINT64_C(1700000000123000000)

/* What Prometheus' own OTLP receiver, and VictoriaMetrics' with Prometheus' names, make of the same. */
static void prometheus_family_is_named_as_by_prometheus(void **state)
{
	static const struct {
		const char *name, *unit;
		uint32_t kind;
		const char *family, *suffix;
	} rows[] = {
		{ "script.executions.total", "{execution}", PROBEMETER_KIND_COUNTER, "script_executions", NULL },
		{ "connections.messages.sent", "{message}", PROBEMETER_KIND_COUNTER, "connections_messages_sent", NULL },
		{ "script.execution.duration", "{s}", PROBEMETER_KIND_HISTOGRAM, "script_execution_duration", NULL },
		{ "orders.latency", "s", PROBEMETER_KIND_HISTOGRAM, "orders_latency_seconds", "seconds" },
		{ "orders.latency.seconds", "s", PROBEMETER_KIND_HISTOGRAM, "orders_latency_seconds", NULL },
		{ "bytes.sent.total", "By", PROBEMETER_KIND_COUNTER, "bytes_sent", NULL },
		{ "sent", "By", PROBEMETER_KIND_COUNTER, "sent_bytes", "bytes" },
		{ "speed", "By/s", PROBEMETER_KIND_GAUGE, "speed_bytes_per_second", NULL },
		{ "load", "1", PROBEMETER_KIND_GAUGE, "load_ratio", "ratio" },
		{ "load.ratio", "1", PROBEMETER_KIND_GAUGE, "load_ratio", "ratio" },
		{ "load", "1", PROBEMETER_KIND_UPDOWNCOUNTER, "load", NULL },
		{ "used", "%", PROBEMETER_KIND_GAUGE, "used_percent", "percent" },
		{ "odd", "furlong", PROBEMETER_KIND_GAUGE, "odd_furlong", NULL },
		{ "__a..b--c__", "", PROBEMETER_KIND_GAUGE, "a_b_c", NULL },
		{ "2.fast", "", PROBEMETER_KIND_GAUGE, "_2_fast", NULL },
		{ "caf\xc3\xa9.total", "", PROBEMETER_KIND_COUNTER, "caf", NULL },
		{ "total", "", PROBEMETER_KIND_COUNTER, "_", NULL },
		{ "a\nb{c=\"d\"} 1", "", PROBEMETER_KIND_GAUGE, "a_b_c_d_1", NULL },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		const struct metric metric = { .name = rows[i].name, .unit = rows[i].unit };
		enum prometheus_type type = rows[i].kind == PROBEMETER_KIND_COUNTER   ? PROMETHEUS_COUNTER :
					    rows[i].kind == PROBEMETER_KIND_HISTOGRAM ? PROMETHEUS_HISTOGRAM :
											PROMETHEUS_GAUGE;
		struct writer out = { 0 };
		const char *unit;

		prometheus_family(&out, &metric, type, rows[i].kind == PROBEMETER_KIND_GAUGE, &unit);
		writer_byte(&out, '\0');
		assert_string_equal((char *)out.bytes, rows[i].family);
		if (rows[i].suffix)
			assert_string_equal(unit, rows[i].suffix);
		else
			assert_null(unit);
		free(out.bytes);
	}
}

static void prometheus_label_is_never_anothers(void **state)
{
	static const char *const rows[][2] = {
		{ "lang.and.version", "lang_and_version" }, { "9lives", "key_9lives" }, { "__name__", "key__name__" },
		{ "", "key" }, { "a\"},b{", "a___b_" }, { ":x", "key_x" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct writer out = { 0 };

		prometheus_label(&out, rows[i][0]);
		writer_byte(&out, '\0');
		assert_string_equal((char *)out.bytes, rows[i][1]);
		free(out.bytes);
	}
}

static struct attribute shop_attributes[] = {
	{ .key = "service.name", .value = "shop" },
	{ .key = "service.instance.id", .value = "a1" },
	{ .key = "k8s.pod", .value = "x\\y\"z\n" },
	{ .key = "k8s_pod", .value = "other" },
};
static const struct resource shop = { .attribute = shop_attributes, .attribute_count = 4 };
static const double bounds[] = { 0.5, 2 };
static const struct metric orders = { .kind = PROBEMETER_KIND_COUNTER, .scope = "S", .name = "orders.total", .unit = "{order}",
				      .description = "Orders \"placed\"\\\n", .label_count = 1, .label = { "le" } };
static const struct metric latency = { .kind = PROBEMETER_KIND_HISTOGRAM, .scope = "S", .name = "latency", .unit = "s",
				       .description = "Latency", .label_count = 2, .label = { "a.b", "a_b" } };
static const struct metric heat = { .kind = PROBEMETER_KIND_GAUGE, .scope = "S", .name = "heat", .unit = "Cel",
				    .description = "Heat" };

#define COMMON .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START
#define SHOP "service_name=\"shop\",service_instance_id=\"a1\",otel_scope_name=\"S\""

static char *page(struct point *point, size_t count, enum prometheus_format format, struct prometheus_conflicts *conflicts)
{
	struct points points = { .time_unix_ns = START + 1, .point = point, .count = count };
	struct arena *arena = arena_new();
	struct writer out = { 0 };

	assert_int_equal(prometheus_write(&out, &points, format, arena, conflicts), 0);
	writer_byte(&out, '\0');
	arena_free(arena);
	return (char *)out.bytes;
}

/* Everything that a page can hold, in both formats, to the byte. */
static void prometheus_page_is_this(void **state)
{
	static uint64_t bucket[] = { 1, 2, 3 };
	struct point point[] = {
		{ .resource = &shop, .metric = &orders, .value = { "a\"} 1\n\\" }, .type = POINT_SUM, .monotonic = true, COMMON,
		  .integer = INT64_MAX },
		{ .resource = &shop, .metric = &orders, .overflow = true, .type = POINT_SUM, .monotonic = true, COMMON,
		  .integer = 5 },
		{ .resource = &shop, .metric = &latency, .value = { "x", "y" }, .type = POINT_HISTOGRAM, COMMON, .count = 6,
		  .sum = 7.25, .has_sum = true, .bound = bounds, .bound_count = 2, .bucket = bucket },
		{ .resource = &shop, .metric = &heat, .type = POINT_GAUGE, .real = -1.0 / 0.0 },
	};
	struct prometheus_conflicts conflicts;
	char *text;

	(void)state;
	text = page(point, COUNT(point), PROMETHEUS_TEXT, &conflicts);
	assert_string_equal(text,
		"# TYPE target_info gauge\n"
		"# HELP target_info Attributes of each resource\n"
		"target_info{service_name=\"shop\",service_instance_id=\"a1\",k8s_pod=\"x\\\\y\\\"z\\n\"} 1\n"
		"# TYPE heat_celsius gauge\n"
		"# HELP heat_celsius Heat\n"
		"heat_celsius{" SHOP "} -Inf\n"
		"# TYPE latency_seconds histogram\n"
		"# HELP latency_seconds Latency\n"
		"latency_seconds_bucket{" SHOP ",a_b=\"x;y\",le=\"0.5\"} 1\n"
		"latency_seconds_bucket{" SHOP ",a_b=\"x;y\",le=\"2\"} 3\n"
		"latency_seconds_bucket{" SHOP ",a_b=\"x;y\",le=\"+Inf\"} 6\n"
		"latency_seconds_sum{" SHOP ",a_b=\"x;y\"} 7.25\n"
		"latency_seconds_count{" SHOP ",a_b=\"x;y\"} 6\n"
		"# TYPE orders_total counter\n"
		"# HELP orders_total Orders \"placed\"\\\\\\n\n"
		"orders_total{" SHOP ",exported_le=\"a\\\"} 1\\n\\\\\"} 9223372036854775807\n"
		"orders_total{" SHOP ",otel_metric_overflow=\"true\"} 5\n");
	free(text);
	text = page(point, COUNT(point), PROMETHEUS_OPENMETRICS, &conflicts);
	assert_string_equal(text,
		"# TYPE target info\n"
		"# HELP target Attributes of each resource\n"
		"target_info{service_name=\"shop\",service_instance_id=\"a1\",k8s_pod=\"x\\\\y\\\"z\\n\"} 1\n"
		"# TYPE heat_celsius gauge\n"
		"# UNIT heat_celsius celsius\n"
		"# HELP heat_celsius Heat\n"
		"heat_celsius{" SHOP "} -Inf\n"
		"# TYPE latency_seconds histogram\n"
		"# UNIT latency_seconds seconds\n"
		"# HELP latency_seconds Latency\n"
		"latency_seconds_bucket{" SHOP ",a_b=\"x;y\",le=\"0.5\"} 1\n"
		"latency_seconds_bucket{" SHOP ",a_b=\"x;y\",le=\"2.0\"} 3\n"
		"latency_seconds_bucket{" SHOP ",a_b=\"x;y\",le=\"+Inf\"} 6\n"
		"latency_seconds_sum{" SHOP ",a_b=\"x;y\"} 7.25\n"
		"latency_seconds_count{" SHOP ",a_b=\"x;y\"} 6\n"
		"latency_seconds_created{" SHOP ",a_b=\"x;y\"} 1700000000.123\n"
		"# TYPE orders counter\n"
		"# HELP orders Orders \\\"placed\\\"\\\\\\n\n"
		"orders_total{" SHOP ",exported_le=\"a\\\"} 1\\n\\\\\"} 9223372036854775807\n"
		"orders_created{" SHOP ",exported_le=\"a\\\"} 1\\n\\\\\"} 1700000000.123\n"
		"orders_total{" SHOP ",otel_metric_overflow=\"true\"} 5\n"
		"orders_created{" SHOP ",otel_metric_overflow=\"true\"} 1700000000.123\n"
		"# EOF\n");
	free(text);
}

/* Two versions of a service whose metric differs in its description alone: one series, nothing lost. */
static void prometheus_adds_up_what_has_the_same_labels(void **state)
{
	static const struct metric reworded = { .kind = PROBEMETER_KIND_COUNTER, .scope = "S", .name = "orders.total",
						.unit = "{order}", .description = "All orders", .label_count = 1,
						.label = { "le" } };
	static const struct metric slower = { .kind = PROBEMETER_KIND_HISTOGRAM, .scope = "S", .name = "latency", .unit = "s",
					      .description = "How late", .label_count = 2, .label = { "a.b", "a_b" } };
	uint64_t bucket[] = { 1, 2, 3 };
	struct point point[] = {
		{ .resource = &shop, .metric = &orders, .value = { "x" }, .type = POINT_SUM, .monotonic = true, COMMON, .integer = 3 },
		{ .resource = &shop, .metric = &orders, .value = { "y" }, .type = POINT_SUM, .monotonic = true, COMMON, .integer = 1 },
		{ .resource = &shop, .metric = &reworded, .value = { "x" }, .type = POINT_SUM, .monotonic = true, COMMON,
		  .integer = 4 },
		{ .resource = &shop, .metric = &latency, .value = { "x", "y" }, .type = POINT_HISTOGRAM, COMMON, .count = 6,
		  .sum = 7.25, .has_sum = true, .bound = bounds, .bound_count = 2, .bucket = bucket },
		{ .resource = &shop, .metric = &slower, .value = { "x", "y" }, .type = POINT_HISTOGRAM, COMMON, .count = 6,
		  .sum = 1, .has_sum = true, .bound = bounds, .bound_count = 2, .bucket = bucket },
	};
	struct prometheus_conflicts conflicts;
	char *text = page(point, COUNT(point), PROMETHEUS_TEXT, &conflicts);

	(void)state;
	assert_non_null(strstr(text, "orders_total{" SHOP ",exported_le=\"x\"} 7\norders_total{" SHOP ",exported_le=\"y\"} 1\n"));
	assert_non_null(strstr(text, "le=\"2\"} 6\n"));
	assert_non_null(strstr(text, "latency_seconds_sum{" SHOP ",a_b=\"x;y\"} 8.25\n"));
	assert_int_equal(conflicts.count, 0);
	assert_int_equal(bucket[0], 1);
	free(text);
}

/* A name has one meaning on a page: what would give it another is left out, and said. */
static void prometheus_leaves_out_what_would_mean_something_else(void **state)
{
	static const struct metric clash[] = {
		{ .kind = PROBEMETER_KIND_UPDOWNCOUNTER, .scope = "S", .name = "orders", .unit = "", .description = "" },
		{ .kind = PROBEMETER_KIND_UPDOWNCOUNTER, .scope = "S", .name = "latency.seconds.count", .unit = "",
		  .description = "" },
		{ .kind = PROBEMETER_KIND_UPDOWNCOUNTER, .scope = "S", .name = "target.info", .unit = "", .description = "" },
	};
	uint64_t bucket[] = { 1, 2, 3 };
	struct point point[] = {
		{ .resource = &shop, .metric = &orders, .value = { "x" }, .type = POINT_SUM, .monotonic = true, COMMON, .integer = 3 },
		{ .resource = &shop, .metric = &latency, .value = { "x", "y" }, .type = POINT_HISTOGRAM, COMMON, .count = 6,
		  .sum = 7.25, .has_sum = true, .bound = bounds, .bound_count = 2, .bucket = bucket },
		{ .resource = &shop, .metric = &clash[0], .type = POINT_SUM, COMMON, .integer = 1 },
		{ .resource = &shop, .metric = &clash[1], .type = POINT_SUM, COMMON, .integer = 1 },
		{ .resource = &shop, .metric = &clash[2], .type = POINT_SUM, COMMON, .integer = 1 },
	};
	struct prometheus_conflicts conflicts;
	char *text = page(point, COUNT(point), PROMETHEUS_TEXT, &conflicts);

	(void)state;
	assert_int_equal(conflicts.count, 3);
	assert_ptr_equal(conflicts.first, &point[2]);
	assert_null(strstr(text, "\norders{"));
	assert_null(strstr(text, "latency_seconds_count{" SHOP "} 1"));
	free(text);
}

/* Where values below zero were seen there is no sum, and nothing to show is still a page. */
static void prometheus_page_may_lack_things(void **state)
{
	uint64_t bucket[] = { 1, 2, 3 };
	struct point point[] = {
		{ .resource = &shop, .metric = &latency, .value = { "x", "y" }, .type = POINT_HISTOGRAM, COMMON, .count = 6,
		  .bound = bounds, .bound_count = 2, .bucket = bucket },
	};
	struct prometheus_conflicts conflicts;
	struct arena *arena = arena_new();
	struct writer out = { 0 };
	char *text = page(point, 1, PROMETHEUS_TEXT, &conflicts);

	(void)state;
	assert_null(strstr(text, "_sum"));
	free(text);
	assert_int_equal(prometheus_write(&out, NULL, PROMETHEUS_OPENMETRICS, arena, &conflicts), 0);
	assert_int_equal(out.size, 6);
	assert_memory_equal(out.bytes, "# EOF\n", 6);
	free(out.bytes);
	arena_free(arena);
}

struct pieces {
	struct writer all;
	size_t count;
};

static void take(void *context, const uint8_t *bytes, size_t size)
{
	struct pieces *pieces = context;

	writer_put(&pieces->all, bytes, size);
	pieces->count++;
}

/* A large page that leaves piece by piece is the one that stays whole. */
static void prometheus_page_may_leave_in_pieces(void **state)
{
	static uint64_t bucket[] = { 1, 2, 3 };
	static struct point point[3000];
	struct prometheus_conflicts conflicts;
	struct points points = { .time_unix_ns = START + 1, .point = point, .count = COUNT(point) };
	struct arena *arena = arena_new();
	struct pieces pieces = { .count = 0 };
	struct writer out = { .drain = take, .context = &pieces };
	char *whole;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(point); i++)
		point[i] = (struct point){ .resource = &shop, .metric = &latency, .value = { arena_printf(arena, "%zu", i), "y" },
					   .type = POINT_HISTOGRAM, COMMON, .count = 6, .sum = 0.1 * (double)i, .has_sum = true,
					   .bound = bounds, .bound_count = 2, .bucket = bucket };
	whole = page(point, COUNT(point), PROMETHEUS_OPENMETRICS, &conflicts);
	assert_int_equal(prometheus_write(&out, &points, PROMETHEUS_OPENMETRICS, arena, &conflicts), 0);
	assert_true(pieces.count > 10);
	take(&pieces, out.bytes, out.size);
	writer_byte(&pieces.all, '\0');
	assert_string_equal((char *)pieces.all.bytes, whole);
	free(pieces.all.bytes);
	free(out.bytes);
	free(whole);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prometheus_family_is_named_as_by_prometheus),
		cmocka_unit_test(prometheus_label_is_never_anothers),
		cmocka_unit_test(prometheus_page_is_this),
		cmocka_unit_test(prometheus_adds_up_what_has_the_same_labels),
		cmocka_unit_test(prometheus_leaves_out_what_would_mean_something_else),
		cmocka_unit_test(prometheus_page_may_lack_things),
		cmocka_unit_test(prometheus_page_may_leave_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
