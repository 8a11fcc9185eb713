/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * requirement.h - what a host must have for the agent, looked at one by one.
 */
#ifndef PROBEMETER_REQUIREMENT_H
#define PROBEMETER_REQUIREMENT_H

#include <stdbool.h>
#include <stddef.h>

struct options;
struct privilege;

/* What one look found. */
struct finding {
	bool met;
	bool optional; /* not met, but as somebody wants it */
	char detail[640]; /* what was seen */
	char remedy[512]; /* the command that mends it; as in the table, unless the look knows a better one */
};

struct requirement {
	const char *name;
	const char *why;
	const char *remedy;
	void (*look)(const struct options *options, struct finding *ret);
	bool first; /* without it nothing else is worth trying: `run` looks, too */
	bool needed; /* or the agent runs without, not as well */
};

extern const struct requirement requirements[];
extern const size_t requirement_count;

/* Is @now_s, of the host's clock, a time at which this program can run? */
bool requirement_clock_plausible(long long now_s);

#endif
