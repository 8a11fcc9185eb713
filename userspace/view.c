/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * view.c - the agent's state at one moment, as JSON.
 *
 * Consumes points, what discovery knows and what the agent says of itself; produces one document in memory. The words of
 * "why is there nothing" are chosen here, from the same facts, so that every client shows the same ones.
 */
#include "view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <probemeter/version.h>

#include "attach.h"
#include "drops.h"
#include "encode.h"
#include "quantile.h"
#include "service.h"
#include "table.h"

#include "../bpf/maps.h"

#define VIEW_PIDS 16 /* of one service */
#define VIEW_WHY 100 /* of one kind: more say nothing new */

/* Things by address, numbered in the order they came. */
struct place {
	UT_hash_handle hh;
	const void *thing;
	size_t index;
};

struct places {
	struct place *place;
	const void **thing; /* by index */
	size_t count, room;
	bool failed;
};

/* The number of @thing; a new one if @add; SIZE_MAX if there is none. */
static size_t place_of(struct places *places, const void *thing, bool add)
{
	struct place *place;

	HASH_FIND_PTR(places->place, &thing, place);
	if (place || !add || places->failed)
		return place ? place->index : SIZE_MAX;
	if (places->count == places->room) {
		size_t room = places->room ? 2 * places->room : 64;
		const void **grown = realloc(places->thing, room * sizeof(*grown));

		places->failed = !grown;
		if (!grown)
			return SIZE_MAX;
		places->thing = grown;
		places->room = room;
	}
	place = calloc(1, sizeof(*place));
	places->failed = !place;
	if (!place)
		return SIZE_MAX;
	place->thing = thing;
	place->index = places->count++;
	places->thing[place->index] = thing;
	HASH_ADD_PTR(places->place, thing, place);
	return place->index;
}

static void places_free(struct places *places)
{
	struct place *place, *next;

	HASH_ITER(hh, places->place, place, next) {
		HASH_DEL(places->place, place);
		free(place);
	}
	free(places->thing);
}

/* What is counted per service and per binary on the way. */
struct tally {
	size_t processes;
	bool hit; /* something of it was fired, or set */
	bool probed; /* one of its binaries is attached, or needs no probe */
	bool overflow;
};

struct document {
	struct writer *out;
	const struct view *view;
	struct places services, metrics, binaries;
	struct tally *service, *binary; /* by place */
	size_t moments; /* that are remembered */
};

/* --- JSON, one step up from the writer */

/* A comma, unless this is the first of its object or array, or stands behind its key. */
static void separate(struct writer *out)
{
	uint8_t last = out->size ? out->bytes[out->size - 1] : '{';

	if (last != '{' && last != '[' && last != ':')
		writer_byte(out, ',');
}

/* @name NULL: of an array. */
static void key(struct writer *out, const char *name)
{
	separate(out);
	if (!name)
		return;
	writer_byte(out, '"');
	writer_text(out, name);
	writer_text(out, "\":");
}

static void open_as(struct writer *out, const char *name, char bracket)
{
	key(out, name);
	writer_byte(out, bracket);
}

static void text(struct writer *out, const char *name, const char *value)
{
	key(out, name);
	if (value)
		writer_json_text(out, value);
	else
		writer_text(out, "null");
}

static void number(struct writer *out, const char *name, uint64_t value)
{
	key(out, name);
	writer_unsigned(out, value);
}

/* JSON has no word for what is not finite. */
static void real(struct writer *out, const char *name, double value)
{
	key(out, name);
	if (isfinite(value))
		writer_real(out, value);
	else
		writer_text(out, "null");
}

static void truth(struct writer *out, const char *name, bool value)
{
	key(out, name);
	writer_text(out, value ? "true" : "false");
}

static void time_ms(struct writer *out, const char *name, uint64_t unix_ns)
{
	if (unix_ns)
		number(out, name, unix_ns / 1000000);
	else
		text(out, name, NULL);
}

/* --- who and what there is */

