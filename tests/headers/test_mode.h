/* SPDX-License-Identifier: BSD-2-Clause */
/* test_mode.h - the metrics of test_mode.c and test_mode_other.c. */
#ifndef TEST_MODE_H
#define TEST_MODE_H

#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(t_counter, "t.counter", "1", "A counter", "a", "b")
PROBEMETER_UPDOWNCOUNTER(t_updown, "t.updown", "1", "An up-down counter")
PROBEMETER_UPDOWNCOUNTER_LATEST(t_latest, "t.latest", "1", "A latest one", "a")
PROBEMETER_GAUGE(t_gauge, "t.gauge", "1", "A gauge")
PROBEMETER_HISTOGRAM(t_histogram, "t.histogram", "{s}", "A histogram", "a")
PROBEMETER_HISTOGRAM_BOUNDS(t_bounds, "t.bounds", "ms", "With bounds", (1, 2))

#ifdef __cplusplus
extern "C"
#endif
void fire_from_other_unit(int n);

#endif
