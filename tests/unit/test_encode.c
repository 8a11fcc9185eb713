/* SPDX-License-Identifier: BSD-2-Clause */
/* test_encode.c - the bytes say what the points say, to a decoder that knows only the official schema. */
#include "unit.h"

#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena.h"
#include "encode.h"
#include "merge.h"
#include "otlp.pb-c.h"
#include <probemeter/version.h>

#define START UINT64_C(1700000000000000001)
#define TIME UINT64_C(1700000010000000002)

static struct attribute shop_attributes[] = {
	{ .key = "service.name", .value = "shop" },
	{ .key = "service.instance.id", .value = "\xc3\xbc-1" },
};
static const struct resource shop = { .attribute = shop_attributes, .attribute_count = 2 };
static const struct resource bare = { .attribute = NULL, .attribute_count = 0 };

static const double two_bounds[] = { 0.5, 2 };

static const struct metric executions = {
	.kind = PROBEMETER_KIND_COUNTER, .scope = "ExecutionMetrics", .name = "executions.total", .unit = "{execution}",
	.description = "Total executions", .label_count = 2, .label = { "status", "lang" },
};
static const struct metric queue = {
	.kind = PROBEMETER_KIND_UPDOWNCOUNTER, .scope = "ExecutionMetrics", .name = "queue.depth", .unit = "",
	.description = "", .label_count = 0,
};
static const struct metric heat = {
	.kind = PROBEMETER_KIND_GAUGE, .scope = "HealthMetrics", .name = "heat", .unit = "Cel", .description = "",
	.label_count = 1, .label = { "room" },
};
static const struct metric duration = {
	.kind = PROBEMETER_KIND_HISTOGRAM, .scope = "HealthMetrics", .name = "duration", .unit = "{s}",
	.description = "", .label_count = 1, .label = { "room" }, .bound_count = 2, .bound = two_bounds,
};
static const struct metric spread = {
	.kind = PROBEMETER_KIND_HISTOGRAM, .scope = "HealthMetrics", .name = "spread", .unit = "s", .description = "",
};
static const struct metric drops = {
	.kind = PROBEMETER_KIND_COUNTER, .scope = "probemeter.agent", .name = "drops", .unit = "{event}",
	.description = "", .label_count = 1, .label = { "reason" },
};

static uint64_t three[] = { 1, 0, 2 }, one[] = { 4 }, positive[] = { 1, 0, 5 }, negative[] = { 2 };

/* Every kind, the values that are easily lost (0, empty text, absent sum), two resources, two scopes in one. */
static const struct point every_kind[] = {
	{ .resource = &shop, .metric = &executions, .value = { "ok", "" }, .type = POINT_SUM, .monotonic = true,
	  .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .integer = 9007199254740993 },
	{ .resource = &shop, .metric = &executions, .overflow = true, .type = POINT_SUM, .monotonic = true,
	  .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .integer = 0 },
	{ .resource = &shop, .metric = &queue, .type = POINT_SUM, .temporality = TEMPORALITY_CUMULATIVE,
	  .start_unix_ns = START, .integer = -3 },
	{ .resource = &shop, .metric = &heat, .value = { "\xe6\xbc\xa2" }, .type = POINT_GAUGE, .real = 0 },
	{ .resource = &shop, .metric = &duration, .value = { "a" }, .type = POINT_HISTOGRAM,
	  .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .count = 3, .sum = 0, .has_sum = true,
	  .bound = two_bounds, .bound_count = 2, .bucket = three },
	{ .resource = &shop, .metric = &duration, .value = { "b" }, .type = POINT_HISTOGRAM,
	  .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .count = 4, .bucket = one },
	{ .resource = &shop, .metric = &spread, .type = POINT_EXPONENTIAL, .temporality = TEMPORALITY_DELTA,
	  .start_unix_ns = START, .count = 9, .scale = 3, .zero_count = 1,
	  .positive = { .offset = -2, .bucket_count = 3, .count = positive },
	  .negative = { .offset = 7, .bucket_count = 1, .count = negative } },
	{ .resource = &bare, .metric = &drops, .value = { "no room" }, .type = POINT_SUM, .monotonic = true,
	  .temporality = TEMPORALITY_DELTA, .start_unix_ns = START, .integer = 1 },
};

