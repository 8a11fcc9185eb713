/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log - one line per event on stderr. Callers that decide log; stages that
 * compute return errors.
 */
#ifndef SCRIPTD_LOG_H
#define SCRIPTD_LOG_H

#include <stdbool.h>

/** log_quiet - keep informational lines back; warnings are always written. */
void log_quiet(bool quiet);

void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