static bool is_histogram(const struct point *point)
{
	return point->type == POINT_HISTOGRAM || point->type == POINT_EXPONENTIAL;
}

/* Does this point show that somebody did something? A level of 0 may have been so all along. */
static bool is_hit(const struct point *point)
{
	return is_histogram(point) ? point->count > 0 : point->type == POINT_GAUGE || point->integer != 0;
}

/* Number all services, metrics and binaries. */
static void census(struct document *document)
{
	const struct view *view = document->view;
	const struct process *process;
	const struct object *object;
	size_t i;

	(void)place_of(&document->services, view->agent, true);
	for (i = 0; i < view->points->count; i++) {
		(void)place_of(&document->services, view->points->point[i].resource, true);
		(void)place_of(&document->metrics, view->points->point[i].metric, true);
	}
	for (process = view->discovery->process; process; process = process->hh.next)
		if (process->resource)
			(void)place_of(&document->services, process->resource, true);
	for (object = view->discovery->objects.list; object; object = object->hh.next) {
		(void)place_of(&document->binaries, object, true);
		for (i = 0; object->metric && i < object->descriptors.count; i++)
			if (object->metric[i])
				(void)place_of(&document->metrics, object->metric[i], true);
	}
}

/* Count what belongs to each. Return: false if memory is short. */
static bool count(struct document *document)
{
	const struct view *view = document->view;
	const struct process *process;
	size_t i;

	document->service = calloc(document->services.count + document->binaries.count + 1, sizeof(struct tally));
	if (!document->service || document->services.failed || document->metrics.failed || document->binaries.failed)
		return false;
	document->binary = document->service + document->services.count;
	for (i = 0; i < view->points->count; i++) {
		const struct point *point = &view->points->point[i];
		struct tally *tally = &document->service[place_of(&document->services, point->resource, false)];

		tally->hit |= is_hit(point);
		tally->overflow |= point->overflow;
	}
	for (process = view->discovery->process; process; process = process->hh.next) {
		size_t place = process->resource ? place_of(&document->services, process->resource, false) : SIZE_MAX;
		struct tally *tally = place == SIZE_MAX ? NULL : &document->service[place];

		if (tally)
			tally->processes++;
		for (i = 0; i < process->loaded_count; i++) {
			place = place_of(&document->binaries, process->loaded[i].object, false);
			if (place == SIZE_MAX)
				continue; /* replaced on disk, and on its way out */
			document->binary[place].processes++;
			if (tally)
				tally->probed |= process->loaded[i].object->attachment != NULL;
		}
	}
	return true;
}

/* --- the parts of the document */

static void write_limit(struct writer *out, const char *name, uint64_t used, uint64_t limit)
{
	open_as(out, name, '{');
	number(out, "used", used);
	number(out, "limit", limit);
	writer_byte(out, '}');
}

static void write_agent(struct writer *out, const struct view *view)
{
	char host[256] = "";

	(void)gethostname(host, sizeof(host) - 1);
	open_as(out, "agent", '{');
	text(out, "version", PROBEMETER_VERSION);
	number(out, "pid", (uint64_t)getpid());
	text(out, "host", host);
	time_ms(out, "start_unix_ms", view->start_unix_ns);
	number(out, "uptime_ms",
	       view->time_unix_ns > view->start_unix_ns ? (view->time_unix_ns - view->start_unix_ns) / 1000000 : 0);
	number(out, "interval_ms", view->interval_ms);
	truth(out, "ready", view->ready);
	text(out, "noop", view->noop);
	text(out, "way", view->way);
	if (view->self) {
		number(out, "sites", view->self->sites);
		number(out, "processes", view->self->processes);
		number(out, "memory_bytes", view->self->memory_bytes);
		number(out, "kernel_memory_bytes", view->self->kernel_bytes);
		real(out, "cpu_utilization", view->self->cpu_utilization);
		open_as(out, "limits", '{');
		write_limit(out, "services", view->self->services, view->self->services_limit);
		write_limit(out, "series", view->self->series, view->self->series_limit);
		write_limit(out, "cells", view->self->cells, view->self->cells_limit);
		writer_byte(out, '}');
	}
	writer_byte(out, '}');
}

