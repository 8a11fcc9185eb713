/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.c - points as a table for people.
 *
 * Consumes points and, kept from the print before, one number per series; produces text of at most 100 columns. One
 * block per resource, in it the metrics by name, in them the series by labels; the numbers of all kinds stand in the
 * same columns. Strings that services chose are made printable first. JSON is not made here.
 */
#include "console.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "colour.h"
#include "console_cell.h"
#include "pairs.h"
#include "utf8.h"

#define CONSOLE_COLUMNS 100
#define CONSOLE_LABELS 45 /* columns left of the numbers */
#define CONSOLE_CELL 9 /* columns of a number; the first has one more */
#define CONSOLE_ROWS 50 /* series of one metric that are shown */
#define CONSOLE_TEXT 512

#define SECOND_NS 1e9

/* What is kept of one series for the next print's rates. */
struct memory {
	uint64_t key;
	uint64_t start_unix_ns;
	double total;
};

struct console {
	FILE *out;
	bool colours;
	uint64_t time_unix_ns; /* of the print before */
	struct memory *memory; /* by key */
	size_t memory_count;
};

struct console *console_new(FILE *out)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console)
		return NULL;
	console->out = out;
	console->colours = colour_wanted(out);
	return console;
}

void console_free(struct console *console)
{
	if (!console)
		return;
	free(console->memory);
	free(console);
}

static void ink(const struct console *console, enum colour which)
{
	(void)fputs(colour(console->colours, which), console->out);
}

static void blanks(const struct console *console, int count)
{
	if (count > 0)
		(void)fprintf(console->out, "%*s", count, "");
}

static int text_columns(const char *text)
{
	size_t length = strlen(text);
	int columns = 0;
	uint32_t code;

	for (size_t i = 0; i < length;) {
		i += utf8_next(text + i, length - i, &code);
		columns += utf8_columns(code);
	}
	return columns;
}

/* Write @text, cut with an ellipsis to @most columns. Return: columns written. */
static int text_put(const struct console *console, const char *text, int most)
{
	size_t length = strlen(text), used = 0;
	bool cut = text_columns(text) > most;
	int columns = 0;
	uint32_t code;

	if (most < 1)
		return 0;
	while (used < length) {
		size_t bytes = utf8_next(text + used, length - used, &code);

		if (columns + utf8_columns(code) > most - cut)
			break;
		columns += utf8_columns(code);
		used += bytes;
	}
	(void)fprintf(console->out, "%.*s%s", (int)used, text, cut ? "\u2026" : "");
	return columns + cut;
}

/* Append to @out what fits. */
static void __attribute__((format(printf, 3, 4))) append(char *out, size_t out_size, const char *format, ...)
{
	size_t used = strlen(out);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(out + used, out_size - used, format, args);
	va_end(args);
}

/* With a backslash before each quote, so that one value is no two pairs. */
static void quote_escape(const char *text, char *out, size_t out_size)
{
	size_t used = 0;

	for (; *text && used + 2 < out_size; text++) {
		if (*text == '"')
			out[used++] = '\\';
		out[used++] = *text;
	}
	out[used] = '\0';
}

static void append_pair(char *out, size_t out_size, const char *key, const char *value)
{
	char safe[2][CONSOLE_TEXT / 2], quoted[CONSOLE_TEXT];
	bool quote = !*value || strpbrk(value, " ,=\"");

	(void)utf8_printable(key, strlen(key), safe[0], sizeof(safe[0]));
	(void)utf8_printable(value, strlen(value), safe[1], sizeof(safe[1]));
	quote_escape(safe[1], quoted, sizeof(quoted));
	append(out, out_size, "%s%s=%s%s%s", *out ? "  " : "", safe[0], quote ? "\"" : "", quoted, quote ? "\"" : "");
}

static const char *resource_name(const struct resource *resource)
{
	const char *name = pairs_find(resource->attribute, resource->attribute_count, "service.name");

	return name ? name : "unknown_service";
}

/* In the order of the table. */
static int point_compare(const void *left, const void *right)
{
	const struct point *a = *(const struct point *const *)left, *b = *(const struct point *const *)right;
	int order = strcmp(resource_name(a->resource), resource_name(b->resource));

	if (!order)
		order = (a->resource > b->resource) - (a->resource < b->resource);
	if (!order)
		order = strcmp(a->metric->name, b->metric->name);
	if (!order)
		order = (a->metric > b->metric) - (a->metric < b->metric);
	if (!order)
		order = a->overflow - b->overflow;
	for (uint32_t i = 0; !order && !a->overflow && i < a->metric->label_count; i++)
		order = strcmp(a->value[i], b->value[i]);
	return order;
}

