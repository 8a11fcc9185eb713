/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * encode_check.c - the rules of the metrics data model, as code.
 *
 * Consumes points, produces yes or no and the first rule that is broken. Asserted before each export in debug builds;
 * release builds rely on merge being right and pay nothing.
 * Source: OpenTelemetry metrics data model, "Metric points"; otlp.proto's own comments.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "exponential.h"
#include "utf8.h"

#define CHECK_MIN_SCALE (-10)
#define CHECK_MAX_SCALE 20

static bool text_valid(const char *text)
{
	return text && utf8_valid(text, strlen(text));
}

static const char *resource_problem(const struct resource *resource)
{
	for (size_t i = 0; i < resource->attribute_count; i++) {
		const struct attribute *one = &resource->attribute[i];

		if (!text_valid(one->key) || !text_valid(one->value))
			return "a resource attribute is not UTF-8";
		if (!*one->key)
			return "a resource attribute has an empty key";
		for (size_t j = 0; j < i; j++)
			if (!strcmp(resource->attribute[j].key, one->key))
				return "a resource attribute comes twice";
	}
	return NULL;
}

static const char *metric_problem(const struct metric *metric)
{
	if (!text_valid(metric->scope) || !text_valid(metric->name) || !text_valid(metric->unit) ||
	    !text_valid(metric->description))
		return "its name, unit, scope or description is not UTF-8";
	if (!*metric->name)
		return "it has no name";
	if (metric->label_count > PROBEMETER_MAX_LABELS)
		return "it has too many labels";
	for (uint32_t i = 0; i < metric->label_count; i++) {
		if (!text_valid(metric->label[i]) || !*metric->label[i])
			return "a label's name is empty or not UTF-8";
		for (uint32_t j = 0; j < i; j++)
			if (!strcmp(metric->label[j], metric->label[i]))
				return "a label comes twice";
	}
	return NULL;
}

static const char *histogram_problem(const struct point *point)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < point->bound_count; i++)
		if (!isfinite(point->bound[i]) || (i && point->bound[i] <= point->bound[i - 1]))
			return "its bounds do not ascend";
	for (uint32_t i = 0; i <= point->bound_count; i++)
		if (__builtin_add_overflow(total, point->bucket[i], &total))
			return "its buckets overflow";
	return total == point->count ? NULL : "its buckets do not add up to its count";
}

static const char *exponential_problem(const struct point *point)
{
	const struct exponential_buckets *side[] = { &point->positive, &point->negative };
	uint64_t total = point->zero_count;

	if (side[0]->bucket_count + side[1]->bucket_count > EXPONENTIAL_MAX_BUCKETS)
		return "it has more than 160 buckets";
	if (point->scale < CHECK_MIN_SCALE || point->scale > CHECK_MAX_SCALE)
		return "its scale is out of range";
	for (size_t s = 0; s < 2; s++)
		for (uint32_t i = 0; i < side[s]->bucket_count; i++)
			if (__builtin_add_overflow(total, side[s]->count[i], &total))
				return "its buckets overflow";
	if (point->has_sum && point->negative.bucket_count)
		return "it has a sum though negative values were seen";
	return total == point->count ? NULL : "its buckets do not add up to its count";
}

static const char *point_problem(const struct point *point, uint64_t time_unix_ns)
{
	bool histogram = point->type == POINT_HISTOGRAM || point->type == POINT_EXPONENTIAL;

	for (uint32_t i = 0; i < point->metric->label_count && !point->overflow; i++)
		if (!text_valid(point->value[i]))
			return "a label's value is not UTF-8";
	if (point->type != POINT_GAUGE && !point->start_unix_ns)
		return "it has no start time";
	if (point->start_unix_ns > time_unix_ns)
		return "it starts after its own time";
	if (point->type != POINT_GAUGE && point->temporality == TEMPORALITY_DELTA && point->start_unix_ns == time_unix_ns)
		return "it is a delta over no time";
	if (point->type != POINT_GAUGE && point->temporality != TEMPORALITY_DELTA &&
	    point->temporality != TEMPORALITY_CUMULATIVE)
		return "its temporality is unspecified";
	if (point->type == POINT_SUM && point->monotonic && point->integer < 0)
		return "it is monotonic and negative";
	if (point->ended && (point->count || (point->type == POINT_SUM && point->integer) || (histogram && point->sum != 0)))
		return "it has ended and has a value";
	if (histogram && point->has_sum && !isfinite(point->sum))
		return "its sum is not finite";
	if (point->type == POINT_HISTOGRAM)
		return histogram_problem(point);
	return point->type == POINT_EXPONENTIAL ? exponential_problem(point) : NULL;
}

/* By what a receiver takes for one series. */
static int identity_compare(const void *left, const void *right)
{
	const struct point *a = *(const struct point *const *)left, *b = *(const struct point *const *)right;
	int order = (a->resource > b->resource) - (a->resource < b->resource);

	if (!order)
		order = strcmp(a->metric->scope, b->metric->scope);
	if (!order)
		order = strcmp(a->metric->name, b->metric->name);
	/* Descriptors of two builds may disagree about a metric; those stay two streams. */
	if (!order)
		order = (a->metric > b->metric) - (a->metric < b->metric);
	if (!order)
		order = a->overflow - b->overflow;
	for (uint32_t i = 0; !order && !a->overflow && i < a->metric->label_count; i++)
		order = strcmp(a->value[i], b->value[i]);
	return order;
}

static int __attribute__((format(printf, 3, 4))) broken(char *error, size_t error_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (error_size)
		(void)vsnprintf(error, error_size, format, args);
	va_end(args);
	return -EINVAL;
}

static int check_unique(const struct points *points, char *error, size_t error_size)
{
	const struct point **order = malloc((points->count + 1) * sizeof(*order));
	int err = 0;

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < points->count; i++)
		order[i] = &points->point[i];
	qsort(order, points->count, sizeof(*order), identity_compare);
	for (size_t i = 1; i < points->count && !err; i++)
		if (!identity_compare(&order[i - 1], &order[i]))
			err = broken(error, error_size, "metric '%s': two points have the same attributes",
				     order[i]->metric->name);
	free(order);
	return err;
}

int encode_check(const struct points *points, char *error, size_t error_size)
{
	const struct resource *resource = NULL;
	const struct metric *metric = NULL;

	if (points->count && !points->time_unix_ns)
		return broken(error, error_size, "the export has no time");
	for (size_t i = 0; i < points->count; i++) {
		const struct point *point = &points->point[i];
		const char *problem = NULL;

		if (point->resource != resource)
			problem = resource_problem(point->resource);
		if (!problem && point->metric != metric)
			problem = metric_problem(point->metric);
		if (!problem)
			problem = point_problem(point, points->time_unix_ns);
		if (problem)
			return broken(error, error_size, "metric '%s': %s", point->metric->name, problem);
		resource = point->resource;
		metric = point->metric;
	}
	return check_unique(points, error, error_size);
}