static void write_exporters(struct writer *out, const struct view *view)
{
	size_t i;

	open_as(out, "exporters", '[');
	for (i = 0; i < view->exporter_count; i++) {
		const struct view_exporter *exporter = &view->exporter[i];

		open_as(out, NULL, '{');
		text(out, "name", exporter->name);
		text(out, "target", exporter->target);
		text(out, "state", exporter->error ? "failing" : exporter->tried ? "ok" : exporter->awaits ? "listening" : "starting");
		text(out, "error", exporter->error);
		time_ms(out, "last_unix_ms", exporter->last_unix_ns);
		number(out, "delivered", exporter->delivered);
		number(out, "failed", exporter->failed);
		writer_byte(out, '}');
	}
	writer_byte(out, ']');
}

/* The processes of one service, and what they run. Quadratic in services and processes, but hosts have few of both. */
static void write_processes(struct document *document, const struct resource *resource)
{
	struct writer *out = document->out;
	struct places seen = { 0 };
	const struct process *process;
	size_t shown = 0, i;

	open_as(out, "pids", '[');
	for (process = document->view->discovery->process; process; process = process->hh.next) {
		if (process->resource != resource)
			continue;
		if (shown++ < VIEW_PIDS)
			number(out, NULL, (uint64_t)process->pid);
		for (i = 0; i < process->loaded_count; i++)
			(void)place_of(&seen, process->loaded[i].object, true);
	}
	writer_byte(out, ']');
	open_as(out, "binaries", '[');
	for (i = 0; i < seen.count; i++) {
		size_t place = place_of(&document->binaries, seen.thing[i], false);

		if (place != SIZE_MAX)
			number(out, NULL, place);
	}
	writer_byte(out, ']');
	places_free(&seen);
}

static void write_services(struct document *document)
{
	struct writer *out = document->out;
	size_t i, n;

	open_as(out, "services", '[');
	for (i = 0; i < document->services.count; i++) {
		const struct resource *resource = document->services.thing[i];

		open_as(out, NULL, '{');
		text(out, "name", service_name(resource));
		truth(out, "agent", resource == document->view->agent);
		open_as(out, "attributes", '{');
		for (n = 0; n < resource->attribute_count; n++) {
			separate(out);
			writer_json_text(out, resource->attribute[n].key);
			writer_byte(out, ':');
			writer_json_text(out, resource->attribute[n].value);
		}
		writer_byte(out, '}');
		number(out, "processes", document->service[i].processes);
		write_processes(document, resource);
		writer_byte(out, '}');
	}
	writer_byte(out, ']');
}

static bool is_excluded(const struct object *object)
{
	return !object->attachment && !object->attach_err;
}

static void write_binaries(struct document *document)
{
	struct writer *out = document->out;
	size_t i, n;

	open_as(out, "binaries", '[');
	for (i = 0; i < document->binaries.count; i++) {
		const struct object *object = document->binaries.thing[i];

		open_as(out, NULL, '{');
		text(out, "path", object->path);
		truth(out, "attached", object->attachment);
		number(out, "sites", object->attachment ? attach_count(object->attachment) : 0);
		open_as(out, "metrics", '[');
		for (n = 0; object->metric && n < object->descriptors.count; n++)
			if (object->metric[n])
				number(out, NULL, place_of(&document->metrics, object->metric[n], false));
		writer_byte(out, ']');
		number(out, "processes", document->binary[i].processes);
		text(out, "reason", object->attachment	? NULL :
				    object->attach_err	? strerror(-object->attach_err) :
							  "left alone by --include, --exclude or --policy");
		writer_byte(out, '}');
	}
	writer_byte(out, ']');
}

