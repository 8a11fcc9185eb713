/* SPDX-License-Identifier: BSD-2-Clause */
/* errors.h - the metrics that the wrong uses beside it use. */
#include <stddef.h>

#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(e_counter, "e.counter", "1", "A counter", "a", "b")
PROBEMETER_COUNTER(e_bare, "e.bare", "1", "No label")
PROBEMETER_UPDOWNCOUNTER(e_updown, "e.updown", "1", "An up-down counter", "a")
PROBEMETER_UPDOWNCOUNTER_LATEST(e_latest, "e.latest", "1", "A latest one", "a")
PROBEMETER_GAUGE(e_gauge, "e.gauge", "1", "A gauge", "a")
PROBEMETER_HISTOGRAM(e_histogram, "e.histogram", "s", "A histogram", "a")
