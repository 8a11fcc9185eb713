/* SPDX-License-Identifier: BSD-2-Clause */
/* golden.c - metrics whose descriptors are compared byte for byte with golden.txt, and the level table's layout. */
#include <stddef.h>

#include <probemeter/probemeter.h>

#define PROBEMETER_SCOPE "Golden"
PROBEMETER_COUNTER(g_counter, "g.counter", "{thing}", "A counter", "one", "two", "three", "four")
PROBEMETER_UPDOWNCOUNTER(g_updown, "g.updown", "{thing}", "An up-down counter", "one")
PROBEMETER_UPDOWNCOUNTER_LATEST(g_latest, "g.latest", "1", "A latest one")
PROBEMETER_GAUGE(g_gauge, "g.gauge", "Cel", "A gauge", "one", "two")
PROBEMETER_HISTOGRAM(g_histogram, "g.histogram", "s", "A histogram", "one", "two", "three")
PROBEMETER_HISTOGRAM_BOUNDS(g_bounds, "g.bounds", "ms", "A histogram with bounds", (0.5, 1, 2.5))

_Static_assert(offsetof(struct probemeter_levels, value) == 0, "value");
_Static_assert(offsetof(struct probemeter_levels, used) == 32768, "used");
_Static_assert(offsetof(struct probemeter_levels, text_used) == 32772, "text_used");
_Static_assert(offsetof(struct probemeter_levels, wiped) == 32776, "wiped");
_Static_assert(offsetof(struct probemeter_levels, index) == 32784, "index");
_Static_assert(offsetof(struct probemeter_levels, slot) == 40976, "slot");
_Static_assert(offsetof(struct probemeter_levels, text) == 90128, "text");
_Static_assert(sizeof(((struct probemeter_levels *)0)->text) == 131072, "text's size");
_Static_assert(offsetof(struct probemeter_level_value, set_ns) == 8, "set_ns");
_Static_assert(offsetof(struct probemeter_level_slot, metric) == 8, "metric");
_Static_assert(offsetof(struct probemeter_level_slot, text) == 12, "slot's text");
_Static_assert(offsetof(struct probemeter_level_slot, flags) == 16, "flags");

int main(void)
{
	PROBEMETER_ADD(g_counter, 1, "1", "2", "3", "4");
	PROBEMETER_ADD(g_updown, 1, "1");
	PROBEMETER_SET(g_latest, 1);
	PROBEMETER_SET(g_gauge, 1.5, "1", "2");
	PROBEMETER_RECORD(g_histogram, 1.5, "1", "2", "3");
	PROBEMETER_RECORD(g_bounds, 1.5);
	return 0;
}
