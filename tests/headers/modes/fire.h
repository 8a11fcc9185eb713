/* SPDX-License-Identifier: BSD-2-Clause */
/* fire.h - each used metric once, in an order that main.c expects, with values and labels made from the arguments. */
#ifndef MODES_FIRE_H
#define MODES_FIRE_H

#include <stddef.h>

#include "metrics.h"

#ifdef __cplusplus
extern "C" {
#endif
void fire_main(const char *who, long n, double x);
void fire_other(const char *who, long n, double x);
void fire_more(const char *who, long n, double x);
void fire_again(const char *who, long n, double x);
void fire_library(const char *who, long n, double x);
#ifdef __cplusplus
}
#endif

static inline void fire_all(const char *who, long n, double x)
{
	PROBEMETER_ADD(m_count, n);
	PROBEMETER_ADD(m_four, n + 1, who, "four", "a label of more than sixteen bytes", NULL);
	PROBEMETER_RECORD(m_hist, x, who);
	PROBEMETER_RECORD(m_bounds, x / 2, who, "b");
	PROBEMETER_ADD(m_updown, -n, who, "", "c");
	PROBEMETER_SET(m_latest, n);
	PROBEMETER_SET(m_gauge, x, who);
	PROBEMETER_ADD(script_executions_total, 1, who, "python-3.11");
}

#endif