static void write_metrics(struct document *document)
{
	static const char *const kinds[] = {
		[PROBEMETER_KIND_COUNTER] = "counter",
		[PROBEMETER_KIND_UPDOWNCOUNTER] = "updowncounter",
		[PROBEMETER_KIND_UPDOWNCOUNTER_LATEST] = "updowncounter",
		[PROBEMETER_KIND_GAUGE] = "gauge",
		[PROBEMETER_KIND_HISTOGRAM] = "histogram",
	};
	struct writer *out = document->out;
	double room[BUCKET_MAX_DEFAULT_BOUNDS];
	const double *bound;
	uint32_t n, bounds;
	size_t i;

	open_as(out, "metrics", '[');
	for (i = 0; i < document->metrics.count; i++) {
		const struct metric *metric = document->metrics.thing[i];

		open_as(out, NULL, '{');
		text(out, "scope", metric->scope);
		text(out, "name", metric->name);
		text(out, "unit", metric->unit);
		text(out, "description", metric->description);
		text(out, "kind", kinds[metric->kind]);
		open_as(out, "labels", '[');
		for (n = 0; n < metric->label_count; n++)
			text(out, NULL, metric->label[n]);
		writer_byte(out, ']');
		if (metric->kind == PROBEMETER_KIND_HISTOGRAM) {
			bounds = bucket_bounds(metric, room, &bound);
			open_as(out, "bounds", '[');
			for (n = 0; n < bounds; n++)
				real(out, NULL, bound[n]);
			writer_byte(out, ']');
		} else {
			text(out, "bounds", NULL);
		}
		writer_byte(out, '}');
	}
	writer_byte(out, ']');
}

static void write_quantiles(struct writer *out, const struct point *point)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 } };
	bool above[3] = { false };
	size_t i;

	for (i = 0; i < 3; i++) {
		double value = NAN;

		(void)quantile_estimate(point, quantiles[i].q, &value, &above[i]);
		real(out, quantiles[i].name, value);
	}
	open_as(out, "above", '[');
	for (i = 0; i < 3; i++)
		if (above[i])
			text(out, NULL, quantiles[i].name);
	writer_byte(out, ']');
}

static void write_value(struct writer *out, const struct point *point)
{
	uint32_t i;

	if (point->type == POINT_SUM) {
		key(out, "value");
		writer_signed(out, point->integer);
	} else if (point->type == POINT_GAUGE) {
		real(out, "value", point->real);
	} else {
		number(out, "count", point->count);
		real(out, "sum", point->has_sum ? point->sum : NAN);
		open_as(out, "counts", '[');
		for (i = 0; point->type == POINT_HISTOGRAM && i <= point->bound_count; i++)
			number(out, NULL, point->bucket[i]);
		writer_byte(out, ']');
		write_quantiles(out, point);
	}
}

/* --- what was before */

/* Single precision has seven digits that mean something. */
static void past_number(struct writer *out, float value)
{
	char text[32];

	separate(out);
	if (!isfinite(value))
		writer_text(out, "null");
	else if (value == truncf(value) && fabsf(value) < 1e7f)
		writer_signed(out, (int64_t)value);
	else
		writer_put(out, text, (size_t)snprintf(text, sizeof(text), "%.7g", (double)value));
}

static void write_past(struct document *document, const struct point *point)
{
	const struct history *history = document->view->history;
	const struct history_line *line = history && !is_histogram(point) ? history_find(history, point) : NULL;
	struct writer *out = document->out;
	size_t i;

	if (!line)
		return;
	if (point->monotonic)
		number(out, "past_total", *history_totals(line));
	open_as(out, "past", '[');
	for (i = 0; i < document->moments; i++) {
		const float *row = history_row(history, line, i);

		past_number(out, row ? *row : NAN);
	}
	writer_byte(out, ']');
}

/* What was new in each bucket; nothing at all is common, and short. */
static void past_row(struct writer *out, const float *row, uint32_t width)
{
	uint32_t last = width;

	if (!row) {
		text(out, NULL, NULL);
		return;
	}
	while (last && row[last - 1] == 0)
		last--;
	open_as(out, NULL, '[');
	for (uint32_t n = 0; last && n < width; n++)
		past_number(out, row[n]);
	writer_byte(out, ']');
}

