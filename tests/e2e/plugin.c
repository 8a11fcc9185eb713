/* SPDX-License-Identifier: BSD-2-Clause */
/* plugin - a library that fires what it is told; test_libraries.py builds it with headers of several versions. */
#include "plugin.h"

void plugin_fire(const char *from, long count);
void plugin_change(const char *from, long change);
int plugin_listened(void);

void plugin_fire(const char *from, long count)
{
	for (long i = 0; i < count; i++) {
		PROBEMETER_ADD(plugin_events, 1, from);
		PROBEMETER_RECORD(plugin_size, 64.0, from);
	}
}

void plugin_change(const char *from, long change)
{
	PROBEMETER_ADD(plugin_open, change, from);
}

int plugin_listened(void)
{
	return PROBEMETER_ENABLED(plugin_events) && PROBEMETER_ENABLED(plugin_size);
}