/* FNV-1a; the NUL is hashed too, so that "ab","c" is not "a","bc". */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	do
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	while (*text++);
	return hash;
}

/* Who a series is, beyond the life of the points: all its names, hashed. A collision would show a wrong rate once. */
static uint64_t point_key(const struct point *point)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < point->resource->attribute_count; i++) {
		hash = hash_text(hash, point->resource->attribute[i].key);
		hash = hash_text(hash, point->resource->attribute[i].value);
	}
	hash = hash_text(hash, point->metric->scope);
	hash = hash_text(hash, point->metric->name);
	for (uint32_t i = 0; !point->overflow && i < point->metric->label_count; i++)
		hash = hash_text(hash, point->value[i]);
	return hash_text(hash, point->overflow ? "overflow" : "");
}

static int memory_compare(const void *left, const void *right)
{
	const struct memory *a = left, *b = right;

	return (a->key > b->key) - (a->key < b->key);
}

static double point_total(const struct point *point)
{
	return point->type == POINT_SUM ? (double)point->integer : (double)point->count;
}

/* Per second since the print before; for a series that is new or began anew, since its start. */
static double point_rate(const struct console *console, const struct point *point, uint64_t time_unix_ns)
{
	struct memory want = { .key = point_key(point) }, *was = NULL;
	uint64_t since = point->start_unix_ns;
	double total = point_total(point);

	if (console->memory_count && point->temporality == TEMPORALITY_CUMULATIVE)
		was = bsearch(&want, console->memory, console->memory_count, sizeof(*was), memory_compare);
	if (was && was->start_unix_ns == since && was->total <= total) {
		total -= was->total;
		since = console->time_unix_ns;
	}
	return time_unix_ns > since ? total / ((double)(time_unix_ns - since) / SECOND_NS) : 0;
}

static void print_rule(const struct console *console, int columns)
{
	for (; columns > 0; columns--)
		(void)fputs("\u2500", console->out);
}

static void print_resource(const struct console *console, const struct resource *resource)
{
	char name[CONSOLE_TEXT] = "", rest[4 * CONSOLE_TEXT] = "";
	const char *service = resource_name(resource);
	int used;

	(void)utf8_printable(service, strlen(service), name, sizeof(name));
	for (size_t i = 0; i < resource->attribute_count; i++)
		if (strcmp(resource->attribute[i].key, "service.name"))
			append_pair(rest, sizeof(rest), resource->attribute[i].key, resource->attribute[i].value);
	(void)fputc('\n', console->out);
	ink(console, COLOUR_BOLD);
	used = text_put(console, name, CONSOLE_COLUMNS - 4);
	(void)fputc(' ', console->out);
	print_rule(console, CONSOLE_COLUMNS - used - 1);
	ink(console, COLOUR_PLAIN);
	(void)fputc('\n', console->out);
	ink(console, COLOUR_DIM);
	if (*rest) {
		(void)text_put(console, rest, CONSOLE_COLUMNS);
		(void)fputc('\n', console->out);
	}
	ink(console, COLOUR_PLAIN);
}

static void print_metric(const struct console *console, const struct point *point)
{
	const struct column *column = console_looks[console_look(point)];
	char name[CONSOLE_TEXT], unit[CONSOLE_TEXT];
	int used = 2;

	(void)utf8_printable(point->metric->name, strlen(point->metric->name), name, sizeof(name));
	(void)utf8_printable(point->metric->unit, strlen(point->metric->unit), unit, sizeof(unit));
	blanks(console, 2);
	ink(console, COLOUR_BOLD);
	used += text_put(console, name, CONSOLE_LABELS - 4);
	ink(console, COLOUR_PLAIN);
	ink(console, COLOUR_DIM);
	if (*unit && used + 2 < CONSOLE_LABELS) {
		blanks(console, 1);
		used += 1 + text_put(console, unit, CONSOLE_LABELS - used - 1);
	}
	blanks(console, CONSOLE_LABELS - used);
	for (int i = 0; i < CONSOLE_CELLS && column[i].caption; i++)
		(void)fprintf(console->out, "%*s", CONSOLE_CELL + !i, column[i].caption);
	ink(console, COLOUR_PLAIN);
	(void)fputc('\n', console->out);
}

