/* SPDX-License-Identifier: BSD-2-Clause */
#include "truth.h"

#include <json-c/json.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LABELS 3
#define MAX_VALUES 20000

enum kind { COUNTER, LEVEL, HISTOGRAM };

static const char *const kind_names[] = {
	[COUNTER] = "counter",
	[LEVEL] = "updowncounter",
	[HISTOGRAM] = "histogram",
};

struct series {
	struct series *next;
	char *labels[MAX_LABELS];
	int64_t value;		/* counters and levels */
	int64_t count;		/* histograms, from here on */
	double sum, min, max;
	double *values;
	size_t nr_values, cap_values;
};

/* Typed from the metrics reference, in its order. */
static struct metric {
	const char *name;
	enum kind kind;
	const char *labels[MAX_LABELS];
	struct series *series;
} metrics[] = {
	{ "script.executions.total", COUNTER, { "status", "lang_and_version" }, NULL },
	{ "script.execution.duration", HISTOGRAM, { "lang_and_version" }, NULL },
	{ "script.executions.active", LEVEL, { NULL }, NULL },
	{ "script.memory.usage", HISTOGRAM, { "lang_and_version" }, NULL },
	{ "script.cpu.utilization", HISTOGRAM, { NULL }, NULL },
	{ "script.errors.total", COUNTER, { "error_type" }, NULL },
	{ "execution.queue.depth", LEVEL, { NULL }, NULL },
	{ "execution.queue.wait_time", HISTOGRAM, { "lang_and_version" }, NULL },
	{ "coordinator.scheduling.duration", HISTOGRAM, { NULL }, NULL },
	{ "coordinator.executions.active", LEVEL, { NULL }, NULL },
	{ "coordinator.queue.wait_time", HISTOGRAM, { "priority" }, NULL },
	{ "coordinator.executions.scheduled.total", COUNTER, { "status" }, NULL },
	{ "rate_limit.requests.total", COUNTER, { "authenticated", "endpoint", "algorithm" }, NULL },
	{ "rate_limit.allowed.total", COUNTER, { "group", "priority", "multiplier" }, NULL },
	{ "rate_limit.rejected.total", COUNTER, { "group", "priority", "multiplier" }, NULL },
	{ "rate_limit.bypass.total", COUNTER, { "endpoint" }, NULL },
	{ "rate_limit.check.duration", HISTOGRAM, { "endpoint", "authenticated" }, NULL },
	{ "rate_limit.redis.duration", HISTOGRAM, { "operation" }, NULL },
	{ "rate_limit.remaining", HISTOGRAM, { NULL }, NULL },
	{ "rate_limit.quota.usage", HISTOGRAM, { NULL }, NULL },
	{ "rate_limit.token_bucket.tokens", HISTOGRAM, { "endpoint" }, NULL },
	{ "events.produced.total", COUNTER, { "event_type", "topic" }, NULL },
	{ "events.consumed.total", COUNTER, { "event_type", "topic" }, NULL },
	{ "events.processing.duration", HISTOGRAM, { "event_type" }, NULL },
	{ "events.errors.total", COUNTER, { "event_type", "error_type" }, NULL },
	{ "events.lag", LEVEL, { "topic", "partition" }, NULL },
	{ "database.operations.total", COUNTER, { "operation", "collection" }, NULL },
	{ "database.operation.duration", HISTOGRAM, { "operation", "collection" }, NULL },
	{ "database.errors.total", COUNTER, { "operation", "error_type" }, NULL },
	{ "database.connections.active", LEVEL, { NULL }, NULL },
	{ "connections.active", LEVEL, { "type" }, NULL },
	{ "connections.total", COUNTER, { "type" }, NULL },
	{ "connections.duration", HISTOGRAM, { "type" }, NULL },
	{ "connections.messages.sent", COUNTER, { "type" }, NULL },
	{ "health.checks.total", COUNTER, { "service", "status" }, NULL },
	{ "health.check.duration", HISTOGRAM, { "service" }, NULL },
	{ "health.dependencies.status", LEVEL, { "dependency" }, NULL },
	{ "notifications.sent.total", COUNTER, { "type", "channel" }, NULL },
	{ "notifications.failed.total", COUNTER, { "type", "error" }, NULL },
	{ "notifications.delivery.duration", HISTOGRAM, { "channel" }, NULL },
	{ "dlq.messages.total", COUNTER, { "topic", "reason" }, NULL },
	{ "dlq.retries.total", COUNTER, { "topic" }, NULL },
	{ "dlq.size", LEVEL, { "topic" }, NULL },
};

#define NR_METRICS (sizeof(metrics) / sizeof(metrics[0]))
_Static_assert(NR_METRICS == 43, "the reference documents 43 metrics");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *metric, const char *why)
{
	fprintf(stderr, "scriptd: truth: '%s': %s\n", metric, why);
	abort();
}

static struct metric *metric_find(const char *name)
{
	for (size_t i = 0; i < NR_METRICS; i++)
		if (!strcmp(metrics[i].name, name))
			return &metrics[i];
	die(name, "not in the table");
	return NULL;
}

static size_t label_count(const struct metric *metric)
{
	size_t n = 0;

	while (n < MAX_LABELS && metric->labels[n])
		n++;
	return n;
}

