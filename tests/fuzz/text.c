/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.c - label values and names that strangers chose, on their way to receivers, terminals, logs and the page for
 * Prometheus; and what they ask that page, in headers and whole requests (request.h).
 *
 * Input: a label value. Promised: what is cleaned is valid UTF-8, what is printed is no order to a terminal and no second
 * line, and both are cut between characters; on the page stand the samples that there are and no others, in its grammar.
 *
 * reaches: utf8_next utf8_clean utf8_printable utf8_valid utf8_escape utf8_columns pairs_parse pairs_decode console_print
 * reaches: text_put append_pair service_unit container_of_cgroup
 * reaches: prometheus_write prometheus_family prometheus_label prometheus_escape prometheus_escape_help append_unit
 * reaches: append_word put_target negotiate_openmetrics negotiate_gzip element_next parameter
 * reaches: on_request on_completed on_connection refusal has_body host_is_ours may_command route_of show_page answer page_pack
 * reaches: ask resume distribute serve_take serve_give
 */
#include <ctype.h>
#include <errno.h>

#include "console.h"
#include "container.h"
#include "fuzz.h"
#include "pairs.h"
#include "prometheus.h"
#include "prometheus_name.h"
#include "request.h"
#include "service.h"

static void check_clean(const char *in, size_t length, struct arena *arena)
{
	size_t room = 3 * length + 1, need, again;
	char *out = arena_alloc(arena, room, 1), *twice = arena_alloc(arena, room, 1), cut[24];

	need = utf8_clean(in, length, out, room);
	REQUIRE(need < room && utf8_valid(out, need));
	again = utf8_clean(out, need, twice, room);
	REQUIRE(again == need && !memcmp(out, twice, need));
	if (utf8_valid(in, length))
		REQUIRE(need == length && (!length || !memcmp(in, out, length)));
	for (size_t size = 1; size < sizeof(cut); size++) {
		REQUIRE(utf8_clean(in, length, cut, size) == need);
		REQUIRE(utf8_valid(cut, strlen(cut)) && !memcmp(cut, out, strlen(cut)));
	}
}

static void check_printable(const char *in, size_t length, struct arena *arena)
{
	size_t room = 8 * length + 1, need;
	char *out = arena_alloc(arena, room, 1), cut[24];

	need = utf8_printable(in, length, out, room);
	REQUIRE(need < room && strlen(out) == need && text_safe(out, ""));
	for (size_t size = 1; size < sizeof(cut); size++) {
		(void)utf8_printable(in, length, cut, size);
		REQUIRE(strlen(cut) < size && text_safe(cut, ""));
	}
}

static void check_pairs(const char *text, struct arena *arena)
{
	struct attribute *pair;
	size_t count;
	int err = pairs_parse(text, arena, &pair, &count);

	REQUIRE(!err || err == -EINVAL || err == -EILSEQ);
	for (size_t i = 0; !err && i < count; i++) {
		REQUIRE(*pair[i].key && text_valid(pair[i].key) && text_valid(pair[i].value));
		REQUIRE(pairs_find(pair, count, pair[i].key) == pair[i].value);
	}
}

static void check_console(const struct points *points)
{
	struct console *console;
	char *shown = NULL;
	size_t size = 0, lines = 0;
	FILE *out = open_memstream(&shown, &size);

	REQUIRE(out);
	console = console_new(out);
	REQUIRE(console && !console_print(console, points));
	console_free(console);
	(void)fclose(out);
	REQUIRE(text_safe(shown, "\n"));
	for (size_t i = 0; i < size; i++)
		lines += shown[i] == '\n';
	/* Blank, title, blank, service, its attributes, metric, row; labels that are long have a line more. */
	REQUIRE(lines >= 6 && lines <= 8);
	free(shown);
}

/* --- the page for Prometheus */

/* Behind a name of letters, digits, underscores and @more, which does not begin with a digit. */
static const char *name_end(const char *at, const char *more)
{
	REQUIRE(*at && !isdigit((unsigned char)*at));
	while (isascii((unsigned char)*at) && (isalnum((unsigned char)*at) || *at == '_' || (*at && strchr(more, *at))))
		at++;
	return at;
}

/* Behind a value between quotes, or help up to the end of its line. */
static const char *escaped_end(const char *at, char end, const char *special)
{
	for (; *at != end; at++) {
		REQUIRE(*at && *at != '\n' && (*at != '"' || !strchr(special, '"')));
		if (*at == '\\')
			REQUIRE(*++at && strchr(special, *at));
	}
	return at;
}

