/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prometheus.c - points as a page that Prometheus scrapes.
 *
 * Consumes the points of one collection, produces text. First every metric finds its family, the samples' names that it
 * claims being nobody else's; then every series gets its labels, written once though a histogram has them many times;
 * then the families are written in the order of their names.
 */
#include "prometheus.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pairs.h"
#include "prometheus_name.h"
#include "table.h"

struct row {
	const struct point *point;
	size_t labels, length; /* in struct build's text, braces not included */
	struct row *next; /* of the same family */
};

struct family {
	UT_hash_handle hh;
	const char *name; /* without _total */
	enum prometheus_type type;
	const char *unit; /* the name's last words, or NULL */
	const char *help;
	const struct metric *metric; /* the first one */
	struct row *first, **last;
	size_t count;
	bool mixed; /* more than one metric */
};

/* A sample's name, taken; or the labels of a resource, seen. */
struct claim {
	UT_hash_handle hh;
	char name[];
};

/* Bounds as they stand in a bucket's line, each with all up to its number: `0.5"} `; the last is infinity. */
struct bounds {
	const double *bound; /* those, ascending */
	uint32_t count;
	struct writer text;
	uint32_t *end; /* of each, in @text */
	size_t longest;
};

/* The end of a line that says when a total began; most began together. */
struct created {
	uint64_t start_ms; /* 0: none yet */
	char text[48];
	size_t length;
};

struct build {
	struct writer *out;
	struct writer text; /* names and labels */
	struct bounds bounds; /* of the histogram that was written last */
	struct created created;
	enum prometheus_format format;
	struct arena *arena;
	struct family *family;
	struct claim *claim;
	struct prometheus_conflicts *conflicts;
	bool failed;
};

static const char *const type_words[] = {
	[PROMETHEUS_COUNTER] = "counter", [PROMETHEUS_GAUGE] = "gauge", [PROMETHEUS_HISTOGRAM] = "histogram",
};

#define CLAIMS 5
#define CLAIM_BYTES 16 /* of the longest suffix, and its NUL */

/* What samples of a family may be called, behind its name. */
static const char *const claimed[][CLAIMS] = {
	[PROMETHEUS_COUNTER] = { "", "_total", "_created" },
	[PROMETHEUS_GAUGE] = { "" },
	[PROMETHEUS_HISTOGRAM] = { "", "_bucket", "_sum", "_count", "_created" },
};

static enum prometheus_type type_of(const struct point *point)
{
	if (point->type == POINT_HISTOGRAM || point->type == POINT_EXPONENTIAL)
		return PROMETHEUS_HISTOGRAM;
	return point->type == POINT_SUM && point->monotonic ? PROMETHEUS_COUNTER : PROMETHEUS_GAUGE;
}

/* --- families */

/* Take the names of all samples that a family may have. Return: false, and none is taken, if one is another's. */
static bool claim_all(struct build *build, const char *name, enum prometheus_type type)
{
	const char *const *suffix = claimed[type];
	struct claim *claim[CLAIMS], *other;
	size_t i;

	for (i = 0; i < CLAIMS && suffix[i]; i++) {
		claim[i] = arena_alloc(build->arena, sizeof(*claim[i]) + strlen(name) + CLAIM_BYTES, sizeof(void *));
		if (!claim[i]) {
			build->failed = true;
			return false;
		}
		strcpy(stpcpy(claim[i]->name, name), suffix[i]);
		HASH_FIND_STR(build->claim, claim[i]->name, other);
		if (other)
			return false;
	}
	while (i--)
		HASH_ADD_STR(build->claim, name, claim[i]);
	return true;
}

/* The family of a metric, made if it is new; NULL if its name is another's. */
static struct family *family_of(struct build *build, const struct point *point)
{
	const struct metric *metric = point->metric;
	enum prometheus_type type = type_of(point);
	size_t start = build->text.size;
	struct family *family;
	const char *unit;
	char *name;

