/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify.c - sd_notify(): one datagram each to the socket that the service manager names.
 *
 * Consumes the environment and what the caller says; produces datagrams. Nobody waits for an answer, and a manager that
 * does not listen harms nobody.
 */
#include "notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "utf8.h"

void notify_begin(struct notify *notify)
{
	uint64_t usec = 0;

	*notify = (struct notify){ 0 };
	if (sd_watchdog_enabled(0, &usec) > 0)
		notify->every_ns = usec * 1000 / 2;
}

void notify_ready(struct notify *notify, const char *format, ...)
{
	char text[512], line[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* A collector's answer may be in it: one line all the same. */
	(void)utf8_printable(text, strlen(text), line, sizeof(line));
	(void)sd_notifyf(0, "%sSTATUS=%s", notify->ready ? "" : "READY=1\n", line);
	notify->ready = true;
}

void notify_working(const struct notify *notify, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	(void)sd_notifyf(0, "%sEXTEND_TIMEOUT_USEC=%u000000\nSTATUS=%s", notify->every_ns ? "WATCHDOG=1\n" : "", NOTIFY_LONGER_S, line);
}

uint64_t notify_due(const struct notify *notify)
{
	return notify->every_ns ? notify->due_ns : UINT64_MAX;
}

void notify_alive(struct notify *notify, uint64_t at_ns)
{
	if (at_ns < notify_due(notify))
		return;
	(void)sd_notify(0, "WATCHDOG=1");
	notify->due_ns = at_ns + notify->every_ns;
}

void notify_stopping(const struct notify *notify, const char *status)
{
	(void)sd_notifyf(0, "STOPPING=1\n%sSTATUS=%s", notify->every_ns ? "WATCHDOG=1\n" : "", status);
}
