/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drops.h - why events were not counted: the one table of reasons.
 */
#ifndef PROBEMETER_DROPS_H
#define PROBEMETER_DROPS_H

struct drop_reason {
	const char *name; /* the attribute "reason" of probemeter.agent.events.dropped */
	const char *meaning; /* for the log */
	const char *remedy;
};

/* By enum pm_drop; NULL name: not in use. */
extern const struct drop_reason drop_reasons[];

#endif