static const char every_kind_text[] =
	"resource_metrics { resource {"
	" attributes { key: \"service.name\" value { string_value: \"shop\" } }"
	" attributes { key: \"service.instance.id\" value { string_value: \"\\303\\274-1\" } } }"
	" scope_metrics { scope { name: \"ExecutionMetrics\" }"
	" metrics { name: \"executions.total\" description: \"Total executions\" unit: \"{execution}\""
	" sum { data_points { start_time_unix_nano: 1700000000000000001 time_unix_nano: 1700000010000000002"
	" as_int: 9007199254740993"
	" attributes { key: \"status\" value { string_value: \"ok\" } }"
	" attributes { key: \"lang\" value { string_value: \"\" } } }"
	" data_points { start_time_unix_nano: 1700000000000000001 time_unix_nano: 1700000010000000002 as_int: 0"
	" attributes { key: \"otel.metric.overflow\" value { bool_value: true } } }"
	" aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE is_monotonic: true } }"
	" metrics { name: \"queue.depth\""
	" sum { data_points { start_time_unix_nano: 1700000000000000001 time_unix_nano: 1700000010000000002 as_int: -3 }"
	" aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE } } }"
	" scope_metrics { scope { name: \"HealthMetrics\" }"
	" metrics { name: \"heat\" unit: \"Cel\""
	" gauge { data_points { time_unix_nano: 1700000010000000002 as_double: 0"
	" attributes { key: \"room\" value { string_value: \"\\346\\274\\242\" } } } } }"
	" metrics { name: \"duration\" unit: \"{s}\""
	" histogram { data_points { start_time_unix_nano: 1700000000000000001 time_unix_nano: 1700000010000000002"
	" count: 3 sum: 0 bucket_counts: 1 bucket_counts: 0 bucket_counts: 2"
	" explicit_bounds: 0.5 explicit_bounds: 2"
	" attributes { key: \"room\" value { string_value: \"a\" } } }"
	" data_points { start_time_unix_nano: 1700000000000000001 time_unix_nano: 1700000010000000002"
	" count: 4 bucket_counts: 4"
	" attributes { key: \"room\" value { string_value: \"b\" } } }"
	" aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE } }"
	" metrics { name: \"spread\" unit: \"s\""
	" exponential_histogram { data_points {"
	" start_time_unix_nano: 1700000000000000001 time_unix_nano: 1700000010000000002"
	" count: 9 scale: 3 zero_count: 1"
	" positive { offset: -2 bucket_counts: 1 bucket_counts: 0 bucket_counts: 5 }"
	" negative { offset: 7 bucket_counts: 2 } }"
	" aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA } } } }"
	" resource_metrics { resource { }"
	" scope_metrics { scope { name: \"probemeter.agent\" version: \"" PROBEMETER_VERSION "\" }"
	" metrics { name: \"drops\" unit: \"{event}\""
	" sum { data_points { start_time_unix_nano: 1700000000000000001 time_unix_nano: 1700000010000000002 as_int: 1"
	" attributes { key: \"reason\" value { string_value: \"no room\" } } }"
	" aggregation_temporality: AGGREGATION_TEMPORALITY_DELTA is_monotonic: true } } } }";

static const struct points every_kind_points = {
	.time_unix_ns = TIME, .point = (struct point *)every_kind, .count = COUNT(every_kind),
};

/* Blanks and line ends in a row become one blank. */
static void squeeze(char *text)
{
	char *out = text;

	for (const char *in = text; *in; in++)
		if (!strchr(" \n", *in) || (in[1] && !strchr(" \n", in[1])))
			*out++ = *in == '\n' ? ' ' : *in;
	*out = '\0';
}

/* Where the official .proto files are: unpacked by scripts/tools.sh, or installed. NULL: nowhere. */
static const char *schema_path(void)
{
	static const char *const paths[] = { "build/tools/opentelemetry-proto/usr/include", "/usr/include" };
	struct stat found;
	char file[256];

	for (size_t i = 0; i < COUNT(paths); i++) {
		(void)snprintf(file, sizeof(file), "%s/opentelemetry/proto/collector/metrics/v1/metrics_service.proto",
			       paths[i]);
		if (!stat(file, &found))
			return paths[i];
	}
	return NULL;
}

