/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.c - what failed, on which object, why, what happens next: one line on standard error.
 *
 * Consumes messages of callers that decide; stages that only compute do not log. Strings inside may come from hostile
 * processes, so that a message can neither start a second line nor steer a terminal.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "utf8.h"

#define LOG_BYTES 2048

static enum log_level log_limit = LOG_INFO;

static const char *const log_words[] = {
	[LOG_ERROR] = "error: ",
	[LOG_WARN] = "warning: ",
	[LOG_INFO] = "",
	[LOG_DEBUG] = "debug: ",
};

void log_set_level(enum log_level level)
{
	log_limit = level;
}

void log_message(enum log_level level, const char *format, ...)
{
	char text[LOG_BYTES], line[2 * LOG_BYTES];
	int saved = errno, length;
	size_t used, bytes;
	va_list args;

	if (level > log_limit)
		return;
	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (length < 0)
		goto out;
	bytes = strlen(text);
	while (bytes && text[bytes - 1] == '\n')
		bytes--;
	used = (size_t)snprintf(line, sizeof(line), "probemeter: %s", log_words[level]);
	(void)utf8_printable(text, bytes, line + used, sizeof(line) - used - 1);
	used += strlen(line + used);
	line[used++] = '\n';
	/* Nobody can be told that standard error is gone. */
	if (write(STDERR_FILENO, line, used) < 0)
		goto out;
out:
	errno = saved;
}
