/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sheet.c - consumes rows, produces lines of text in columns. What is drawn where, and when, is top.c's.
 */
#include "sheet.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "colour.h"
#include "figure.h"
#include "utf8.h"

#define NARROW 56 /* below: no trend */
#define WIDE 100 /* from here on: the median too */

const char *const sheet_sort_name[SHEET_SORTS] = {
	[SHEET_RATE] = "rate", [SHEET_VALUE] = "value", [SHEET_P99] = "p99", [SHEET_NAME] = "name",
};

static void number_value(const struct held_row *row, char *out)
{
	figure(row->value, row->kind == HELD_HISTOGRAM ? NULL : row->unit, out);
}

static void number_rate(const struct held_row *row, char *out)
{
	figure(row->rate, row->kind == HELD_HISTOGRAM ? NULL : row->unit, out);
	if (!isnan(row->rate))
		(void)strcat(out, "/s");
	else
		*out = '\0';
}

static void quantile(double value, bool above, const char *unit, char *out)
{
	*out = '\0';
	if (isnan(value))
		return;
	if (above)
		*out++ = '>';
	figure(value, unit, out);
}

static void number_p50(const struct held_row *row, char *out)
{
	quantile(row->p50, row->above50, row->unit, out);
}

static void number_p99(const struct held_row *row, char *out)
{
	quantile(row->p99, row->above99, row->unit, out);
}

