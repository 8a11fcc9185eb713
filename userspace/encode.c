/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * encode.c - points to one ExportMetricsServiceRequest.
 *
 * Consumes points in order, produces bytes. The tree of messages that protobuf-c packs, or json.c writes, lives in the
 * caller's arena and borrows every string and bucket array from the points; nothing is freed one by one. Which points
 * there are, their totals and their buckets were decided in merge; how the bytes travel is ship's.
 *
 * The tree has one level per grouping: resource, scope, metric, point. Equal neighbours are a span of points, and each
 * level cuts its parent's span into its own, so that the whole takes four passes over the points.
 */
#include "encode.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "json.h"
#include "otlp.pb-c.h"
#include <probemeter/version.h>

/* An enum temporality goes on the wire as it is. */
#define OTLP_TEMPORALITY(name) ((int)OTLP__AGGREGATION_TEMPORALITY__AGGREGATION_TEMPORALITY_##name)
_Static_assert((int)TEMPORALITY_DELTA == OTLP_TEMPORALITY(DELTA), "OTLP's numbers");
_Static_assert((int)TEMPORALITY_CUMULATIVE == OTLP_TEMPORALITY(CUMULATIVE), "OTLP's numbers");

struct span {
	const struct point *point;
	size_t count;
};

typedef bool span_rule(const struct point *a, const struct point *b);

static bool same_resource(const struct point *a, const struct point *b)
{
	return a->resource == b->resource;
}

static bool same_scope(const struct point *a, const struct point *b)
{
	return a->metric->scope == b->metric->scope || !strcmp(a->metric->scope, b->metric->scope);
}

/* What OTLP says once per metric must not differ inside one. */
static bool same_metric(const struct point *a, const struct point *b)
{
	return a->metric == b->metric && a->type == b->type && a->monotonic == b->monotonic &&
	       a->temporality == b->temporality;
}

/* Cut the first group off @rest. */
static struct span span_cut(struct span *rest, span_rule *same)
{
	struct span head = { .point = rest->point, .count = 1 };

	while (head.count < rest->count && same(head.point, head.point + head.count))
		head.count++;
	rest->point += head.count;
	rest->count -= head.count;
	return head;
}

static size_t span_groups(struct span span, span_rule *same)
{
	size_t groups;

	for (groups = 0; span.count; groups++)
		(void)span_cut(&span, same);
	return groups;
}

/* @count messages of @bytes each, and in @ret the array of pointers to them that protobuf-c wants. */
static void *messages_new(struct arena *arena, size_t count, size_t bytes, void *ret)
{
	char *message = arena_array(arena, count, bytes);
	void **pointer = arena_array(arena, count, sizeof(*pointer));

	if (!message || !pointer)
		return NULL;
	for (size_t i = 0; i < count; i++)
		pointer[i] = message + i * bytes;
	*(void ***)ret = pointer;
	return message;
}

/* @count attributes, keys and values still to be set. */
static Otlp__KeyValue **attributes_new(struct arena *arena, size_t count)
{
	Otlp__KeyValue *attribute, **ret;
	Otlp__AnyValue *value;

	attribute = messages_new(arena, count, sizeof(*attribute), &ret);
	value = arena_array(arena, count, sizeof(*value));
	if (!attribute || !value)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		otlp__key_value__init(&attribute[i]);
		otlp__any_value__init(&value[i]);
		attribute[i].value = &value[i];
	}
	return ret;
}

static void attribute_text(Otlp__KeyValue *attribute, const char *key, const char *value)
{
	attribute->key = (char *)key;
	attribute->value->value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
	attribute->value->string_value = (char *)value;
}

/* Resource attributes are text, but for what the semantic conventions say are numbers. */
static void attribute_resource(Otlp__KeyValue *attribute, const char *key, const char *value)
{
	attribute_text(attribute, key, value);
	if (strcmp(key, "process.pid") || !*value || value[strspn(value, "0123456789")])
		return;
	attribute->value->value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
	attribute->value->int_value = strtoll(value, NULL, 10);
}

