/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_line.c - consumes a format and its arguments, produces the line or the fields.
 *
 * Uses no memory but the caller's: that memory is short must be sayable too.
 */
#include "log_line.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "utf8.h"

#define FORMAT_BYTES 1024
/* Where an object begins and ends, until the text is whole. A hostile string may contain them too: it can only make more
 * objects of itself. */
#define BEGINS '\1'
#define ENDS '\2'

static const struct {
	const char *prefix, *name;
	int priority; /* as syslog has it */
} levels[] = {
	[LOG_ERROR] = { "error: ", "error", 3 },
	[LOG_WARN] = { "warning: ", "warn", 4 },
	[LOG_INFO] = { "", "info", 6 },
	[LOG_DEBUG] = { "debug: ", "debug", 7 },
};

/* Copy @format, with marks for the quotes around each '%s' or '%.64s'. */
static bool mark(const char *format, char out[FORMAT_BYTES])
{
	size_t length = strlen(format), conversion;

	if (length >= FORMAT_BYTES)
		return false;
	memcpy(out, format, length + 1);
	for (; *out; out++) {
		if (out[0] != '\'' || out[1] != '%')
			continue;
		conversion = 2 + strspn(out + 2, ".*0123456789");
		if (out[conversion] != 's' || out[conversion + 1] != '\'')
			continue;
		*out = BEGINS;
		out += conversion + 1;
		*out = ENDS;
	}
	return true;
}

/* Quotes for marks, and what is between them. */
static void collect(struct log_line *line)
{
	char *begin = NULL;

	for (char *c = line->text; *c; c++) {
		if (*c == BEGINS) {
			*c = '\'';
			begin = c + 1;
		} else if (*c == ENDS && begin) {
			*c = '\'';
			if (line->object_count < LOG_OBJECTS) {
				line->object[line->object_count].text = begin;
				line->object[line->object_count++].length = (size_t)(c - begin);
			}
			begin = NULL;
		}
	}
}

void log_line_fill(struct log_line *line, enum log_level level, const char *format, va_list args)
{
	char marked[FORMAT_BYTES];
	size_t length;

	line->level = level;
	line->priority = levels[level].priority;
	line->object_count = 0;
	if (vsnprintf(line->text, sizeof(line->text), mark(format, marked) ? marked : format, args) < 0)
		(void)snprintf(line->text, sizeof(line->text), "%s", format);
	length = strlen(line->text);
	while (length && line->text[length - 1] == '\n')
		line->text[--length] = '\0';
	collect(line);
}

size_t log_line_text(const struct log_line *line, char *out)
{
	size_t used = (size_t)snprintf(out, LOG_LINE_BYTES, "probemeter: %s", levels[line->level].prefix);

	(void)utf8_printable(line->text, strlen(line->text), out + used, 2 * LOG_TEXT_BYTES - used - 1);
	used += strlen(out + used);
	out[used++] = '\n';
	return used;
}

/* A string of JSON at @out, which has room for six bytes of each byte. Return: its length. */
static size_t put_string(const char *text, size_t length, char *out)
{
	size_t used = 0, taken;
	uint32_t code;

	out[used++] = '"';
	for (size_t i = 0; i < length; i += taken) {
		taken = utf8_next(text + i, length - i, &code);
		if (code < 0x20 || code == 0x7f || code == '"' || code == '\\') {
			used += (size_t)sprintf(out + used, "\\u%04x", (unsigned)code);
		} else if (code == 0xfffd) {
			used += (size_t)sprintf(out + used, "\\ufffd");
		} else {
			memcpy(out + used, text + i, taken);
			used += taken;
		}
	}
	out[used++] = '"';
	return used;
}

size_t log_line_json(const struct log_line *line, char *out)
{
	struct timespec now;
	struct tm tm;
	size_t used;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	used = strftime(out, LOG_LINE_BYTES, "{\"time\":\"%Y-%m-%dT%H:%M:%S", &tm);
	used += (size_t)sprintf(out + used, ".%03ldZ\",\"level\":\"%s\",\"message\":", now.tv_nsec / 1000000,
				levels[line->level].name);
	used += put_string(line->text, strlen(line->text), out + used);
	used += (size_t)sprintf(out + used, ",\"objects\":[");
	for (size_t i = 0; i < line->object_count; i++) {
		if (i)
			out[used++] = ',';
		used += put_string(line->object[i].text, line->object[i].length, out + used);
	}
	return used + (size_t)sprintf(out + used, "]}\n");
}
