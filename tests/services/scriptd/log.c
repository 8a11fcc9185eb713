/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_bool info_silenced;

void log_quiet(bool quiet)
{
	atomic_store(&info_silenced, quiet);
}

/* One write per line, so that lines of several threads do not mix. */
__attribute__((format(printf, 1, 0)))
static void write_line(const char *fmt, va_list args)
{
	char line[1024];

	vsnprintf(line, sizeof(line), fmt, args);
	fprintf(stderr, "scriptd: %s\n", line);
}

void log_info(const char *fmt, ...)
{
	va_list args;

	if (atomic_load(&info_silenced))
		return;
	va_start(args, fmt);
	write_line(fmt, args);
	va_end(args);
}

void log_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_line(fmt, args);
	va_end(args);
}
