/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * held.c - consumes the JSON that view.h describes, produces rows; knows nothing of terminals but what may reach one.
 *
 * A name that is missing is an empty text or no number: an agent of another version is shown as far as it is understood.
 */
#include "held.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "figure.h"
#include "utf8.h"

#define TEXT_BYTES 1024

static json_object *member(json_object *object, const char *name)
{
	json_object *value = NULL;

	return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, name, &value) ? value : NULL;
}

static double real(json_object *value)
{
	return json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int) ?
		       json_object_get_double(value) : NAN;
}

static double number(json_object *object, const char *name)
{
	return real(member(object, name));
}

static const char *raw(json_object *value)
{
	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

/* A text of the answer, safe for a terminal. */
static const char *printable(struct arena *arena, const char *text)
{
	char out[TEXT_BYTES];

	(void)utf8_printable(text, strlen(text), out, sizeof(out));
	return arena_strdup(arena, out);
}

static size_t length(json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static uint64_t hash(uint64_t key, const char *text)
{
	do
		key = (key ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	while (*text++);
	return key;
}

static int key_compare(const void *left, const void *right)
{
	const struct held_row *a = left, *b = right;

	return (a->key > b->key) - (a->key < b->key);
}

static bool has_text(json_object *array, const char *text)
{
	for (size_t i = 0; i < length(array); i++)
		if (!strcmp(raw(json_object_array_get_idx(array, i)), text))
			return true;
	return false;
}

static enum held_kind kind_of(const char *name)
{
	return !strcmp(name, "counter") ? HELD_COUNTER : !strcmp(name, "histogram") ? HELD_HISTOGRAM :
	       !strcmp(name, "gauge")	? HELD_GAUGE :
					  HELD_LEVEL;
}

/* "region=eu tier=gold", or without @names "eu, gold". */
static const char *labels_of(struct arena *arena, json_object *names, json_object *values, bool overflow)
{
	char text[TEXT_BYTES] = "", name[TEXT_BYTES / 4], value[TEXT_BYTES / 4];
	size_t used = 0;

	if (overflow)
		return "(all others: too many series)";
	for (size_t i = 0; i < length(values) && used < sizeof(text); i++) {
		const char *key = names ? raw(json_object_array_get_idx(names, i)) : "", *one = raw(json_object_array_get_idx(values, i));

		(void)utf8_printable(key, strlen(key), name, sizeof(name));
		(void)utf8_printable(one, strlen(one), value, sizeof(value));
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s%s%s", !i ? "" : names ? " " : ", ", name, names ? "=" : "",
					 *value ? value : "\"\"");
	}
	return arena_strdup(arena, text);
}

static bool counts(const struct held_row *row)
{
	return row->kind == HELD_COUNTER || row->kind == HELD_HISTOGRAM;
}

static void past_push(struct held_row *row, double value)
{
	if (row->past_count == HELD_PAST)
		memmove(row->past, row->past + 1, --row->past_count * sizeof(*row->past));
	row->past[row->past_count++] = value;
}

/* What the agent remembers of a series, at @times in milliseconds. */
static void row_recall(struct held_row *row, json_object *series, json_object *times)
{
	json_object *past = member(series, "past");

	for (size_t i = 0; i < length(past); i++) {
		double value = real(json_object_array_get_idx(past, i));
		double took_ms = i ? real(json_object_array_get_idx(times, i)) - real(json_object_array_get_idx(times, i - 1)) : NAN;

		past_push(row, counts(row) ? value / took_ms * 1e3 : value);
	}
	row->base = number(series, "past_total");
	past_push(row, NAN);
}

/* What is new since the row before, which is NULL or has the same key. */
static void row_continue(const struct held *held, const struct held *before, struct held_row *row, const struct held_row *was)
{
	double elapsed_s = before ? held->time_s - before->time_s : 0, column_s = held->time_s - held->column_s;

	row->rate = NAN;
	if (counts(row) && was && elapsed_s > 0 && row->value >= was->value)
		row->rate = (row->value - was->value) / elapsed_s;
	if (was) {
		memcpy(row->past, was->past, was->past_count * sizeof(*row->past));
		row->past_count = was->past_count;
		row->base = was->base;
	}
	if (was && held->column_s > before->column_s)
		row->base = was->value;
	if (!was && before)
		row->base = 0; /* it came up since */
	if (!row->past_count || (was && held->column_s > before->column_s))
		past_push(row, NAN);
	if (!counts(row))
		row->past[row->past_count - 1] = row->value;
	else if (isnan(row->base))
		row->past[row->past_count - 1] = row->rate;
	else if (column_s > 0 && row->value >= row->base)
		row->past[row->past_count - 1] = (row->value - row->base) / column_s;
}

static int row_read(json_object *series, json_object *services, json_object *metrics, struct held *held, struct held_row *ret)
{
	double service = number(series, "service"), place = number(series, "metric");
	json_object *metric, *above = member(series, "above");
	struct held_row row = { .key = UINT64_C(0xcbf29ce484222325), .base = NAN };
	bool overflow = json_object_get_boolean(member(series, "overflow"));

	if (!(service >= 0 && service < (double)held->service_count) || !(place >= 0 && place < (double)length(metrics)))
		return -EPROTO;
	metric = json_object_array_get_idx(metrics, (size_t)place);
	row.service = (size_t)service;
	row.kind = kind_of(raw(member(metric, "kind")));
	row.metric = printable(held->arena, raw(member(metric, "name")));
	row.unit = printable(held->arena, raw(member(metric, "unit")));
	row.labels = labels_of(held->arena, member(metric, "labels"), member(series, "labels"), overflow);
	row.values = labels_of(held->arena, NULL, member(series, "labels"), overflow);
	if (!row.metric || !row.unit || !row.labels || !row.values)
		return -ENOMEM;
	row.value = number(series, row.kind == HELD_HISTOGRAM ? "count" : "value");
	row.p50 = number(series, "p50");
	row.p99 = number(series, "p99");
	row.above50 = has_text(above, "p50");
	row.above99 = has_text(above, "p99");
	row.key = hash(row.key, json_object_to_json_string_ext(
					member(json_object_array_get_idx(services, row.service), "attributes"), JSON_C_TO_STRING_PLAIN));
	row.key = hash(hash(row.key, raw(member(metric, "scope"))), raw(member(metric, "name")));
	row.key = hash(row.key, json_object_to_json_string_ext(member(series, "labels"), JSON_C_TO_STRING_PLAIN));
	row.key = hash(row.key, overflow ? "overflow" : "");
	*ret = row;
	return 0;
}

static int rows_read(json_object *snapshot, const struct held *before, struct held *held)
{
	json_object *series = member(snapshot, "series"), *services = member(snapshot, "services");
	json_object *times = before ? NULL : member(member(snapshot, "history"), "times_unix_ms");
	int err = 0;

	held->row = arena_array(held->arena, length(series) + 1, sizeof(*held->row));
	if (!held->row)
		return -ENOMEM;
	for (size_t i = 0; i < length(series) && !err; i++) {
		struct held_row *row = &held->row[held->row_count];

		err = row_read(json_object_array_get_idx(series, i), services, member(snapshot, "metrics"), held, row);
		if (!err && times)
			row_recall(row, json_object_array_get_idx(series, i), times);
		held->row_count += !err;
	}
	for (size_t i = 0; i < held->row_count && !err; i++) {
		struct held_row *row = &held->row[i];

		row_continue(held, before, row,
			     before ? bsearch(row, before->row, before->row_count, sizeof(*row), key_compare) : NULL);
		if (!isnan(row->rate))
			held->service[row->service].rate += row->rate;
	}
	qsort(held->row, held->row_count, sizeof(*held->row), key_compare);
	return err;
}

static int services_read(json_object *snapshot, struct held *held)
{
	json_object *services = member(snapshot, "services");

	held->service_count = length(services);
	held->service = arena_array(held->arena, held->service_count + 1, sizeof(*held->service));
	if (!held->service)
		return -ENOMEM;
	for (size_t i = 0; i < held->service_count; i++) {
		json_object *one = json_object_array_get_idx(services, i);
		struct held_service *service = &held->service[i];

		service->name = printable(held->arena, raw(member(one, "name")));
		service->agent = json_object_get_boolean(member(one, "agent"));
		service->processes = (unsigned)json_object_get_int(member(one, "processes"));
		if (!service->name)
			return -ENOMEM;
	}
	return 0;
}

static int note_add(struct held *held, bool warning, const char *text)
{
	if (held->note_count == HELD_NOTES) {
		held->notes_left++;
		return 0;
	}
	held->note[held->note_count].warning = warning;
	held->note[held->note_count].text = printable(held->arena, text);
	return held->note[held->note_count++].text ? 0 : -ENOMEM;
}

static int notes_read(json_object *snapshot, struct held *held)
{
	json_object *exporters = member(snapshot, "exporters"), *why = member(snapshot, "why");
	char line[4 * TEXT_BYTES];
	int err = 0;

	for (size_t i = 0; i < length(exporters) && !err; i++) {
		json_object *one = json_object_array_get_idx(exporters, i);
		const char *state = raw(member(one, "state")), *error = raw(member(one, "error"));

		if (!strcmp(state, "listening"))
			(void)snprintf(line, sizeof(line), "%s on %s: listening, not scraped yet", raw(member(one, "name")),
				       raw(member(one, "target")));
		else
			(void)snprintf(line, sizeof(line), "%s to %s: %s, %lld exports%s%s", raw(member(one, "name")),
				       raw(member(one, "target")), state, (long long)json_object_get_int64(member(one, "delivered")),
				       *error ? ": " : "", error);
		err = note_add(held, !strcmp(state, "failing"), line);
	}
	for (size_t i = 0; i < length(why) && !err; i++) {
		json_object *one = json_object_array_get_idx(why, i);
		const char *subject = raw(member(one, "subject"));

		(void)snprintf(line, sizeof(line), "%s%s%s; %s", subject, *subject ? ": " : "", raw(member(one, "text")),
			       raw(member(one, "remedy")));
		err = note_add(held, !strcmp(raw(member(one, "severity")), "warning"), line);
	}
	return err;
}

static void title_read(json_object *snapshot, struct held *held)
{
	json_object *agent = member(snapshot, "agent");
	char host[128], up[FIGURE_BYTES], memory[FIGURE_BYTES], kernel[FIGURE_BYTES];
	const char *name = raw(member(agent, "host"));
	size_t services = 0, series = 0;

	for (size_t i = 0; i < held->service_count; i++)
		services += !held->service[i].agent;
	for (size_t i = 0; i < held->row_count; i++)
		series += !held->service[held->row[i].service].agent;
	(void)utf8_printable(name, strlen(name), host, sizeof(host));
	figure(number(agent, "uptime_ms"), "ms", up);
	figure(number(agent, "memory_bytes"), "By", memory);
	figure(number(agent, "kernel_memory_bytes"), "By", kernel);
	(void)snprintf(held->title, sizeof(held->title), "probemeter on %s, up %s: %zu service%s, %zu series, %s + %s kernel", host,
		       up, services, services == 1 ? "" : "s", series, memory, kernel);
}

/* When the last number of each past[] began: where the agent's memory ends, then one after the other. */
static double column_of(const struct held *held, const struct held *before, json_object *snapshot)
{
	json_object *times = member(member(snapshot, "history"), "times_unix_ms");

	if (before)
		return held->time_s - before->column_s > HELD_COLUMN_S ? before->time_s : before->column_s;
	return length(times) ? real(json_object_array_get_idx(times, length(times) - 1)) / 1e3 : held->time_s;
}

int held_read(json_object *snapshot, const struct held *before, struct held *ret)
{
	struct held held = { .arena = arena_new() };
	int err = held.arena ? 0 : -ENOMEM;

	if (!err && !(number(snapshot, "format") == 1))
		err = -EPROTO;
	if (!err) {
		held.time_s = number(snapshot, "time_unix_ms") / 1e3;
		held.column_s = column_of(&held, before, snapshot);
		err = services_read(snapshot, &held);
	}
	if (!err)
		err = rows_read(snapshot, before, &held);
	if (!err)
		err = notes_read(snapshot, &held);
	if (err) {
		held_free(&held);
		return err;
	}
	title_read(snapshot, &held);
	*ret = held;
	return 0;
}

void held_free(struct held *held)
{
	arena_free(held->arena);
	*held = (struct held){ .arena = NULL };
}
