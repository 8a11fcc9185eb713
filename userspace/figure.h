/* SPDX-License-Identifier: BSD-2-Clause */
/* figure.h - numbers for people: by their unit, in few columns. */
#ifndef PROBEMETER_FIGURE_H
#define PROBEMETER_FIGURE_H

#include <stdbool.h>
#include <stddef.h>

#define FIGURE_COLUMNS 8
#define FIGURE_BYTES 32

/**
 * figure - @value in at most FIGURE_COLUMNS columns of ASCII
 * @unit: of UCUM, as metrics declare it: durations (s, ms, us, ns) are shown in ns to days, By in powers of 1024, others with k, M,
 *        G, T; NULL for a bare number. NAN is "-".
 */
void figure(double value, const char *unit, char out[FIGURE_BYTES]);

/**
 * figure_trend - the last @columns of @count values as a line of bars, the newest at the right
 * @ascii: where the terminal knows nothing else
 *
 * From 0, or the smallest if that is negative, to the largest. Return: @out, of at most 3 * @columns bytes and a NUL.
 */
char *figure_trend(const double *value, size_t count, size_t columns, bool ascii, char *out);

#endif
