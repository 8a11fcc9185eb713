/* SPDX-License-Identifier: BSD-2-Clause */
/* console_cell.h - the numbers of one row of the console's table. */
#ifndef PROBEMETER_CONSOLE_CELL_H
#define PROBEMETER_CONSOLE_CELL_H

#include <stddef.h>

#include "points.h"

/* One series about to be printed. */
struct row {
	const struct point *point;
	double rate; /* per second */
};

struct column {
	const char *caption; /* NULL: no more columns */
	void (*format)(const struct row *row, char *out, size_t out_size);
};

#define CONSOLE_CELLS 6 /* most columns of any look */

/* Which numbers a point shows. */
enum look { LOOK_COUNTER, LOOK_LEVEL, LOOK_GAUGE, LOOK_HISTOGRAM };
enum look console_look(const struct point *point);

extern const struct column console_looks[][CONSOLE_CELLS];

#endif
