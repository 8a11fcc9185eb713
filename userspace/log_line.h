/* SPDX-License-Identifier: BSD-2-Clause */
/* log_line.h - one message, as text, as JSON, as an entry of systemd's journal. */
#ifndef PROBEMETER_LOG_LINE_H
#define PROBEMETER_LOG_LINE_H

#include <stdarg.h>
#include <stddef.h>

#include "log.h"

#define LOG_TEXT_BYTES 2048
#define LOG_LINE_BYTES (14 * LOG_TEXT_BYTES) /* each byte as \u00NN, in the message and as an object */
#define LOG_OBJECTS 8

struct log_line {
	enum log_level level;
	int priority; /* as syslog has it */
	char text[LOG_TEXT_BYTES]; /* as the arguments have it: nothing is escaped yet */
	struct {
		const char *text; /* in @text, no NUL behind it */
		size_t length;
	} object[LOG_OBJECTS]; /* what stands for '%s' */
	size_t object_count;
};

void log_line_fill(struct log_line *line, enum log_level level, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));

/* One line with its newline into @out, LOG_LINE_BYTES large. Return: its length. */
size_t log_line_text(const struct log_line *line, char *out);
size_t log_line_json(const struct log_line *line, char *out);

/* Return: 0, or -errno if the journal cannot be reached. */
int log_line_journal(const struct log_line *line);

#endif
