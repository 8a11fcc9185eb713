/* SPDX-License-Identifier: BSD-2-Clause */
/* metrics.h - what every translation unit of the build modes' program declares: each kind, and the whole catalogue. */
#ifndef MODES_METRICS_H
#define MODES_METRICS_H

#include <probemeter/integr8scode.h>

/* Behind the #include, as a user may. */
#define PROBEMETER_SCOPE "Modes"
PROBEMETER_COUNTER(m_count, "m.count", "{call}", "No label")
PROBEMETER_COUNTER(m_four, "m.four", "1", "Four labels: \"quoted\", 100%", "who", "class", "static", "null")
PROBEMETER_HISTOGRAM(m_hist, "m.hist", "s", "One label", "who")
PROBEMETER_HISTOGRAM_BOUNDS(m_bounds, "m.bounds", "ms", "Two labels", (0.5, 1, 2, 1e9), "who", "b")
PROBEMETER_UPDOWNCOUNTER(m_updown, "m.updown", "{thing}", "Three labels", "who", "b", "c")
PROBEMETER_UPDOWNCOUNTER_LATEST(m_latest, "m.latest", "{thing}", "No label, latest")
PROBEMETER_GAUGE(m_gauge, "m.gauge", "Cel", "Temperature \xc2\xb0", "who")
#undef PROBEMETER_SCOPE
/* Declared, never used: no descriptor. Without a scope of one's own: "probemeter". */
PROBEMETER_COUNTER(m_never, "m.never", "1", "Never used", "who")
PROBEMETER_GAUGE(m_never_gauge, "m.never.gauge", "1", "Never used", "who")
PROBEMETER_HISTOGRAM_BOUNDS(m_never_bounds, "m.never.bounds", "1", "Never used", (1, 2))
/* As long a name as ISO C promises to tell from others, in the kind with the most assembly. */
PROBEMETER_HISTOGRAM_BOUNDS(m_a_name_of_sixty_three_characters_is_the_longest_that_iso_c_kn,
			    "m.never.long", "1", "Never used", (1, 2), "l1", "l2", "l3", "l4")
PROBEMETER_UPDOWNCOUNTER(m_b_name_of_sixty_three_characters_is_the_longest_that_iso_c_kn,
			 "m.never.long.level", "1", "Never used", "l1", "l2", "l3", "l4")
/* Used by main.c alone, in a function that nobody calls. */
PROBEMETER_COUNTER(m_uncalled, "m.uncalled", "1", "Used, but not called", "who")

#endif