/* protoc, with the standard's own files, reads every kind of point back exactly as it was meant. */
static void encode_decodes_with_the_official_schema(void **state)
{
	const char *path = schema_path();
	char name[] = "/tmp/probemeter-encode-XXXXXX", command[768], text[16384] = "";
	struct arena *arena;
	uint8_t *bytes;
	size_t size;
	FILE *pipe;
	int file;

	(void)state;
	if (!path || system("protoc --version >/dev/null 2>&1")) {
		print_message("skipped: %s is missing (scripts/tools.sh brings the official .proto files)\n",
			      path ? "protoc" : "opentelemetry-proto");
		skip();
	}
	arena = arena_new();
	assert_int_equal(encode_otlp(&every_kind_points, ENCODE_PROTOBUF, arena, &bytes, &size), 0);
	file = mkstemp(name);
	assert_true(file >= 0);
	assert_int_equal(write(file, bytes, size), size);
	(void)close(file);
	(void)snprintf(command, sizeof(command),
		       "protoc --proto_path=%s --decode=opentelemetry.proto.collector.metrics.v1."
		       "ExportMetricsServiceRequest opentelemetry/proto/collector/metrics/v1/metrics_service.proto <%s",
		       path, name);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	text[fread(text, 1, sizeof(text) - 1, pipe)] = '\0';
	assert_int_equal(pclose(pipe), 0);
	(void)unlink(name);
	squeeze(text);
	assert_string_equal(text, every_kind_text);
	arena_free(arena);
}

/* The same by our own subset, so that something is checked where protoc is missing. */
static void encode_decodes_with_our_schema(void **state)
{
	Otlp__ExportMetricsServiceRequest *request;
	struct arena *arena = arena_new();
	Otlp__Histogram *histogram;
	uint8_t *bytes;
	size_t size;

	(void)state;
	assert_int_equal(encode_otlp(&every_kind_points, ENCODE_PROTOBUF, arena, &bytes, &size), 0);
	request = otlp__export_metrics_service_request__unpack(NULL, size, bytes);
	assert_non_null(request);
	assert_int_equal(request->n_resource_metrics, 2);
	assert_int_equal(request->resource_metrics[0]->n_scope_metrics, 2);
	assert_int_equal(request->resource_metrics[0]->scope_metrics[0]->n_metrics, 2);
	assert_int_equal(request->resource_metrics[0]->scope_metrics[0]->metrics[0]->sum->n_data_points, 2);
	histogram = request->resource_metrics[0]->scope_metrics[1]->metrics[1]->histogram;
	assert_int_equal(histogram->data_points[0]->opt_sum_case, OTLP__HISTOGRAM_DATA_POINT__OPT_SUM_SUM);
	assert_int_equal(histogram->data_points[1]->opt_sum_case, OTLP__HISTOGRAM_DATA_POINT__OPT_SUM__NOT_SET);
	otlp__export_metrics_service_request__free_unpacked(request, NULL);
	arena_free(arena);
}

/* Points that OTLP cannot put into one Metric message go into two, not under a wrong head. */
static void encode_splits_what_does_not_belong_together(void **state)
{
	Otlp__ExportMetricsServiceRequest *request;
	struct point mixed[3] = { every_kind[0], every_kind[0], every_kind[0] };
	struct points points = { .time_unix_ns = TIME, .point = mixed, .count = 3 };
	struct arena *arena = arena_new();
	uint8_t *bytes;
	size_t size;

	(void)state;
	mixed[0].value[0] = "a";
	mixed[1].value[0] = "b";
	mixed[1].temporality = TEMPORALITY_DELTA;
	mixed[2].value[0] = "c";
	mixed[2].temporality = TEMPORALITY_DELTA;
	mixed[2].monotonic = false;
	assert_int_equal(encode_otlp(&points, ENCODE_PROTOBUF, arena, &bytes, &size), 0);
	request = otlp__export_metrics_service_request__unpack(NULL, size, bytes);
	assert_int_equal(request->resource_metrics[0]->scope_metrics[0]->n_metrics, 3);
	otlp__export_metrics_service_request__free_unpacked(request, NULL);
	arena_free(arena);
}

/* The end of a series, of any kind, has the flag and no value; a histogram keeps its bounds, so that a receiver that made a
 * series of each can end them all. */