static void past_histogram(struct document *document, const struct point *point, const struct history_line *line)
{
	struct writer *out = document->out;
	uint32_t n, width = history_width(line);
	size_t i;

	open_as(out, NULL, '{');
	number(out, "service", place_of(&document->services, point->resource, false));
	number(out, "metric", place_of(&document->metrics, point->metric, false));
	open_as(out, "past_totals", '[');
	for (n = 0; n < width; n++)
		number(out, NULL, history_totals(line)[n]);
	writer_byte(out, ']');
	open_as(out, "past", '[');
	for (i = 0; i < document->moments; i++)
		past_row(out, history_row(document->view->history, line, i), width);
	writer_byte(out, ']');
	writer_byte(out, '}');
}

static void write_history(struct document *document)
{
	const struct view *view = document->view;
	struct writer *out = document->out;
	uint64_t ago_ns[HISTORY_MOMENTS];
	size_t i;

	document->moments = history_moments(view->history, ago_ns);
	open_as(out, "history", '{');
	open_as(out, "times_unix_ms", '[');
	for (i = 0; i < document->moments; i++)
		number(out, NULL, (view->time_unix_ns - ago_ns[i]) / 1000000);
	writer_byte(out, ']');
	open_as(out, "histograms", '[');
	for (i = 0; i < view->points->count; i++) {
		const struct point *point = &view->points->point[i];
		const struct history_line *line;

		/* The first series of each metric stands for all. */
		if (!is_histogram(point) || (i && point[-1].metric == point->metric && point[-1].resource == point->resource))
			continue;
		line = history_find(view->history, point);
		if (line)
			past_histogram(document, point, line);
	}
	writer_byte(out, ']');
	writer_byte(out, '}');
}

static void write_series(struct document *document)
{
	const struct points *points = document->view->points;
	struct writer *out = document->out;
	size_t i;
	uint32_t n;

	open_as(out, "series", '[');
	for (i = 0; i < points->count; i++) {
		const struct point *point = &points->point[i];

		open_as(out, NULL, '{');
		number(out, "service", place_of(&document->services, point->resource, false));
		number(out, "metric", place_of(&document->metrics, point->metric, false));
		open_as(out, "labels", '[');
		for (n = 0; !point->overflow && n < point->metric->label_count; n++)
			text(out, NULL, point->value[n]);
		writer_byte(out, ']');
		truth(out, "overflow", point->overflow);
		time_ms(out, "start_unix_ms", point->start_unix_ns);
		write_value(out, point);
		write_past(document, point);
		writer_byte(out, '}');
	}
	writer_byte(out, ']');
}

/* --- drops: the agent's own metric of them says it all */

/* Why the events of this point were dropped; NULL: it is not about drops. */
static const struct drop_reason *reason_of(const struct point *point)
{
	size_t i;

	if (strcmp(point->metric->name, "probemeter.agent.events.dropped") ||
	    strcmp(point->metric->scope, ENCODE_AGENT_SCOPE) || point->overflow)
		return NULL;
	for (i = 0; i < PM_DROP_REASONS; i++)
		if (drop_reasons[i].name && !strcmp(drop_reasons[i].name, point->value[0]))
			return &drop_reasons[i];
	return NULL;
}

static void write_drops(struct writer *out, const struct points *points)
{
	size_t i;

	open_as(out, "drops", '[');
	for (i = 0; i < points->count; i++) {
		const struct point *point = &points->point[i];
		const struct drop_reason *reason = reason_of(point);

		if (!reason)
			continue;
		open_as(out, NULL, '{');
		text(out, "reason", reason->name);
		text(out, "metric", point->value[1]);
		number(out, "count", (uint64_t)point->integer);
		text(out, "meaning", reason->meaning);
		text(out, "remedy", reason->remedy);
		writer_byte(out, '}');
	}
	writer_byte(out, ']');
}