static int encode_labels(struct arena *arena, const struct point *point, size_t *ret_count, Otlp__KeyValue ***ret)
{
	size_t count = point->overflow ? 1 : point->metric->label_count;
	Otlp__KeyValue **attribute = NULL;

	if (count) {
		attribute = attributes_new(arena, count);
		if (!attribute)
			return -ENOMEM;
	}
	for (size_t i = 0; i < count && !point->overflow; i++)
		attribute_text(attribute[i], point->metric->label[i], point->value[i]);
	if (point->overflow) {
		attribute[0]->key = (char *)"otel.metric.overflow";
		attribute[0]->value->value_case = OTLP__ANY_VALUE__VALUE_BOOL_VALUE;
		attribute[0]->value->bool_value = true;
	}
	*ret_count = count;
	*ret = attribute;
	return 0;
}

static uint32_t flags_of(const struct point *point)
{
	return point->ended ? OTLP__DATA_POINT_FLAGS__DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK : 0;
}

static int encode_numbers(struct arena *arena, struct span span, uint64_t time_unix_ns, size_t *ret_count,
			  Otlp__NumberDataPoint ***ret)
{
	Otlp__NumberDataPoint *to = messages_new(arena, span.count, sizeof(*to), ret);
	int err = to ? 0 : -ENOMEM;

	for (const struct point *from = span.point; !err && from < span.point + span.count; from++, to++) {
		otlp__number_data_point__init(to);
		to->start_time_unix_nano = from->start_unix_ns;
		to->time_unix_nano = time_unix_ns;
		to->flags = flags_of(from);
		if (from->ended) {
			to->value_case = OTLP__NUMBER_DATA_POINT__VALUE__NOT_SET;
		} else if (from->type == POINT_SUM) {
			to->value_case = OTLP__NUMBER_DATA_POINT__VALUE_AS_INT;
			to->as_int = from->integer;
		} else {
			to->value_case = OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE;
			to->as_double = from->real;
		}
		err = encode_labels(arena, from, &to->n_attributes, &to->attributes);
	}
	*ret_count = span.count;
	return err;
}

static int encode_sum(struct arena *arena, struct span span, uint64_t time_unix_ns, Otlp__Metric *ret)
{
	Otlp__Sum *sum = arena_alloc(arena, sizeof(*sum), 0);

	if (!sum)
		return -ENOMEM;
	otlp__sum__init(sum);
	sum->is_monotonic = span.point->monotonic;
	sum->aggregation_temporality = (Otlp__AggregationTemporality)span.point->temporality;
	ret->data_case = OTLP__METRIC__DATA_SUM;
	ret->sum = sum;
	return encode_numbers(arena, span, time_unix_ns, &sum->n_data_points, &sum->data_points);
}

static int encode_gauge(struct arena *arena, struct span span, uint64_t time_unix_ns, Otlp__Metric *ret)
{
	Otlp__Gauge *gauge = arena_alloc(arena, sizeof(*gauge), 0);

	if (!gauge)
		return -ENOMEM;
	otlp__gauge__init(gauge);
	ret->data_case = OTLP__METRIC__DATA_GAUGE;
	ret->gauge = gauge;
	return encode_numbers(arena, span, time_unix_ns, &gauge->n_data_points, &gauge->data_points);
}