static void encode_flags_the_end_of_a_series(void **state)
{
	Otlp__ExportMetricsServiceRequest *request;
	struct point ended[COUNT(every_kind)];
	struct points points = { .time_unix_ns = TIME, .point = ended, .count = COUNT(ended) };
	uint64_t buckets[COUNT(ended)][4];
	struct arena *arena = arena_new();
	size_t size, i, flags = 0;
	uint8_t *bytes;
	const char *at;

	(void)state;
	for (i = 0; i < COUNT(ended); i++) {
		ended[i] = every_kind[i];
		if (ended[i].type == POINT_HISTOGRAM)
			ended[i].bucket = memcpy(buckets[i], ended[i].bucket, (ended[i].bound_count + 1) * sizeof(buckets[i][0]));
		merge_end(&ended[i]);
	}
	assert_int_equal(encode_check(&points, NULL, 0), 0);
	assert_int_equal(encode_otlp(&points, ENCODE_PROTOBUF, arena, &bytes, &size), 0);
	request = otlp__export_metrics_service_request__unpack(NULL, size, bytes);
	assert_non_null(request);
	{
		Otlp__ScopeMetrics **scope = request->resource_metrics[0]->scope_metrics;
		Otlp__NumberDataPoint *sum = scope[0]->metrics[0]->sum->data_points[0], *gauge = scope[1]->metrics[0]->gauge->data_points[0];
		Otlp__HistogramDataPoint *histogram = scope[1]->metrics[1]->histogram->data_points[0];
		Otlp__ExponentialHistogramDataPoint *exponential =
			scope[1]->metrics[2]->exponential_histogram->data_points[0];

		assert_int_equal(sum->flags, 1);
		assert_int_equal(sum->value_case, OTLP__NUMBER_DATA_POINT__VALUE__NOT_SET);
		assert_int_equal(gauge->flags, 1);
		assert_int_equal(gauge->value_case, OTLP__NUMBER_DATA_POINT__VALUE__NOT_SET);
		assert_int_equal(histogram->flags, 1);
		assert_int_equal(histogram->count, 0);
		assert_int_equal(histogram->n_explicit_bounds, 2);
		assert_int_equal(histogram->n_bucket_counts, 3);
		assert_int_equal(histogram->bucket_counts[0] + histogram->bucket_counts[2], 0);
		assert_int_equal(exponential->flags, 1);
		assert_int_equal(exponential->count + exponential->zero_count, 0);
		assert_null(exponential->positive);
	}
	otlp__export_metrics_service_request__free_unpacked(request, NULL);
	assert_int_equal(encode_otlp(&points, ENCODE_JSON, arena, &bytes, &size), 0);
	at = arena_strndup(arena, (const char *)bytes, size);
	for (; (at = strstr(at, "\"flags\":1")); at++)
		flags++;
	assert_int_equal(flags, COUNT(ended));
	ended[0].integer = 1;
	assert_int_equal(encode_check(&points, NULL, 0), -EINVAL);
	arena_free(arena);
}

/* No points are a valid, empty request. */
static void encode_of_nothing_is_empty(void **state)
{
	struct points points = { .time_unix_ns = TIME };
	struct arena *arena = arena_new();
	uint8_t *bytes = NULL;
	size_t size = 77;

	(void)state;
	assert_int_equal(encode_otlp(&points, ENCODE_PROTOBUF, arena, &bytes, &size), 0);
	assert_non_null(bytes);
	assert_int_equal(size, 0);
	arena_free(arena);
}

