/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * encode.c - points to bytes in both encodings, and back by somebody else's decoder.
 *
 * Input: points of every type, with any numbers and any UTF-8. Promised: protobuf-c decodes what was packed, json-c what was
 * written as JSON, and both say what the points say.
 *
 * reaches: encode_otlp encode_sum encode_gauge encode_histogram encode_exponential encode_labels json_write put_real
 * reaches: writer_json_text real_print split_points
 */
#include <json-c/json.h>
#include <math.h>

#include "encode.h"
#include "fuzz.h"
#include "otlp.pb-c.h"
#include "split.h"

#define POINTS 16
#define BUCKETS 8
#define TIME UINT64_C(1700000000000000000)

static struct metric metrics[5];
static struct attribute attributes[3];
static const struct resource resource = { .attribute = attributes, .attribute_count = COUNT(attributes) };
static struct point point[POINTS];

static double real_of(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static double finite_of(uint64_t bits)
{
	double value = real_of(bits);

	return isfinite(value) ? value : (double)(int64_t)bits;
}

static bool same_real(double a, double b)
{
	return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

/* --- making points */

static void metrics_take(struct input *input, struct arena *arena)
{
	static const uint32_t kinds[COUNT(metrics)] = { PROBEMETER_KIND_COUNTER, PROBEMETER_KIND_UPDOWNCOUNTER,
							PROBEMETER_KIND_GAUGE, PROBEMETER_KIND_HISTOGRAM,
							PROBEMETER_KIND_HISTOGRAM };

	for (uint32_t i = 0; i < COUNT(metrics); i++)
		metrics[i] = (struct metric){
			.id = i, .kind = kinds[i], .scope = i < 3 ? "first" : ENCODE_AGENT_SCOPE,
			.name = arena_printf(arena, "%u%s", i, take_label(input, 12, arena)),
			.unit = take_label(input, 6, arena), .description = take_label(input, 20, arena),
			.label_count = i % 3, .label = { "a", arena_printf(arena, "b%s", take_label(input, 4, arena)) },
		};
	attributes[0] = (struct attribute){ "service.name", take_label(input, 12, arena) };
	attributes[1] = (struct attribute){ "process.pid", arena_printf(arena, "%llu", (unsigned long long)take(input, 2)) };
	attributes[2] = (struct attribute){ arena_printf(arena, "x%s", take_label(input, 4, arena)),
					    take_label(input, 12, arena) };
}

/* Numbers that add up to @to->count, as the data model wants them. */
static uint64_t *counts_take(struct input *input, uint32_t count, struct arena *arena, struct point *to)
{
	uint64_t *ret = arena_array(arena, count, sizeof(*ret));

	for (uint32_t i = 0; i < count; i++) {
		ret[i] = take(input, i % 2 ? 7 : 1);
		to->count += ret[i];
	}
	return ret;
}

static void histogram_take(struct input *input, struct arena *arena, struct point *to)
{
	double *bound = arena_array(arena, BUCKETS, sizeof(*bound)), first = finite_of(take(input, 8)), step;

	step = (double)(1 + take(input, 4));
	to->bound_count = (uint32_t)take(input, 1) % BUCKETS;
	for (uint32_t i = 0; i < to->bound_count; i++) {
		bound[i] = first + i * step;
		if (i && bound[i] <= bound[i - 1])
			bound[i] = nextafter(bound[i - 1], INFINITY);
		if (!isfinite(bound[i]))
			to->bound_count = i;
	}
	to->bound = bound;
	to->bucket = counts_take(input, to->bound_count + 1, arena, to);
}

static void exponential_take(struct input *input, struct arena *arena, struct point *to)
{
	to->scale = (int32_t)(take(input, 1) % 14) - 10;
	to->zero_count = take(input, 4);
	to->count += to->zero_count;
	to->positive.offset = (int32_t)(int16_t)take(input, 2);
	to->positive.bucket_count = (uint32_t)take(input, 1) % BUCKETS;
	to->positive.count = counts_take(input, to->positive.bucket_count, arena, to);
	if (to->has_sum)
		return;
	to->negative.offset = (int32_t)(int16_t)take(input, 2);
	to->negative.bucket_count = (uint32_t)take(input, 1) % BUCKETS;
	to->negative.count = counts_take(input, to->negative.bucket_count, arena, to);
}

static void point_take(struct input *input, const struct metric *metric, size_t number, struct arena *arena,
		       struct point *to)
{
	uint8_t head = (uint8_t)take(input, 1);

	*to = (struct point){ .resource = &resource, .metric = metric, .temporality = TEMPORALITY_CUMULATIVE,
			      .start_unix_ns = 1 + take(input, 7), .has_sum = head & 1 };
	/* Different labels for each, but one without any at most. */
	for (uint32_t i = 0; i < metric->label_count; i++)
		to->value[i] = i ? take_label(input, 30, arena) :
				   arena_printf(arena, "%zu%s", number, take_label(input, 30, arena));
	to->type = metric->id < 2 ? POINT_SUM : metric->id == 2 ? POINT_GAUGE : metric->id == 3 ? POINT_HISTOGRAM :
											      POINT_EXPONENTIAL;
	if (to->start_unix_ns > TIME)
		to->start_unix_ns = TIME;
	if (to->type == POINT_SUM) {
		to->monotonic = !metric->id;
		to->integer = (int64_t)take(input, 8);
		if (to->monotonic && to->integer < 0)
			to->integer = ~to->integer;
		return;
	}
	if (to->type == POINT_GAUGE) {
		to->start_unix_ns = 0;
		to->real = real_of(take(input, 8));
		return;
	}
	to->sum = to->has_sum ? finite_of(take(input, 8)) : 0;
	if (to->type == POINT_HISTOGRAM)
		histogram_take(input, arena, to);
	else
		exponential_take(input, arena, to);
}

/* --- protobuf */

static void same_attributes(Otlp__KeyValue *const *got, size_t count, const struct point *want)
{
	REQUIRE(count == want->metric->label_count);
	for (size_t i = 0; i < count; i++) {
		REQUIRE(!strcmp(got[i]->key, want->metric->label[i]));
		REQUIRE(got[i]->value->value_case == OTLP__ANY_VALUE__VALUE_STRING_VALUE);
		REQUIRE(!strcmp(got[i]->value->string_value, want->value[i]));
	}
}

static void same_number(const Otlp__NumberDataPoint *got, const struct point *want)
{
	REQUIRE(got->time_unix_nano == TIME && got->start_time_unix_nano == want->start_unix_ns);
	if (want->type == POINT_SUM)
		REQUIRE(got->value_case == OTLP__NUMBER_DATA_POINT__VALUE_AS_INT && got->as_int == want->integer);
	else
		REQUIRE(got->value_case == OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE && same_real(got->as_double, want->real));
	same_attributes(got->attributes, got->n_attributes, want);
}

static void same_counts(const uint64_t *got, size_t count, const uint64_t *want, size_t want_count)
{
	REQUIRE(count == want_count && (!count || !memcmp(got, want, count * sizeof(*got))));
}

static void same_histogram(const Otlp__HistogramDataPoint *got, const struct point *want)
{
	REQUIRE(got->time_unix_nano == TIME && got->start_time_unix_nano == want->start_unix_ns && got->count == want->count);
	REQUIRE(!!got->opt_sum_case == want->has_sum && (!want->has_sum || same_real(got->sum, want->sum)));
	same_counts(got->bucket_counts, got->n_bucket_counts, want->bucket, want->bound_count + 1);
	REQUIRE(got->n_explicit_bounds == want->bound_count);
	for (size_t i = 0; i < want->bound_count; i++)
		REQUIRE(same_real(got->explicit_bounds[i], want->bound[i]));
	same_attributes(got->attributes, got->n_attributes, want);
}

static void same_side(const Otlp__ExponentialHistogramDataPoint__Buckets *got, const struct exponential_buckets *want)
{
	REQUIRE(!got == !want->bucket_count);
	if (!got)
		return;
	REQUIRE(got->offset == want->offset);
	same_counts(got->bucket_counts, got->n_bucket_counts, want->count, want->bucket_count);
}

static void same_exponential(const Otlp__ExponentialHistogramDataPoint *got, const struct point *want)
{
	REQUIRE(got->time_unix_nano == TIME && got->start_time_unix_nano == want->start_unix_ns && got->count == want->count);
	REQUIRE(!!got->opt_sum_case == want->has_sum && (!want->has_sum || same_real(got->sum, want->sum)));
	REQUIRE(got->scale == want->scale && got->zero_count == want->zero_count);
	same_side(got->positive, &want->positive);
	same_side(got->negative, &want->negative);
	same_attributes(got->attributes, got->n_attributes, want);
}

/* Return: points of the metric. */
static size_t same_metric(const Otlp__Metric *got, const struct point *want)
{
	size_t count = 0;

	REQUIRE(!strcmp(got->name, want->metric->name) && !strcmp(got->unit, want->metric->unit) &&
		!strcmp(got->description, want->metric->description));
	switch (got->data_case) {
	case OTLP__METRIC__DATA_SUM:
		REQUIRE(got->sum->is_monotonic == want->monotonic && (int)got->sum->aggregation_temporality == 2);
		for (; count < got->sum->n_data_points; count++)
			same_number(got->sum->data_points[count], want + count);
		break;
	case OTLP__METRIC__DATA_GAUGE:
		for (; count < got->gauge->n_data_points; count++)
			same_number(got->gauge->data_points[count], want + count);
		break;
	case OTLP__METRIC__DATA_HISTOGRAM:
		for (; count < got->histogram->n_data_points; count++)
			same_histogram(got->histogram->data_points[count], want + count);
		break;
	case OTLP__METRIC__DATA_EXPONENTIAL_HISTOGRAM:
		for (; count < got->exponential_histogram->n_data_points; count++)
			same_exponential(got->exponential_histogram->data_points[count], want + count);
		break;
	default:
		break;
	}
	REQUIRE(count);
	return count;
}

static void check_protobuf(const struct points *points, const uint8_t *bytes, size_t size)
{
	Otlp__ExportMetricsServiceRequest *got = otlp__export_metrics_service_request__unpack(NULL, size, bytes);
	size_t at = 0;

	REQUIRE(got && got->n_resource_metrics == !!points->count);
	for (size_t s = 0; points->count && s < got->resource_metrics[0]->n_scope_metrics; s++) {
		const Otlp__ScopeMetrics *scope = got->resource_metrics[0]->scope_metrics[s];

		REQUIRE(!strcmp(scope->scope->name, points->point[at].metric->scope));
		for (size_t m = 0; m < scope->n_metrics; m++) {
			REQUIRE(at < points->count);
			at += same_metric(scope->metrics[m], points->point + at);
		}
	}
	REQUIRE(at == points->count);
	otlp__export_metrics_service_request__free_unpacked(got, NULL);
}

/* --- JSON: numbers and names of each point, in their order */

static json_object *child(json_object *object, const char *key)
{
	json_object *value = NULL;

	(void)json_object_object_get_ex(object, key, &value);
	return value;
}

static uint64_t number(json_object *object, const char *key)
{
	json_object *value = child(object, key);

	/* proto3 leaves out a zero; 64-bit integers are strings. */
	REQUIRE(!value || json_object_is_type(value, json_type_string));
	return value ? strtoull(json_object_get_string(value), NULL, 10) : 0;
}

static double real_in(json_object *value)
{
	const char *text = json_object_get_string(value);

	if (!json_object_is_type(value, json_type_string)) {
		REQUIRE(json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int));
		return strtod(text, NULL);
	}
	REQUIRE(!strcmp(text, "NaN") || !strcmp(text, "Infinity") || !strcmp(text, "-Infinity"));
	return *text == 'N' ? (double)NAN : *text == 'I' ? (double)INFINITY : -(double)INFINITY;
}

static void same_json_labels(json_object *got, const struct point *want)
{
	json_object *list = child(got, "attributes");

	REQUIRE((list ? json_object_array_length(list) : 0) == want->metric->label_count);
	for (uint32_t i = 0; i < want->metric->label_count; i++) {
		json_object *one = json_object_array_get_idx(list, i);
		json_object *text = child(child(one, "value"), "stringValue");

		REQUIRE(!strcmp(json_object_get_string(child(one, "key")), want->metric->label[i]));
		REQUIRE(text && (size_t)json_object_get_string_len(text) == strlen(want->value[i]) &&
			!strcmp(json_object_get_string(text), want->value[i]));
	}
}

static void same_json_counts(json_object *list, const uint64_t *want, size_t count)
{
	REQUIRE((list ? json_object_array_length(list) : 0) == count);
	for (size_t i = 0; i < count; i++)
		REQUIRE(strtoull(json_object_get_string(json_object_array_get_idx(list, i)), NULL, 10) == want[i]);
}

static void same_json_point(json_object *got, const struct point *want)
{
	json_object *sum = child(got, "sum"), *bounds = child(got, "explicitBounds"), *side;

	REQUIRE(number(got, "timeUnixNano") == TIME && number(got, "startTimeUnixNano") == want->start_unix_ns);
	same_json_labels(got, want);
	if (want->type == POINT_SUM) {
		REQUIRE(child(got, "asInt") && (int64_t)strtoll(json_object_get_string(child(got, "asInt")), NULL, 10) ==
						       want->integer);
		return;
	}
	if (want->type == POINT_GAUGE) {
		REQUIRE(child(got, "asDouble") && same_real(real_in(child(got, "asDouble")), want->real));
		return;
	}
	REQUIRE(number(got, "count") == want->count && !!sum == want->has_sum);
	REQUIRE(!sum || same_real(real_in(sum), want->sum));
	if (want->type == POINT_HISTOGRAM) {
		same_json_counts(child(got, "bucketCounts"), want->bucket, want->bound_count + 1);
		REQUIRE((bounds ? json_object_array_length(bounds) : 0) == want->bound_count);
		for (uint32_t i = 0; i < want->bound_count; i++)
			REQUIRE(same_real(real_in(json_object_array_get_idx(bounds, i)), want->bound[i]));
		return;
	}
	side = child(got, "positive");
	REQUIRE(json_object_get_int(child(side, "offset")) == (want->positive.bucket_count ? want->positive.offset : 0));
	same_json_counts(child(side, "bucketCounts"), want->positive.count, want->positive.bucket_count);
	same_json_counts(child(child(got, "negative"), "bucketCounts"), want->negative.count, want->negative.bucket_count);
}

static void check_json(const struct points *points, const uint8_t *bytes, size_t size)
{
	static const char *const data[] = { "sum", "gauge", "histogram", "exponentialHistogram" };
	json_tokener *tokener = json_tokener_new();
	json_object *root, *scopes, *found;
	size_t at = 0;

	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tokener, (const char *)bytes, (int)size);
	REQUIRE(root && json_tokener_get_error(tokener) == json_tokener_success);
	REQUIRE(json_tokener_get_parse_end(tokener) == size);
	scopes = points->count ? child(json_object_array_get_idx(child(root, "resourceMetrics"), 0), "scopeMetrics") : NULL;
	for (size_t s = 0; scopes && s < json_object_array_length(scopes); s++) {
		json_object *metric = child(json_object_array_get_idx(scopes, s), "metrics");

		for (size_t m = 0; m < json_object_array_length(metric); m++) {
			json_object *one = json_object_array_get_idx(metric, m), *list;

			REQUIRE(at < points->count);
			REQUIRE(!strcmp(json_object_get_string(child(one, "name")), points->point[at].metric->name));
			found = child(one, data[points->point[at].type]);
			list = child(found, "dataPoints");
			REQUIRE(list);
			for (size_t n = 0; n < json_object_array_length(list); n++) {
				REQUIRE(at < points->count);
				same_json_point(json_object_array_get_idx(list, n), &points->point[at++]);
			}
		}
	}
	REQUIRE(at == points->count);
	json_object_put(root);
	json_tokener_free(tokener);
}