/* --- why is there nothing? */

static void because(struct writer *out, const char *kind, const char *severity, const char *subject, const char *words,
		    const char *remedy)
{
	open_as(out, NULL, '{');
	text(out, "kind", kind);
	text(out, "severity", severity);
	text(out, "subject", subject);
	text(out, "text", words);
	text(out, "remedy", remedy);
	writer_byte(out, '}');
}

static void why_binaries(struct document *document)
{
	struct writer *out = document->out;
	size_t i;

	for (i = 0; i < document->binaries.count && i < VIEW_WHY; i++) {
		const struct object *object = document->binaries.thing[i];

		if (object->attach_err)
			because(out, "not_attached", "warning", object->path, strerror(-object->attach_err),
				"run 'probemeter check': it says what this host or this agent lacks");
		else if (is_excluded(object) && document->binary[i].processes)
			because(out, "excluded", "info", object->path, "it has probes, and the agent was told to leave it alone",
				"change --include, --exclude or --policy");
	}
}

static void why_services(struct document *document)
{
	struct writer *out = document->out;
	size_t i, said = 0;

	for (i = 0; i < document->services.count && said < VIEW_WHY; i++) {
		const struct resource *resource = document->services.thing[i];
		const struct tally *tally = &document->service[i];

		if (resource == document->view->agent)
			continue;
		if (tally->processes && tally->probed && !tally->hit) {
			because(out, "no_hits", "info", service_name(resource),
				"its probes are attached, and none has fired since",
				"let the service do some work; if it should have fired, look whether the code with the probe is reached");
			said++;
		}
		if (tally->overflow) {
			because(out, "overflow", "warning", service_name(resource),
				"it has more series than there is room for; the rest is in the series marked as overflow",
				"use fewer label values");
			said++;
		}
	}
}

static void write_why(struct document *document)
{
	const struct view *view = document->view;
	struct writer *out = document->out;
	size_t i;

	open_as(out, "why", '[');
	if (view->noop)
		because(out, "noop", "warning", "agent", view->noop, "set it, and start the agent again");
	else if (!document->binaries.count)
		because(out, "no_probes", "info", "host", "no process of this host has probes that the agent can see",
			"start a service built with <probemeter/probemeter.h>; 'probemeter probes FILE' says whether a file has any");
	for (i = 0; i < view->exporter_count; i++)
		if (view->exporter[i].error)
			because(out, "export_failing", "warning", view->exporter[i].target, view->exporter[i].error,
				"counting goes on, and totals go with the next export that arrives");
	why_binaries(document);
	why_services(document);
	for (i = 0; view->points && i < view->points->count; i++) {
		const struct drop_reason *reason = reason_of(&view->points->point[i]);

		if (reason)
			because(out, "dropped", "warning", view->points->point[i].value[1], reason->meaning, reason->remedy);
	}
	writer_byte(out, ']');
}

void view_write(struct writer *writer, const struct view *view)
{
	static const char *const lists[] = { "services", "binaries", "metrics", "series", "drops" };
	struct document document = { .out = writer, .view = view };
	size_t i;

	if (view->points) {
		census(&document);
		if (!count(&document))
			writer->failed = true;
	}
	writer_byte(writer, '{');
	number(writer, "format", 1);
	time_ms(writer, "time_unix_ms", view->time_unix_ns);
	write_agent(writer, view);
	write_exporters(writer, view);
	if (view->points && !writer->failed) {
		write_services(&document);
		write_binaries(&document);
		write_metrics(&document);
		if (view->history)
			write_history(&document);
		write_series(&document);
		write_drops(writer, view->points);
	} else {
		for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
			open_as(writer, lists[i], '[');
			writer_byte(writer, ']');
		}
	}
	if (!writer->failed)
		write_why(&document);
	writer_text(writer, "}\n");
	places_free(&document.services);
	places_free(&document.metrics);
	places_free(&document.binaries);
	free(document.service);
}