/* Every rule of the data model, broken once in otherwise good points, is named. */
static void encode_check_names_the_broken_rule(void **state)
{
	enum { SUM = 0, GAUGE = 3, HISTOGRAM = 4, EXPONENTIAL = 6 };
	static double falling[] = { 2, 2 }, endless[] = { 1, INFINITY };
	static struct attribute twice[] = { { "a", "1" }, { "a", "2" } }, nameless[] = { { "", "1" } };
	static struct attribute torn[] = { { "a", "\xff" } };
	static const struct resource resources[] = {
		{ .attribute = twice, .attribute_count = 2 },
		{ .attribute = nameless, .attribute_count = 1 },
		{ .attribute = torn, .attribute_count = 1 },
	};
	static uint64_t huge[] = { UINT64_MAX, 2, 2 }, many[160] = { 6 };
	struct metric unnamed = executions, doubled = executions, blank = executions, bad = executions;
	const struct {
		size_t at;
		struct point point;
		uint64_t time;
		const char *error;
	} rows[] = {
#define BROKEN(at_, time_, error_, ...) { .at = at_, .time = time_, .error = error_, .point = { __VA_ARGS__ } }
		BROKEN(SUM, TIME, "a resource attribute comes twice", .resource = &resources[0]),
		BROKEN(SUM, TIME, "a resource attribute has an empty key", .resource = &resources[1]),
		BROKEN(SUM, TIME, "a resource attribute is not UTF-8", .resource = &resources[2]),
		BROKEN(SUM, TIME, "it has no name", .metric = &unnamed),
		BROKEN(SUM, TIME, "a label comes twice", .metric = &doubled),
		BROKEN(SUM, TIME, "a label's name is empty or not UTF-8", .metric = &blank),
		BROKEN(SUM, TIME, "its name, unit, scope or description is not UTF-8", .metric = &bad),
		BROKEN(SUM, TIME, "a label's value is not UTF-8", .value = { "\x80", "" }),
		BROKEN(SUM, TIME, "it is monotonic and negative", .integer = -1),
		BROKEN(SUM, TIME, "it has no start time", .start_unix_ns = 0),
		BROKEN(SUM, TIME, "its temporality is unspecified", .temporality = 0),
		BROKEN(SUM, START - 1, "it starts after its own time", .type = POINT_SUM),
		BROKEN(HISTOGRAM, TIME, "its bounds do not ascend", .bound = falling),
		BROKEN(HISTOGRAM, TIME, "its bounds do not ascend", .bound = endless),
		BROKEN(HISTOGRAM, TIME, "its buckets do not add up to its count", .count = 4),
		BROKEN(HISTOGRAM, TIME, "its buckets overflow", .bucket = huge),
		BROKEN(HISTOGRAM, TIME, "its sum is not finite", .sum = NAN),
		BROKEN(EXPONENTIAL, TIME, "its buckets do not add up to its count", .zero_count = 2),
		BROKEN(EXPONENTIAL, TIME, "its scale is out of range", .scale = 21),
		BROKEN(EXPONENTIAL, TIME, "it has a sum though negative values were seen", .has_sum = true),
		BROKEN(EXPONENTIAL, TIME, "it has more than 160 buckets", .positive = { .bucket_count = 160, .count = many }),
		BROKEN(EXPONENTIAL, START, "it is a delta over no time", .type = POINT_EXPONENTIAL),
#undef BROKEN
	};
	char want[256], error[256];

	(void)state;
	unnamed.name = "";
	doubled.label[1] = "status";
	blank.label[1] = "";
	bad.unit = "\xff";
	assert_int_equal(encode_check(&every_kind_points, error, sizeof(error)), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct point good[COUNT(every_kind)], *point = &good[rows[i].at];
		struct points points = { .time_unix_ns = rows[i].time, .point = good, .count = COUNT(good) };
		const struct point *change = &rows[i].point;

		memcpy(good, every_kind, sizeof(good));
		/* What a row sets replaces, the rest stays; a few fields are broken by being 0. */
		point->resource = change->resource ? change->resource : point->resource;
		point->metric = change->metric ? change->metric : point->metric;
		if (change->value[0])
			memcpy(point->value, change->value, sizeof(point->value));
		if (change->integer)
			point->integer = change->integer;
		if (strstr(rows[i].error, "no start"))
			point->start_unix_ns = 0;
		if (strstr(rows[i].error, "temporality"))
			point->temporality = 0;
		point->bound = change->bound ? change->bound : point->bound;
		point->count = change->count ? change->count : point->count;
		point->bucket = change->bucket ? change->bucket : point->bucket;
		point->sum = isnan(change->sum) ? change->sum : point->sum;
		point->zero_count = change->zero_count ? change->zero_count : point->zero_count;
		point->scale = change->scale ? change->scale : point->scale;
		point->has_sum = point->has_sum || change->has_sum;
		point->positive = change->positive.count ? change->positive : point->positive;
		assert_int_equal(encode_check(&points, error, sizeof(error)), -EINVAL);
		(void)snprintf(want, sizeof(want), "metric '%s': %s", point->metric->name, rows[i].error);
		assert_string_equal(error, want);
	}
}

/* Two points with one identity, and an export without a time, are refused. */
static void encode_check_refuses_twins_and_no_time(void **state)
{
	struct point twins[] = { every_kind[0], every_kind[1], every_kind[0] };
	struct points points = { .time_unix_ns = TIME, .point = twins, .count = 3 };
	char error[128];

	(void)state;
	assert_int_equal(encode_check(&points, error, sizeof(error)), -EINVAL);
	assert_string_equal(error, "metric 'executions.total': two points have the same attributes");
	points.count = 2;
	assert_int_equal(encode_check(&points, error, sizeof(error)), 0);
	points.time_unix_ns = 0;
	assert_int_equal(encode_check(&points, error, sizeof(error)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encode_decodes_with_the_official_schema),
		cmocka_unit_test(encode_decodes_with_our_schema),
		cmocka_unit_test(encode_splits_what_does_not_belong_together),
		cmocka_unit_test(encode_flags_the_end_of_a_series),
		cmocka_unit_test(encode_of_nothing_is_empty),
		cmocka_unit_test(encode_check_names_the_broken_rule),
		cmocka_unit_test(encode_check_refuses_twins_and_no_time),
	};

	return cmocka_run_group_tests_name("encode", tests, NULL, NULL);
}