	prometheus_family(&build->text, metric, type, metric->kind == PROBEMETER_KIND_GAUGE, &unit);
	writer_byte(&build->text, '\0');
	if (build->text.failed) {
		build->failed = true;
		return NULL;
	}
	name = (char *)build->text.bytes + start;
	build->text.size = start;
	HASH_FIND_STR(build->family, name, family);
	if (family) {
		family->mixed |= family->metric != metric;
		return family->type == type ? family : NULL;
	}
	family = arena_alloc(build->arena, sizeof(*family), sizeof(void *));
	name = arena_strdup(build->arena, name);
	if (!family || !name) {
		build->failed = true;
		return NULL;
	}
	*family = (struct family){ .name = name, .type = type, .unit = unit, .help = metric->description, .metric = metric };
	family->last = &family->first;
	if (!claim_all(build, name, type))
		return NULL;
	HASH_ADD_KEYPTR(hh, build->family, family->name, strlen(family->name), family);
	return family;
}

/* --- labels */

/* The attributes that tell resources apart, and what their labels are called. */
static const struct {
	const char *key, *label;
} identity[] = {
	{ "service.name", "service_name" },
	{ "service.namespace", "service_namespace" },
	{ "service.instance.id", "service_instance_id" },
};

#define IDENTITY (sizeof(identity) / sizeof(identity[0]))

static void put_pair(struct writer *out, size_t start, const char *label, const char *value)
{
	if (out->size > start)
		writer_byte(out, ',');
	writer_text(out, label);
	writer_text(out, "=\"");
	prometheus_escape(out, value);
	writer_byte(out, '"');
}

static void put_identity(struct writer *out, size_t start, const struct resource *resource)
{
	size_t i;

	for (i = 0; i < IDENTITY; i++) {
		const char *value = pairs_find(resource->attribute, resource->attribute_count, identity[i].key);

		if (value && *value)
			put_pair(out, start, identity[i].label, value);
	}
}

/* Is this label's name one that the page, or Prometheus, gives itself? */
static bool is_ours(const char *label)
{
	static const char *const own[] = { "le", "otel_scope_name", "otel_metric_overflow", "job", "instance" };
	size_t i;

	for (i = 0; i < IDENTITY; i++)
		if (!strcmp(identity[i].label, label))
			return true;
	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!strcmp(own[i], label))
			return true;
	return false;
}

/* Label names of one metric, as they go on the page; equal ones are one label, its values joined by ";". */
struct names {
	const char *name[PROBEMETER_MAX_LABELS];
};

static void names_make(struct build *build, const struct metric *metric, struct names *ret)
{
	struct writer *text = &build->text;
	uint32_t i;

	for (i = 0; i < metric->label_count; i++) {
		size_t start = text->size, plain = start + strlen("exported_");

		writer_text(text, "exported_");
		prometheus_label(text, metric->label[i]);
		writer_byte(text, '\0');
		if (text->failed)
			break;
		ret->name[i] = arena_strdup(build->arena, (char *)text->bytes +
								  (is_ours((char *)text->bytes + plain) ? start : plain));
		text->size = start;
		build->failed |= !ret->name[i];
	}
}

static void put_labels(struct writer *out, size_t start, const struct names *names, const struct point *point)
{
	uint32_t i, n;

	for (i = 0; i < point->metric->label_count; i++) {
		for (n = 0; n < i && strcmp(names->name[n], names->name[i]); n++)
			;
		if (n < i)
			continue; /* stands with the first of its name */
		if (out->size > start)
			writer_byte(out, ',');
		writer_text(out, names->name[i]);
		writer_text(out, "=\"");
		prometheus_escape(out, point->value[i]);
		for (n = i + 1; n < point->metric->label_count; n++)
			if (!strcmp(names->name[n], names->name[i])) {
				writer_byte(out, ';');
				prometheus_escape(out, point->value[n]);
			}
		writer_byte(out, '"');
	}
}

/* --- rows */

static void leave_out(struct build *build, const struct point *point)
{
	if (!build->conflicts->count++)
		build->conflicts->first = point;
}

