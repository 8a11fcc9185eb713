/* SPDX-License-Identifier: BSD-2-Clause */
/* duration.h - a histogram of the agent's own durations, as cells like everybody else's. */
#ifndef PROBEMETER_DURATION_H
#define PROBEMETER_DURATION_H

#include "merge.h"

#define DURATION_OCTAVES 30 /* from a microsecond to a quarter of an hour */

struct durations {
	struct cell cell[DURATION_OCTAVES];
};

/* Add one, in seconds in the histogram. Too short or too long ones count as the shortest or the longest. */
void durations_add(struct durations *durations, uint64_t ns);

#endif
