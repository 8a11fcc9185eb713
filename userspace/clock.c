/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.c - what a clock shows, as one number. What is made of it, and that it may be set back, is for others (wall.c).
 */
#include "clock.h"

uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}
