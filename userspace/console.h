/* SPDX-License-Identifier: BSD-2-Clause */
/* console.h - points as a table for people. */
#ifndef PROBEMETER_CONSOLE_H
#define PROBEMETER_CONSOLE_H

#include <stdio.h>

#include "points.h"

struct console;

/* A printer to @out, which stays the caller's; colours only if that is a terminal. NULL if memory is short. */
struct console *console_new(FILE *out);

/**
 * console_print - one table: resources, their metrics by name, their series by labels
 * @points: any order. Rates are over the time since the print before this one, per second.
 *
 * Return: 0, -ENOMEM, or the negative errno of a failed write.
 */
int console_print(struct console *console, const struct points *points);

void console_free(struct console *console);

#endif
