/* SPDX-License-Identifier: BSD-2-Clause */
/* plugin.h - metrics that a program (tests/services/loader.c) and its libraries (plugin.c) both declare. */
#ifndef PLUGIN_H
#define PLUGIN_H

#define PROBEMETER_SCOPE "Plugins"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(plugin_events, "plugin.events.total", "{event}", "Events of a program and its libraries", "from")
PROBEMETER_UPDOWNCOUNTER(plugin_open, "plugin.open", "{thing}", "Things open in a program and its libraries", "from")
PROBEMETER_HISTOGRAM(plugin_size, "plugin.size", "By", "Sizes in a program and its libraries", "from")

#endif