/* Put every point, with its labels, into its family. Points of one resource and metric are neighbours. */
static void rows_make(struct build *build, const struct points *points, struct row *row)
{
	struct writer *text = &build->text;
	struct family *family = NULL;
	struct names names = { 0 };
	size_t i, start, common = 0, common_length = 0;

	for (i = 0; i < points->count && !build->failed && !text->failed; i++) {
		const struct point *point = &points->point[i], *before = i ? point - 1 : NULL;

		if (!before || before->resource != point->resource || before->metric != point->metric) {
			family = family_of(build, point);
			names_make(build, point->metric, &names);
			common = text->size;
			put_identity(text, common, point->resource);
			put_pair(text, common, "otel_scope_name", point->metric->scope);
			common_length = text->size - common;
		}
		if (build->failed || text->failed)
			break;
		if (!family) {
			leave_out(build, point);
			continue;
		}
		start = text->size;
		if (!writer_reserve(text, common_length))
			break;
		writer_put(text, text->bytes + common, common_length);
		if (point->overflow)
			put_pair(text, start, "otel_metric_overflow", "true");
		else
			put_labels(text, start, &names, point);
		row[i] = (struct row){ .point = point, .labels = start, .length = text->size - start };
		*family->last = &row[i];
		family->last = &row[i].next;
		family->count++;
	}
	build->failed |= text->failed;
}

/* --- series that labels do not tell apart */

static int by_labels(const void *left, const void *right, void *context)
{
	const struct row *a = *(const struct row *const *)left, *b = *(const struct row *const *)right;
	size_t least = a->length < b->length ? a->length : b->length;
	const char *text = context;
	int order = memcmp(text + a->labels, text + b->labels, least);

	return order ? order : (a->length > b->length) - (a->length < b->length);
}

/* Add @more to a copy of a point that is ours. Return: false if there is no sense in a sum. */
static bool point_add(struct point *point, const struct point *more)
{
	uint32_t i;

	if (point->type != more->type || point->type == POINT_GAUGE ||
	    point->metric->kind == PROBEMETER_KIND_UPDOWNCOUNTER_LATEST)
		return false;
	if (point->type == POINT_SUM)
		return !__builtin_add_overflow(point->integer, more->integer, &point->integer);
	if (point->type != POINT_HISTOGRAM || point->bound_count != more->bound_count ||
	    memcmp(point->bound, more->bound, point->bound_count * sizeof(*point->bound)))
		return false;
	for (i = 0; i <= point->bound_count; i++)
		point->bucket[i] += more->bucket[i];
	point->count += more->count;
	point->sum += more->sum;
	point->has_sum &= more->has_sum;
	return true;
}

static struct point *point_copy(struct arena *arena, const struct point *point)
{
	struct point *copy = arena_alloc(arena, sizeof(*copy), sizeof(void *));

	if (!copy)
		return NULL;
	*copy = *point;
	if (point->type == POINT_HISTOGRAM) {
		copy->bucket = arena_array(arena, point->bound_count + 1, sizeof(*copy->bucket));
		if (!copy->bucket)
			return NULL;
		memcpy(copy->bucket, point->bucket, (point->bound_count + 1) * sizeof(*copy->bucket));
	}
	return copy;
}

/* One row for all with the same labels. */
static void family_join(struct build *build, struct family *family)
{
	struct row **order = arena_array(build->arena, family->count, sizeof(*order)), *row;
	size_t i = 0, kept = 0;

	if (!order) {
		build->failed = true;
		return;
	}
	for (row = family->first; row; row = row->next)
		order[i++] = row;
	qsort_r(order, family->count, sizeof(*order), by_labels, build->text.bytes);
	for (i = 1; i < family->count; i++) {
		struct point *sum;

		if (by_labels(&order[kept], &order[i], build->text.bytes)) {
			order[++kept] = order[i];
			continue;
		}
		sum = point_copy(build->arena, order[kept]->point);
		if (!sum)
			build->failed = true;
		else if (point_add(sum, order[i]->point))
			order[kept]->point = sum;
		else
			leave_out(build, order[i]->point);
	}
	for (i = 0; i < kept; i++)
		order[i]->next = order[i + 1];
	order[kept]->next = NULL;
	family->first = order[0];
}