static void row_labels(const struct point *point, char *out, size_t out_size)
{
	*out = '\0';
	for (uint32_t i = 0; !point->overflow && i < point->metric->label_count; i++)
		append_pair(out, out_size, point->metric->label[i], point->value[i]);
	if (point->overflow)
		append(out, out_size, "(all others: too many series)");
	else if (!*out)
		append(out, out_size, "(no labels)");
}

/* Labels that do not fit beside the numbers get a line of their own. */
static void print_row(const struct console *console, const struct row *row)
{
	const struct column *column = console_looks[console_look(row->point)];
	char text[4 * CONSOLE_TEXT];
	int used = 4;

	row_labels(row->point, text, sizeof(text));
	blanks(console, used);
	if (text_columns(text) <= CONSOLE_LABELS - used) {
		used += text_put(console, text, CONSOLE_LABELS - used);
	} else {
		(void)text_put(console, text, CONSOLE_COLUMNS - used);
		(void)fputc('\n', console->out);
		used = 0;
	}
	blanks(console, CONSOLE_LABELS - used);
	for (int i = 0; i < CONSOLE_CELLS && column[i].format && !(row->point->ended && i); i++) {
		if (row->point->ended)
			(void)snprintf(text, sizeof(text), "ended");
		else
			column[i].format(row, text, sizeof(text));
		(void)fprintf(console->out, " %*s", CONSOLE_CELL - 1 + !i, text);
	}
	(void)fputc('\n', console->out);
}

static void print_title(const struct console *console, const struct points *points, const struct point *const *order)
{
	size_t services = 0, metrics = 0;
	time_t seconds = (time_t)(points->time_unix_ns / UINT64_C(1000000000));
	struct tm tm = { 0 };
	char clock[32];

	for (size_t i = 0; i < points->count; i++) {
		bool fresh = !i || order[i]->resource != order[i - 1]->resource;

		services += fresh;
		metrics += fresh || order[i]->metric != order[i - 1]->metric;
	}
	(void)localtime_r(&seconds, &tm);
	(void)strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M:%S", &tm);
	(void)fprintf(console->out, "\n%s  %zu service%s, %zu metric%s, %zu series\n", clock, services,
		      services == 1 ? "" : "s", metrics, metrics == 1 ? "" : "s", points->count);
}

static int console_remember(struct console *console, const struct points *points)
{
	struct memory *memory = malloc((points->count + 1) * sizeof(*memory));

	if (!memory)
		return -ENOMEM;
	for (size_t i = 0; i < points->count; i++)
		memory[i] = (struct memory){ .key = point_key(&points->point[i]),
					     .start_unix_ns = points->point[i].start_unix_ns,
					     .total = point_total(&points->point[i]) };
	qsort(memory, points->count, sizeof(*memory), memory_compare);
	free(console->memory);
	console->memory = memory;
	console->memory_count = points->count;
	console->time_unix_ns = points->time_unix_ns;
	return 0;
}

static void print_points(const struct console *console, const struct points *points, const struct point *const *order)
{
	const struct point *before = NULL;
	size_t shown = 0, hidden = 0;

	for (size_t i = 0; i < points->count; i++) {
		struct row row = { .point = order[i] };
		bool other = !before || row.point->resource != before->resource;

		if (other)
			print_resource(console, row.point->resource);
		if (other || row.point->metric != before->metric) {
			print_metric(console, row.point);
			shown = hidden = 0;
		}
		before = row.point;
		/* The overflow series is always shown: that there is one is what the reader must know. */
		if (shown++ < CONSOLE_ROWS || row.point->overflow) {
			row.rate = point_rate(console, row.point, points->time_unix_ns);
			print_row(console, &row);
			continue;
		}
		hidden++;
		if (i + 1 == points->count || order[i + 1]->metric != before->metric ||
		    order[i + 1]->resource != before->resource)
			(void)fprintf(console->out, "    \u2026 and %zu more series\n", hidden);
	}
}

int console_print(struct console *console, const struct points *points)
{
	const struct point **order = malloc((points->count + 1) * sizeof(*order));
	int err;

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < points->count; i++)
		order[i] = &points->point[i];
	qsort(order, points->count, sizeof(*order), point_compare);
	print_title(console, points, order);
	print_points(console, points, order);
	free(order);
	err = fflush(console->out) ? -errno : ferror(console->out) ? -EIO : 0;
	clearerr(console->out);
	return err ? err : console_remember(console, points);
}