/* In pieces: every point once, none larger than it may be. */
static void check_split(const struct points *points, struct arena *arena)
{
	struct requests requests;
	size_t next = 0, covered = 0;

	REQUIRE(!split_points(points, 300, ENCODE_PROTOBUF, arena, &requests));
	for (size_t i = 0; i < requests.count; i++) {
		REQUIRE(requests.request[i].size <= 300 && requests.request[i].first >= next);
		next = requests.request[i].first + requests.request[i].count;
		covered += requests.request[i].count;
	}
	REQUIRE(covered + requests.too_large_count == points->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct points points = { .time_unix_ns = TIME, .point = point };
	struct input input = { data, size };
	struct arena *arena = arena_new();
	uint8_t *bytes;

	REQUIRE(arena);
	metrics_take(&input, arena);
	for (uint32_t i = 0; i < COUNT(metrics); i++) {
		size_t count = metrics[i].label_count ? take(&input, 1) % 4 : take(&input, 1) % 2;

		for (size_t n = 0; n < count; n++, points.count++)
			point_take(&input, &metrics[i], n, arena, &point[points.count]);
	}
	REQUIRE(!encode_otlp(&points, ENCODE_PROTOBUF, arena, &bytes, &size));
	check_protobuf(&points, bytes, size);
	REQUIRE(!encode_otlp(&points, ENCODE_JSON, arena, &bytes, &size));
	check_json(&points, bytes, size);
	check_split(&points, arena);
	arena_free(arena);
	return 0;
}