static int encode_histogram(struct arena *arena, struct span span, uint64_t time_unix_ns, Otlp__Metric *ret)
{
	Otlp__Histogram *histogram = arena_alloc(arena, sizeof(*histogram), 0);
	Otlp__HistogramDataPoint *to;
	int err = 0;

	if (!histogram)
		return -ENOMEM;
	otlp__histogram__init(histogram);
	histogram->aggregation_temporality = (Otlp__AggregationTemporality)span.point->temporality;
	histogram->n_data_points = span.count;
	ret->data_case = OTLP__METRIC__DATA_HISTOGRAM;
	ret->histogram = histogram;
	to = messages_new(arena, span.count, sizeof(*to), &histogram->data_points);
	if (!to)
		return -ENOMEM;
	for (const struct point *from = span.point; !err && from < span.point + span.count; from++, to++) {
		otlp__histogram_data_point__init(to);
		to->start_time_unix_nano = from->start_unix_ns;
		to->time_unix_nano = time_unix_ns;
		to->flags = flags_of(from);
		to->count = from->count;
		if (from->has_sum) {
			to->opt_sum_case = OTLP__HISTOGRAM_DATA_POINT__OPT_SUM_SUM;
			to->sum = from->sum;
		}
		to->n_explicit_bounds = from->bound_count;
		to->explicit_bounds = (double *)from->bound;
		to->n_bucket_counts = from->bound_count + 1u;
		to->bucket_counts = from->bucket;
		err = encode_labels(arena, from, &to->n_attributes, &to->attributes);
	}
	return err;
}

static int encode_buckets(struct arena *arena, const struct exponential_buckets *from,
			  Otlp__ExponentialHistogramDataPoint__Buckets **ret)
{
	Otlp__ExponentialHistogramDataPoint__Buckets *to;

	if (!from->bucket_count)
		return 0;
	to = arena_alloc(arena, sizeof(*to), 0);
	if (!to)
		return -ENOMEM;
	otlp__exponential_histogram_data_point__buckets__init(to);
	to->offset = from->offset;
	to->n_bucket_counts = from->bucket_count;
	to->bucket_counts = from->count;
	*ret = to;
	return 0;
}

static int encode_exponential(struct arena *arena, struct span span, uint64_t time_unix_ns, Otlp__Metric *ret)
{
	Otlp__ExponentialHistogram *histogram = arena_alloc(arena, sizeof(*histogram), 0);
	Otlp__ExponentialHistogramDataPoint *to;
	int err = 0;

	if (!histogram)
		return -ENOMEM;
	otlp__exponential_histogram__init(histogram);
	histogram->aggregation_temporality = (Otlp__AggregationTemporality)span.point->temporality;
	histogram->n_data_points = span.count;
	ret->data_case = OTLP__METRIC__DATA_EXPONENTIAL_HISTOGRAM;
	ret->exponential_histogram = histogram;
	to = messages_new(arena, span.count, sizeof(*to), &histogram->data_points);
	if (!to)
		return -ENOMEM;
	for (const struct point *from = span.point; !err && from < span.point + span.count; from++, to++) {
		otlp__exponential_histogram_data_point__init(to);
		to->start_time_unix_nano = from->start_unix_ns;
		to->time_unix_nano = time_unix_ns;
		to->flags = flags_of(from);
		to->count = from->count;
		if (from->has_sum) {
			to->opt_sum_case = OTLP__EXPONENTIAL_HISTOGRAM_DATA_POINT__OPT_SUM_SUM;
			to->sum = from->sum;
		}
		to->scale = from->scale;
		to->zero_count = from->zero_count;
		err = encode_buckets(arena, &from->positive, &to->positive);
		if (!err)
			err = encode_buckets(arena, &from->negative, &to->negative);
		if (!err)
			err = encode_labels(arena, from, &to->n_attributes, &to->attributes);
	}
	return err;
}

static int (*const encoders[])(struct arena *, struct span, uint64_t, Otlp__Metric *) = {
	[POINT_SUM] = encode_sum,
	[POINT_GAUGE] = encode_gauge,
	[POINT_HISTOGRAM] = encode_histogram,
	[POINT_EXPONENTIAL] = encode_exponential,
};