/* Behind "name{label="value",...} number", and its line. No two labels have one name. */
static const char *sample_end(const char *at)
{
	const char *label[16], *end = name_end(at, ":");
	size_t length[16], count = 0;
	char *number;

	REQUIRE(end > at && *end == '{');
	for (at = end + 1; *at != '}';) {
		end = name_end(at, "");
		label[count] = at;
		length[count] = (size_t)(end - at);
		REQUIRE(length[count] && end[0] == '=' && end[1] == '"');
		for (size_t i = 0; i < count; i++)
			REQUIRE(length[i] != length[count] || memcmp(label[i], label[count], length[i]));
		REQUIRE(++count < COUNT(label));
		at = escaped_end(end + 2, '"', "\\n\"") + 1;
		REQUIRE(*at == '}' || (*at == ',' && at[1] != '}'));
		at += *at == ',';
	}
	REQUIRE(at[1] == ' ');
	(void)strtod(at + 2, &number);
	REQUIRE(number > at + 2 && *number == '\n');
	return number + 1;
}

static void check_page(const struct points *points, enum prometheus_format format, size_t want, struct arena *arena)
{
	struct prometheus_conflicts conflicts;
	struct writer writer = { 0 };
	const char *at;
	size_t samples = 0;

	REQUIRE(!prometheus_write(&writer, points, format, arena, &conflicts) && conflicts.count <= points->count);
	writer_byte(&writer, '\0');
	REQUIRE(!writer.failed && strlen((char *)writer.bytes) == writer.size - 1 && text_valid((char *)writer.bytes));
	for (at = (char *)writer.bytes; *at;) {
		if (*at != '#') {
			at = sample_end(at);
			samples++;
		} else if (!strncmp(at, "# EOF\n", 6)) {
			at += 6;
			REQUIRE(format == PROMETHEUS_OPENMETRICS && !*at);
		} else {
			bool help = !strncmp(at, "# HELP ", 7);

			REQUIRE(help || !strncmp(at, "# TYPE ", 7) || !strncmp(at, "# UNIT ", 7));
			at = name_end(at + 7, ":");
			REQUIRE(*at == ' ');
			at = escaped_end(at, '\n', help && format == PROMETHEUS_TEXT ? "\\n" : "\\n\"") + 1;
		}
	}
	REQUIRE(samples == want - (conflicts.count ? want - 1 : 0));
	free(writer.bytes);
}

/* Who names OpenMetrics, or gzip, last and with the highest weight, gets it, whatever else he says; and who refuses it last
 * does not. */
static void check_headers(const char *text, struct arena *arena)
{
	(void)negotiate_openmetrics(text);
	(void)negotiate_gzip(text);
	REQUIRE(negotiate_openmetrics(arena_printf(arena, "%s, application/openmetrics-text; version=1.0.0; q=1", text)));
	REQUIRE(negotiate_gzip(arena_printf(arena, "%s, gzip", text)));
	REQUIRE(!negotiate_gzip(arena_printf(arena, "%s, gzip;q=0", text)));
}

/* The same text as everything that there is to show: names, units, labels and attributes. */
static void check_shown(const char *text, struct arena *arena)
{
	/* Keys are unique in a resource. */
	struct attribute attributes[] = { { "service.name", text }, { text, text } };
	const struct resource resource = { .attribute = attributes,
					   .attribute_count = *text && strcmp(text, "service.name") ? 2 : 1 };
	const struct metric metric = { .kind = PROBEMETER_KIND_COUNTER, .scope = text, .name = text, .unit = text,
				       .description = text, .label_count = 2, .label = { text, "other" } };
	struct point point = { .resource = &resource, .metric = &metric, .value = { text, text }, .type = POINT_SUM,
			       .monotonic = true, .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = 1000000, .integer = 7 };
	const struct points points = { .time_unix_ns = 1000000000, .point = &point, .count = 1 };

	check_console(&points);
	/* The sample and target_info; OpenMetrics also has when it began. */
	check_page(&points, PROMETHEUS_TEXT, 2, arena);
	check_page(&points, PROMETHEUS_OPENMETRICS, 3, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char container[CONTAINER_ID_BYTES] = "", pod[CONTAINER_POD_BYTES] = "", unit[64] = "", *text, *clean;
	struct arena *arena = arena_new();
	size_t length;

	if (size > 4096)
		size = 4096;
	REQUIRE(arena);
	text = arena_strndup(arena, (const char *)data, size);
	check_clean((const char *)data, size, arena);
	check_printable((const char *)data, size, arena);
	check_pairs(text, arena);
	length = strlen(text);
	clean = arena_alloc(arena, 3 * length + 1, 1);
	(void)utf8_clean(text, length, clean, 3 * length + 1);
	check_shown(clean, arena);
	check_headers(text, arena);
	check_request(data, size, size % 2);
	container_of_cgroup(text, container, pod);
	REQUIRE(strlen(container) < sizeof(container) && strlen(pod) < sizeof(pod));
	if (!service_unit(text, unit, sizeof(unit)))
		REQUIRE(*unit && strstr(text, unit) && !strchr(unit, '/') && !strchr(unit, '\n'));
	arena_free(arena);
	return 0;
}