static const struct {
	const char *caption;
	int columns;
	bool wide; /* only where there is room */
	void (*print)(const struct held_row *row, char *out);
} numbers[] = {
	{ "value", 9, false, number_value },
	{ "rate", 11, false, number_rate },
	{ "p50", 9, true, number_p50 },
	{ "p99", 9, false, number_p99 },
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static int trend_columns(const struct sheet *sheet)
{
	return sheet->columns < NARROW || sheet->still ? 0 : sheet->columns < WIDE ? 10 : sheet->columns < 140 ? 20 : 40;
}

static bool number_shown(const struct sheet *sheet, size_t i)
{
	if (sheet->still && numbers[i].print == number_rate)
		return false;
	return !numbers[i].wide || sheet->columns >= WIDE;
}

static int name_columns(const struct sheet *sheet)
{
	int left = sheet->columns - trend_columns(sheet) - !!trend_columns(sheet);

	for (size_t i = 0; i < NUMBERS; i++)
		left -= number_shown(sheet, i) ? numbers[i].columns : 0;
	return left > 8 ? left : 8;
}

int sheet_fit(const struct sheet *sheet, const char *text, int columns, bool fill, char out[SHEET_BYTES])
{
	size_t length = strlen(text), used = 0, bytes, cut_at = 0;
	int width = 0, cut_width = 0;
	uint32_t code;

	for (size_t i = 0; i < length; i += bytes) {
		int wide;

		bytes = utf8_next(text + i, length - i, &code);
		wide = sheet->ascii && code > 0x7e ? 1 : utf8_columns(code);
		if (width + wide > columns || used + bytes + 4 > SHEET_BYTES - SHEET_COLUMNS) {
			used = cut_at;
			used += (size_t)sprintf(out + used, "%s", sheet->ascii ? "~" : "\u2026");
			width = cut_width + 1;
			break;
		}
		if (sheet->ascii && code > 0x7e) {
			out[used++] = '?';
		} else {
			memcpy(out + used, text + i, bytes);
			used += bytes;
		}
		width += wide;
		if (width < columns) {
			cut_at = used;
			cut_width = width;
		}
	}
	for (; fill && width < columns; width++)
		out[used++] = ' ';
	out[used] = '\0';
	return width;
}

void sheet_name(const struct sheet *sheet, const struct sheet_line *line, char out[SHEET_BYTES])
{
	char text[SHEET_BYTES];

	if (line->row) {
		(void)snprintf(text, sizeof(text), "  %s%s%s", line->row->metric, *line->row->labels ? "  " : "", line->row->labels);
		/* Where there is no room for labels' names, their values tell more. */
		if (sheet_fit(sheet, text, SHEET_COLUMNS, false, out) > name_columns(sheet))
			(void)snprintf(text, sizeof(text), "  %s%s%s", line->row->metric, *line->row->values ? "  " : "", line->row->values);
	} else if (line->service->agent)
		(void)snprintf(text, sizeof(text), "%s (the agent itself)", line->service->name);
	else
		(void)snprintf(text, sizeof(text), "%s (%u process%s)", line->service->name, line->service->processes,
			       line->service->processes == 1 ? "" : "es");
	(void)sheet_fit(sheet, text, line->row ? name_columns(sheet) : sheet->columns, true, out);
}

void sheet_numbers(const struct sheet *sheet, const struct sheet_line *line, char out[SHEET_BYTES])
{
	char text[2 * FIGURE_BYTES];
	size_t used = 0;

	*out = '\0';
	for (size_t i = 0; i < NUMBERS && line->row; i++)
		if (number_shown(sheet, i)) {
			numbers[i].print(line->row, text);
			used += (size_t)snprintf(out + used, SHEET_BYTES - used, "%*s", numbers[i].columns, text);
		}
}

void sheet_trend(const struct sheet *sheet, const struct sheet_line *line, char out[SHEET_BYTES])
{
	*out = '\0';
	if (!line->row || !trend_columns(sheet))
		return;
	*out = ' ';
	(void)figure_trend(line->row->past, line->row->past_count, (size_t)trend_columns(sheet), sheet->ascii, out + 1);
}

/* A mark stands in front of what lines are sorted by. */
static size_t put_caption(const struct sheet *sheet, size_t i, char *out)
{
	bool sorted = !strcmp(numbers[i].caption, sheet_sort_name[sheet->sort]);
	char caption[16];

	(void)snprintf(caption, sizeof(caption), "%s%s", sorted ? "*" : "", numbers[i].caption);
	return (size_t)sprintf(out, "%*s", numbers[i].columns, caption);
}

void sheet_captions(const struct sheet *sheet, char out[SHEET_BYTES])
{
	size_t used;

	(void)sheet_fit(sheet, "service, metric, labels", name_columns(sheet), true, out);
	used = strlen(out);
	for (size_t i = 0; i < NUMBERS; i++)
		if (number_shown(sheet, i))
			used += put_caption(sheet, i, out + used);
	if (trend_columns(sheet))
		(void)sprintf(out + used, " %-*s", trend_columns(sheet), "trend");
}

/* Numbers first, the largest of them; what has none after them. */
static int by_number(double a, double b)
{
	if (isnan(a) || isnan(b))
		return isnan(a) - isnan(b);
	return (a < b) - (a > b);
}

static int by_name(const struct held_row *a, const struct held_row *b)
{
	int order = strcmp(a->metric, b->metric);

	return order ? order : strcmp(a->labels, b->labels);
}

static int line_compare(const void *left, const void *right, void *context)
{
	const struct sheet_line *a = left, *b = right;
	const struct sheet *sheet = context;
	int order = a->service->agent - b->service->agent;

	if (!order && a->service != b->service) {
		order = sheet->sort == SHEET_RATE ? by_number(a->service->rate, b->service->rate) : 0;
		order = order ? order : strcmp(a->service->name, b->service->name);
		return order ? order : (a->service > b->service) - (a->service < b->service);
	}
	if (order || !a->row || !b->row)
		return order ? order : !!a->row - !!b->row;
	switch (sheet->sort) {
	case SHEET_RATE:
		order = by_number(a->row->rate, b->row->rate);
		break;
	case SHEET_VALUE:
		order = by_number(a->row->value, b->row->value);
		break;
	case SHEET_P99:
		order = by_number(a->row->p99, b->row->p99);
		break;
	default:
		break;
	}
	return order ? order : by_name(a->row, b->row);
}

static bool passes(const struct sheet *sheet, const struct held_service *service, const struct held_row *row)
{
	const char *filter = sheet->filter;

	if (service->agent && !sheet->agent)
		return false;
	return !filter || !*filter || strstr(service->name, filter) || strstr(row->metric, filter) || strstr(row->labels, filter);
}

struct sheet_line *sheet_lines(const struct sheet *sheet, const struct held *held, size_t *count)
{
	struct sheet_line *lines = calloc(held->row_count + held->service_count + 1, sizeof(*lines));
	bool *headed = calloc(held->service_count + 1, sizeof(*headed));
	size_t used = 0;

	for (size_t i = 0; lines && headed && i < held->row_count; i++) {
		const struct held_row *row = &held->row[i];
		const struct held_service *service = &held->service[row->service];

		if (!passes(sheet, service, row))
			continue;
		if (!headed[row->service])
			lines[used++] = (struct sheet_line){ .service = service };
		headed[row->service] = true;
		lines[used++] = (struct sheet_line){ .service = service, .row = row };
	}
	if (lines && headed)
		qsort_r(lines, used, sizeof(*lines), line_compare, (void *)sheet);
	else
		free(lines);
	free(headed);
	*count = used;
	return headed ? lines : NULL;
}

static void put(FILE *out, bool colours, enum colour which, const char *text)
{
	size_t length = strlen(text);

	while (length && text[length - 1] == ' ')
		length--;
	(void)fprintf(out, "%s%.*s%s\n", colour(colours, which), (int)length, text, colour(colours, COLOUR_PLAIN));
}

int sheet_print(const struct sheet *sheet, const struct held *held, bool colours, FILE *out)
{
	char text[3 * SHEET_BYTES], part[SHEET_BYTES];
	struct sheet_line *lines;
	size_t count;

	lines = sheet_lines(sheet, held, &count);
	if (!lines)
		return -ENOMEM;
	put(out, colours, COLOUR_BOLD, held->title);
	for (size_t i = 0; i < held->note_count; i++)
		(void)fprintf(out, "%s %s\n", held->note[i].warning ? "!" : "-", held->note[i].text);
	if (held->notes_left)
		(void)fprintf(out, "- and %zu more\n", held->notes_left);
	(void)fputc('\n', out);
	sheet_captions(sheet, part);
	put(out, colours, COLOUR_DIM, part);
	for (size_t i = 0; i < count; i++) {
		sheet_name(sheet, &lines[i], part);
		(void)strcpy(text, part);
		sheet_numbers(sheet, &lines[i], part);
		(void)strcat(text, part);
		sheet_trend(sheet, &lines[i], part);
		(void)strcat(text, part);
		put(out, colours, lines[i].row ? COLOUR_PLAIN : COLOUR_BOLD, text);
	}
	free(lines);
	return fflush(out) ? -errno : 0;
}
