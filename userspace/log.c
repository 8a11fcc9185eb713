/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.c - what failed, on which object, why, what happens next: one message on standard error or in systemd's journal.
 *
 * Consumes messages of callers that decide; stages that only compute do not log. Strings inside may come from hostile
 * processes, so that a message can neither start a second line nor steer a terminal. What a message looks like is
 * log_line.c's.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_line.h"

static enum log_level log_limit = LOG_INFO;
static enum log_format log_format = LOG_FORMAT_TEXT;

void log_set_level(enum log_level level)
{
	log_limit = level;
}

void log_set_format(enum log_format format)
{
	log_format = format;
}

/* Is standard error the stream that systemd says it is? Source: systemd.exec(5), "$JOURNAL_STREAM". */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && !fstat(STDERR_FILENO, &st) &&
	       st.st_dev == device && st.st_ino == inode;
}

void log_message(enum log_level level, const char *format, ...)
{
	char bytes[LOG_LINE_BYTES];
	struct log_line line;
	int saved = errno;
	va_list args;
	size_t used;

	if (level > log_limit)
		return;
	va_start(args, format);
	log_line_fill(&line, level, format, args);
	va_end(args);
	if (log_format == LOG_FORMAT_TEXT && is_journal() && !log_line_journal(&line))
		goto out;
	used = log_format == LOG_FORMAT_JSON ? log_line_json(&line, bytes) : log_line_text(&line, bytes);
	/* Nobody can be told that standard error is gone. */
	if (write(STDERR_FILENO, bytes, used) < 0)
		goto out;
out:
	errno = saved;
}
