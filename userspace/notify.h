/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify.h - what systemd is told: ready, alive, status, stopping. Nothing at all where no $NOTIFY_SOCKET is set.
 */
#ifndef PROBEMETER_NOTIFY_H
#define PROBEMETER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct notify {
	uint64_t every_ns; /* of WATCHDOG=1: half of what the unit allows; 0: none is wanted */
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	bool ready;
};

/* What the service manager asks for (WATCHDOG_USEC, WATCHDOG_PID). */
void notify_begin(struct notify *notify);

/* READY=1 at the first call, and a line of status at each. */
void notify_ready(struct notify *notify, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* When notify_alive() has something to do, CLOCK_MONOTONIC; UINT64_MAX: never. */
uint64_t notify_due(const struct notify *notify);

/* WATCHDOG=1, if it is due at @at_ns. */
void notify_alive(struct notify *notify, uint64_t at_ns);

/* Within a step that takes long: a line of status, WATCHDOG=1, and NOTIFY_LONGER_S more to start or to end. */
#define NOTIFY_LONGER_S 60
void notify_working(const struct notify *notify, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* STOPPING=1, and a last WATCHDOG=1: what follows may take as long as one export. */
void notify_stopping(const struct notify *notify, const char *status);

#endif