static int encode_metric(struct arena *arena, struct span span, uint64_t time_unix_ns, Otlp__Metric *ret)
{
	const struct metric *metric = span.point->metric;

	if ((size_t)span.point->type >= sizeof(encoders) / sizeof(encoders[0]))
		return -EINVAL;
	otlp__metric__init(ret);
	ret->name = (char *)metric->name;
	ret->description = (char *)metric->description;
	ret->unit = (char *)metric->unit;
	return encoders[span.point->type](arena, span, time_unix_ns, ret);
}

static int encode_scope(struct arena *arena, struct span span, uint64_t time_unix_ns, Otlp__ScopeMetrics *ret)
{
	Otlp__InstrumentationScope *scope = arena_alloc(arena, sizeof(*scope), 0);
	Otlp__Metric *metric;
	int err = 0;

	otlp__scope_metrics__init(ret);
	ret->n_metrics = span_groups(span, same_metric);
	metric = messages_new(arena, ret->n_metrics, sizeof(*metric), &ret->metrics);
	if (!scope || !metric)
		return -ENOMEM;
	otlp__instrumentation_scope__init(scope);
	scope->name = (char *)span.point->metric->scope;
	if (!strcmp(scope->name, ENCODE_AGENT_SCOPE))
		scope->version = (char *)PROBEMETER_VERSION;
	ret->scope = scope;
	while (span.count && !err)
		err = encode_metric(arena, span_cut(&span, same_metric), time_unix_ns, metric++);
	return err;
}

static int encode_resource(struct arena *arena, struct span span, uint64_t time_unix_ns, Otlp__ResourceMetrics *ret)
{
	const struct resource *from = span.point->resource;
	Otlp__Resource *resource = arena_alloc(arena, sizeof(*resource), 0);
	Otlp__ScopeMetrics *scope;
	int err = 0;

	otlp__resource_metrics__init(ret);
	ret->n_scope_metrics = span_groups(span, same_scope);
	scope = messages_new(arena, ret->n_scope_metrics, sizeof(*scope), &ret->scope_metrics);
	if (!resource || !scope)
		return -ENOMEM;
	otlp__resource__init(resource);
	resource->n_attributes = from->attribute_count;
	resource->attributes = attributes_new(arena, from->attribute_count);
	if (!resource->attributes)
		return -ENOMEM;
	for (size_t i = 0; i < from->attribute_count; i++)
		attribute_resource(resource->attributes[i], from->attribute[i].key, from->attribute[i].value);
	ret->resource = resource;
	while (span.count && !err)
		err = encode_scope(arena, span_cut(&span, same_scope), time_unix_ns, scope++);
	return err;
}

/* The one place where formats differ. */
static int encode_bytes(const ProtobufCMessage *request, enum encode_format format, struct arena *arena, uint8_t **ret,
			size_t *ret_size)
{
	uint8_t *bytes;

	if (format == ENCODE_JSON)
		return json_write(request, arena, ret, ret_size);
	bytes = arena_alloc(arena, protobuf_c_message_get_packed_size(request), 1);
	if (!bytes)
		return -ENOMEM;
	*ret_size = protobuf_c_message_pack(request, bytes);
	*ret = bytes;
	return 0;
}

int encode_otlp(const struct points *points, enum encode_format format, struct arena *arena, uint8_t **ret,
		size_t *ret_size)
{
	Otlp__ExportMetricsServiceRequest request = OTLP__EXPORT_METRICS_SERVICE_REQUEST__INIT;
	struct span span = { .point = points->point, .count = points->count };
	Otlp__ResourceMetrics *resource;
	int err = 0;

#ifdef PROBEMETER_DEBUG
	assert(!encode_check(points, NULL, 0));
#endif
	request.n_resource_metrics = span_groups(span, same_resource);
	resource = messages_new(arena, request.n_resource_metrics, sizeof(*resource), &request.resource_metrics);
	if (!resource)
		return -ENOMEM;
	while (span.count && !err)
		err = encode_resource(arena, span_cut(&span, same_resource), points->time_unix_ns, resource++);
	return err ? err : encode_bytes(&request.base, format, arena, ret, ret_size);
}