static int by_name(const void *left, const void *right)
{
	return strcmp((*(struct family *const *)left)->name, (*(struct family *const *)right)->name);
}

/* Are there resources that their labels do not tell apart? */
static bool has_twins(struct build *build, const struct resource *const *resource, size_t count)
{
	struct claim *seen = NULL, *claim, *other;
	struct writer *text = &build->text;
	size_t i, start = text->size;
	bool twins = false;

	for (i = 0; i < count && !twins; i++) {
		text->size = start;
		put_identity(text, start, resource[i]);
		writer_byte(text, '\0');
		claim = arena_alloc(build->arena, sizeof(*claim) + text->size - start, sizeof(void *));
		if (text->failed || !claim) {
			build->failed = true;
			break;
		}
		memcpy(claim->name, text->bytes + start, text->size - start);
		HASH_FIND_STR(seen, claim->name, other);
		twins = other != NULL;
		if (!twins)
			HASH_ADD_STR(seen, name, claim);
	}
	HASH_CLEAR(hh, seen);
	text->size = start;
	return twins;
}

/* --- the page */

static void put_head(struct build *build, const char *name, const char *type, const char *unit, const char *help)
{
	struct writer *out = build->out;
	bool open = build->format == PROMETHEUS_OPENMETRICS;
	/* In the older format a family is what its samples are called. */
	const char *suffix = !open && !strcmp(type, "counter") ? "_total" : "";

	writer_text(out, "# TYPE ");
	writer_text(out, name);
	writer_text(out, suffix);
	writer_byte(out, ' ');
	writer_text(out, type);
	if (open && unit && *unit) {
		writer_text(out, "\n# UNIT ");
		writer_text(out, name);
		writer_byte(out, ' ');
		writer_text(out, unit);
	}
	writer_text(out, "\n# HELP ");
	writer_text(out, name);
	writer_text(out, suffix);
	writer_byte(out, ' ');
	if (open)
		prometheus_escape(out, help);
	else
		prometheus_escape_help(out, help);
	writer_byte(out, '\n');
}

/* Name and labels of a sample, the closing brace not included. */
static void put_name(struct build *build, const struct family *family, const char *suffix, const struct row *row)
{
	struct writer *out = build->out;

	writer_text(out, family->name);
	writer_text(out, suffix);
	writer_byte(out, '{');
	writer_put(out, build->text.bytes + row->labels, row->length);
}

