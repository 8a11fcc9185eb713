/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.c - label values and names that strangers chose, on their way to receivers, terminals and logs.
 *
 * Input: a label value. Promised: what is cleaned is valid UTF-8, what is printed is no order to a terminal and no second
 * line, and both are cut between characters.
 *
 * reaches: utf8_next utf8_clean utf8_printable utf8_valid utf8_escape utf8_columns pairs_parse pairs_decode console_print
 * reaches: text_put append_pair service_unit container_of_cgroup
 */
#include <errno.h>

#include "console.h"
#include "container.h"
#include "fuzz.h"
#include "pairs.h"
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

/* The same text as everything that the table shows. */
static void check_console(const char *text)
{
	struct attribute attributes[] = { { "service.name", text }, { text, text } };
	const struct resource resource = { .attribute = attributes, .attribute_count = *text ? 2 : 1 };
	const struct metric metric = { .kind = PROBEMETER_KIND_COUNTER, .scope = text, .name = text, .unit = text,
				       .description = text, .label_count = 2, .label = { text, "other" } };
	struct point point = { .resource = &resource, .metric = &metric, .value = { text, text }, .type = POINT_SUM,
			       .monotonic = true, .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = 1, .integer = 7 };
	const struct points points = { .time_unix_ns = 1000000000, .point = &point, .count = 1 };
	struct console *console;
	char *shown = NULL;
	size_t size = 0, lines = 0;
	FILE *out = open_memstream(&shown, &size);

	REQUIRE(out);
	console = console_new(out);
	REQUIRE(console && !console_print(console, &points));
	console_free(console);
	(void)fclose(out);
	REQUIRE(text_safe(shown, "\n"));
	for (size_t i = 0; i < size; i++)
		lines += shown[i] == '\n';
	/* Blank, title, blank, service, its attributes, metric, row; labels that are long have a line more. */
	REQUIRE(lines >= 6 && lines <= 8);
	free(shown);
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
	check_console(clean);
	container_of_cgroup(text, container, pod);
	REQUIRE(strlen(container) < sizeof(container) && strlen(pod) < sizeof(pod));
	if (!service_unit(text, unit, sizeof(unit)))
		REQUIRE(*unit && strstr(text, unit) && !strchr(unit, '/') && !strchr(unit, '\n'));
	arena_free(arena);
	return 0;
}
