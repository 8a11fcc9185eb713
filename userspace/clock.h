/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.h - what a clock shows, as one number.
 */
#ifndef PROBEMETER_CLOCK_H
#define PROBEMETER_CLOCK_H

#include <stdint.h>
#include <time.h>

uint64_t clock_ns(clockid_t clock);

#endif