/* Label sets here come from small fixed tables, so a list is enough. */
static struct series *series_get(struct metric *metric, va_list args)
{
	size_t want = label_count(metric), n = 0;
	const char *labels[MAX_LABELS];
	const char *label;
	struct series *s;

	while ((label = va_arg(args, const char *))) {
		if (n == want)
			die(metric->name, "too many labels");
		labels[n++] = label;
	}
	if (n != want)
		die(metric->name, "too few labels");

	for (s = metric->series; s; s = s->next) {
		for (n = 0; n < want && !strcmp(s->labels[n], labels[n]); n++)
			;
		if (n == want)
			return s;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		die(metric->name, "out of memory");
	for (n = 0; n < want; n++) {
		s->labels[n] = strdup(labels[n]);
		if (!s->labels[n])
			die(metric->name, "out of memory");
	}
	s->next = metric->series;
	metric->series = s;
	return s;
}

void truth_add(const char *name, int64_t n, ...)
{
	struct metric *metric = metric_find(name);
	va_list args;

	va_start(args, n);
	pthread_mutex_lock(&lock);
	series_get(metric, args)->value += n;
	pthread_mutex_unlock(&lock);
	va_end(args);
}

void truth_set(const char *name, int64_t value, ...)
{
	struct metric *metric = metric_find(name);
	va_list args;

	va_start(args, value);
	pthread_mutex_lock(&lock);
	series_get(metric, args)->value = value;
	pthread_mutex_unlock(&lock);
	va_end(args);
}

static void series_keep(struct series *s, double value)
{
	size_t cap = s->cap_values ? s->cap_values * 2 : 64;
	double *values;

	if (s->nr_values == MAX_VALUES)
		return;
	if (s->nr_values == s->cap_values) {
		values = realloc(s->values, cap * sizeof(*values));
		if (!values)
			die("values", "out of memory");
		s->values = values;
		s->cap_values = cap;
	}
	s->values[s->nr_values++] = value;
}

void truth_record(const char *name, double value, ...)
{
	struct metric *metric = metric_find(name);
	struct series *s;
	va_list args;

	va_start(args, value);
	pthread_mutex_lock(&lock);
	s = series_get(metric, args);
	if (!s->count || value < s->min)
		s->min = value;
	if (!s->count || value > s->max)
		s->max = value;
	s->count++;
	s->sum += value;
	series_keep(s, value);
	pthread_mutex_unlock(&lock);
	va_end(args);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Nearest rank: the smallest value that at least q of all do not exceed. */
static double quantile(const double *sorted, size_t n, double q)
{
	size_t rank = (size_t)(q * (double)n);

	if ((double)rank < q * (double)n)
		rank++;
	return sorted[rank ? rank - 1 : 0];
}

static void histogram_json(struct json_object *o, struct series *s, bool values)
{
	struct json_object *list;

	/* Sorting in place is harmless: the order of arrival is not reported. */
	qsort(s->values, s->nr_values, sizeof(*s->values), compare_doubles);
	json_object_object_add(o, "count", json_object_new_int64(s->count));
	json_object_object_add(o, "sum", json_object_new_double(s->sum));
	json_object_object_add(o, "min", json_object_new_double(s->min));
	json_object_object_add(o, "max", json_object_new_double(s->max));
	json_object_object_add(o, "p50", json_object_new_double(quantile(s->values, s->nr_values, 0.5)));
	json_object_object_add(o, "p99", json_object_new_double(quantile(s->values, s->nr_values, 0.99)));
	if (!values)
		return;
	list = json_object_new_array_ext((int)s->nr_values);
	for (size_t i = 0; i < s->nr_values; i++)
		json_object_array_add(list, json_object_new_double(s->values[i]));
	json_object_object_add(o, "values", list);
}

static struct json_object *series_json(const struct metric *metric, struct series *s, bool values)
{
	struct json_object *o = json_object_new_object();
	struct json_object *labels = json_object_new_object();

	for (size_t i = 0; i < label_count(metric); i++)
		json_object_object_add(labels, metric->labels[i], json_object_new_string(s->labels[i]));
	json_object_object_add(o, "labels", labels);
	if (metric->kind == HISTOGRAM)
		histogram_json(o, s, values);
	else
		json_object_object_add(o, "value", json_object_new_int64(s->value));
	return o;
}

struct json_object *truth_json(bool values)
{
	struct json_object *all = json_object_new_object();
	struct json_object *one, *list;
	struct series *s;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < NR_METRICS; i++) {
		one = json_object_new_object();
		list = json_object_new_array();
		for (s = metrics[i].series; s; s = s->next)
			json_object_array_add(list, series_json(&metrics[i], s, values));
		json_object_object_add(one, "kind", json_object_new_string(kind_names[metrics[i].kind]));
		json_object_object_add(one, "series", list);
		json_object_object_add(all, metrics[i].name, one);
	}
	pthread_mutex_unlock(&lock);
	return all;
}

void truth_free(void)
{
	struct series *s, *next;

	for (size_t i = 0; i < NR_METRICS; i++) {
		for (s = metrics[i].series; s; s = next) {
			next = s->next;
			for (size_t n = 0; n < MAX_LABELS; n++)
				free(s->labels[n]);
			free(s->values);
			free(s);
		}
		metrics[i].series = NULL;
	}
}
