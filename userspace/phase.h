/* SPDX-License-Identifier: BSD-2-Clause */
/* phase.h - when within the interval this host exports. */
#ifndef PROBEMETER_PHASE_H
#define PROBEMETER_PHASE_H

#include <stdint.h>

struct resource;

/**
 * phase_of - a host's own place in the interval
 * @own: the agent's resource; of it what tells hosts apart, and stays: host.id, host.name, service.instance.id
 *
 * Exports are due at wall-clock times that leave this remainder. Even over hosts.
 *
 * Return: nanoseconds, less than @interval_ns.
 */
uint64_t phase_of(const struct resource *own, uint64_t interval_ns);

/* How long from @now_unix_ns to the next moment of that phase: more than 0, at most @interval_ns. */
uint64_t phase_wait_ns(uint64_t now_unix_ns, uint64_t interval_ns, uint64_t phase_ns);

/**
 * phase_next - when the export after this one is due
 * @due_ns: when this one was due, CLOCK_MONOTONIC
 * @now_ns: not before @due_ns, CLOCK_MONOTONIC
 * @now_unix_ns: the same moment, CLOCK_REALTIME
 *
 * One interval after @due_ns, turned towards the phase by at most an eighth of an interval: after a step of the wall
 * clock, exports come a little sooner or later until they are in phase again, never two at once and never a gap. What
 * a late export has missed is left out.
 *
 * Return: CLOCK_MONOTONIC, later than @now_ns.
 */
uint64_t phase_next(uint64_t due_ns, uint64_t now_ns, uint64_t now_unix_ns, uint64_t interval_ns, uint64_t phase_ns);

#endif
