/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * phase.c - spreads the exports of a fleet over the interval.
 *
 * Consumes who the host is and what the clocks say, produces moments. Agents that one command has started would else
 * send in the same second for ever. Pure: the caller reads the clocks and waits.
 */
#include "phase.h"

#include <string.h>

#include <probemeter/probemeter.h>

#include "bucket.h"
#include "points.h"

#define PHASE_TURN 8 /* at most this part of an interval at a time */

uint64_t phase_of(const struct resource *own, uint64_t interval_ns)
{
	static const char *const host[] = { "host.id", "host.name", "service.instance.id" };
	uint64_t hash = 1;

	for (size_t i = 0; i < own->attribute_count; i++)
		for (size_t j = 0; j < sizeof(host) / sizeof(host[0]); j++)
			if (!strcmp(own->attribute[i].key, host[j]))
				hash = probemeter_hash_label_(hash, own->attribute[i].value);
	/* The upper half of the product: even, where a remainder is not. */
	return (uint64_t)((uint128_t)hash * interval_ns >> 64);
}

uint64_t phase_wait_ns(uint64_t now_unix_ns, uint64_t interval_ns, uint64_t phase_ns)
{
	uint64_t into = now_unix_ns % interval_ns;

	return into < phase_ns ? phase_ns - into : interval_ns - (into - phase_ns);
}

uint64_t phase_next(uint64_t due_ns, uint64_t now_ns, uint64_t now_unix_ns, uint64_t interval_ns, uint64_t phase_ns)
{
	uint64_t next_ns = due_ns + interval_ns, most = interval_ns / PHASE_TURN, early;

	if (next_ns <= now_ns)
		next_ns += ((now_ns - next_ns) / interval_ns + 1) * interval_ns;
	early = phase_wait_ns(now_unix_ns + (next_ns - now_ns), interval_ns, phase_ns) % interval_ns;
	if (early <= interval_ns / 2)
		return next_ns + (early < most ? early : most);
	if (interval_ns - early < most)
		most = interval_ns - early;
	return next_ns - now_ns > most ? next_ns - most : next_ns;
}