static void put_real(struct writer *out, double value)
{
	if (isfinite(value))
		writer_real(out, value);
	else
		writer_text(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
}

static void put_count(struct build *build, const struct family *family, const char *suffix, const struct row *row,
		      uint64_t count)
{
	put_name(build, family, suffix, row);
	writer_text(build->out, "} ");
	writer_unsigned(build->out, count);
	writer_byte(build->out, '\n');
}

/* OpenMetrics wants to be told when a total began. */
static void put_created(struct build *build, const struct family *family, const struct row *row)
{
	uint64_t start_ms = row->point->start_unix_ns / 1000000;
	struct created *created = &build->created;

	if (build->format != PROMETHEUS_OPENMETRICS || !start_ms)
		return;
	if (created->start_ms != start_ms) {
		created->start_ms = start_ms;
		created->length = (size_t)snprintf(created->text, sizeof(created->text), "} %llu.%03u\n",
						   (unsigned long long)(start_ms / 1000), (unsigned)(start_ms % 1000));
	}
	put_name(build, family, "_created", row);
	writer_put(build->out, created->text, created->length);
}

/* A bound; OpenMetrics writes each as a floating number. */
static void put_bound(struct writer *out, enum prometheus_format format, double bound)
{
	size_t start = out->size, i;

	writer_real(out, bound);
	if (format != PROMETHEUS_OPENMETRICS || out->failed)
		return;
	for (i = start; i < out->size; i++)
		if (strchr(".e", out->bytes[i]))
			return;
	writer_text(out, ".0");
}

/* The bounds of a point, which are nearly always those of the point before it. Return: are there @build's? */
static bool bounds_make(struct build *build, const struct point *point)
{
	uint32_t count = point->type == POINT_HISTOGRAM ? point->bound_count : 0, i;
	struct bounds *bounds = &build->bounds;
	size_t start;

	if (bounds->end && bounds->count == count && (!count || !memcmp(bounds->bound, point->bound, count * sizeof(*point->bound))))
		return true;
	bounds->bound = point->bound;
	bounds->count = count;
	bounds->text.size = bounds->longest = 0;
	bounds->end = arena_array(build->arena, count + 1, sizeof(*bounds->end));
	for (i = 0; bounds->end && i <= count; i++) {
		start = bounds->text.size;
		if (i < count)
			put_bound(&bounds->text, build->format, point->bound[i]);
		else
			writer_text(&bounds->text, "+Inf");
		writer_text(&bounds->text, "\"} ");
		bounds->end[i] = (uint32_t)bounds->text.size;
		if (bounds->text.size - start > bounds->longest)
			bounds->longest = bounds->text.size - start;
	}
	build->failed |= !bounds->end || bounds->text.failed;
	return !build->failed;
}

/* Most of a page is these lines: they differ in the bound and the number, and all else is copied from the first. */
static void put_buckets(struct build *build, const struct family *family, const struct row *row)
{
	const struct point *point = row->point;
	const struct bounds *bounds = &build->bounds;
	struct writer *out = build->out;
	size_t start = out->size, head, from = 0;
	uint64_t below = 0;
	uint8_t *first, *at;
	uint32_t i;

	if (!bounds_make(build, point))
		return;
	put_name(build, family, "_bucket", row);
	writer_text(out, ",le=\"");
	head = out->size - start;
	at = writer_reserve(out, (bounds->count + 1) * (head + bounds->longest + WRITER_INTEGER_BYTES + 1));
	if (!at)
		return;
	first = out->bytes + start;
	for (i = 0; i <= bounds->count; from = bounds->end[i++]) {
		if (i)
			at = mempcpy(at, first, head);
		at = mempcpy(at, bounds->text.bytes + from, bounds->end[i] - from);
		below = i < bounds->count ? below + point->bucket[i] : point->count;
		at = writer_digits(at, below);
		*at++ = '\n';
	}
	out->size = (size_t)(at - out->bytes);
}

static void put_histogram(struct build *build, const struct family *family, const struct row *row)
{
	const struct point *point = row->point;
	struct writer *out = build->out;

	put_buckets(build, family, row);
	if (point->has_sum) {
		put_name(build, family, "_sum", row);
		writer_text(out, "} ");
		put_real(out, point->sum);
		writer_byte(out, '\n');
	}
	put_count(build, family, "_count", row, point->count);
	put_created(build, family, row);
}

static void put_row(struct build *build, const struct family *family, const struct row *row)
{
	const struct point *point = row->point;

	switch (family->type) {
	case PROMETHEUS_HISTOGRAM:
		put_histogram(build, family, row);
		break;
	case PROMETHEUS_COUNTER:
		put_count(build, family, "_total", row, (uint64_t)point->integer);
		put_created(build, family, row);
		break;
	case PROMETHEUS_GAUGE:
		put_name(build, family, "", row);
		writer_text(build->out, "} ");
		if (point->type == POINT_SUM)
			writer_signed(build->out, point->integer);
		else
			put_real(build->out, point->real);
		writer_byte(build->out, '\n');
	}
}

/* Does an attribute before this one get the same label in target_info? */
static bool is_repeated(struct build *build, const struct resource *resource, size_t at)
{
	struct writer *text = &build->text;
	size_t start = text->size, second, i;
	bool repeated = false;

	prometheus_label(text, resource->attribute[at].key);
	writer_byte(text, '\0');
	second = text->size;
	for (i = 0; i < at && !repeated; i++) {
		text->size = second;
		prometheus_label(text, resource->attribute[i].key);
		writer_byte(text, '\0');
		repeated = !text->failed && !strcmp((char *)text->bytes + start, (char *)text->bytes + second);
	}
	if (!text->failed)
		text->size = start;
	return repeated;
}

static void put_target(struct build *build, const struct resource *resource)
{
	struct writer *out = build->out;
	size_t i, n, start;

	writer_text(out, "target_info{");
	start = out->size;
	put_identity(out, start, resource);
	for (i = 0; i < resource->attribute_count; i++) {
		const struct attribute *attribute = &resource->attribute[i];

		for (n = 0; n < IDENTITY && strcmp(identity[n].key, attribute->key); n++)
			;
		if (n < IDENTITY || is_repeated(build, resource, i))
			continue;
		if (out->size > start)
			writer_byte(out, ',');
		prometheus_label(out, attribute->key);
		writer_text(out, "=\"");
		prometheus_escape(out, attribute->value);
		writer_byte(out, '"');
	}
	writer_text(out, "} 1\n");
}

static void put_targets(struct build *build, const struct resource *const *resource, size_t count)
{
	bool open = build->format == PROMETHEUS_OPENMETRICS;
	size_t i;

	put_head(build, open ? "target" : "target_info", open ? "info" : "gauge", NULL, "Attributes of each resource");
	for (i = 0; i < count; i++) {
		put_target(build, resource[i]);
		writer_rest(build->out);
	}
}

static int write_points(struct build *build, const struct points *points)
{
	struct row *row = arena_array(build->arena, points->count, sizeof(*row));
	const struct resource **resource = arena_array(build->arena, points->count + 1, sizeof(*resource));
	struct family **order, *family;
	size_t i, resources = 0, count = 0;
	bool twins;

	if ((!row && points->count) || !resource)
		return -ENOMEM;
	for (i = 0; i < points->count; i++)
		if (!i || points->point[i].resource != points->point[i - 1].resource)
			resource[resources++] = points->point[i].resource;
	/* Nobody else may have these. */
	(void)claim_all(build, "target", PROMETHEUS_GAUGE);
	(void)claim_all(build, "target_info", PROMETHEUS_GAUGE);
	twins = has_twins(build, resource, resources);
	rows_make(build, points, row);
	order = arena_array(build->arena, HASH_COUNT(build->family) + 1, sizeof(*order));
	if (build->failed || !order)
		return -ENOMEM;
	for (family = build->family; family; family = family->hh.next)
		order[count++] = family;
	qsort(order, count, sizeof(*order), by_name);
	put_targets(build, resource, resources);
	for (i = 0; i < count; i++) {
		const struct row *at;

		if (order[i]->mixed || twins)
			family_join(build, order[i]);
		put_head(build, order[i]->name, type_words[order[i]->type], order[i]->unit, order[i]->help);
		for (at = order[i]->first; at; at = at->next) {
			put_row(build, order[i], at);
			writer_rest(build->out);
		}
	}
	return build->failed ? -ENOMEM : 0;
}

int prometheus_write(struct writer *writer, const struct points *points, enum prometheus_format format,
		     struct arena *arena, struct prometheus_conflicts *ret)
{
	struct build build = { .out = writer, .format = format, .arena = arena, .conflicts = ret };
	int err = 0;

	*ret = (struct prometheus_conflicts){ 0 };
	if (points)
		err = write_points(&build, points);
	HASH_CLEAR(hh, build.family);
	HASH_CLEAR(hh, build.claim);
	free(build.text.bytes);
	free(build.bounds.text.bytes);
	if (format == PROMETHEUS_OPENMETRICS)
		writer_text(writer, "# EOF\n");
	else if (!points)
		writer_text(writer, "# nothing is counted\n");
	return err ? err : writer->failed ? -ENOMEM : 0;
}
