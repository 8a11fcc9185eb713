/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wall.h - the time that points carry: the wall clock's, and never earlier than what was said before.
 */
#ifndef PROBEMETER_WALL_H
#define PROBEMETER_WALL_H

#include <stdbool.h>
#include <stdint.h>

struct wall {
	uint64_t said_unix_ns; /* last */
	uint64_t said_ns; /* when, CLOCK_MONOTONIC */
	uint64_t seen_unix_ns; /* what the clock itself showed then */
};

/**
 * wall_now - the time to put on what is true now
 * @unix_ns:      CLOCK_REALTIME
 * @monotonic_ns: CLOCK_MONOTONIC, of the same moment
 * @ret_set_back: by how much the clock was set back since the last call; 0 if it was not
 *
 * Follows the wall clock wherever it goes forward. Where it was set back, this goes on at half its speed until the clock
 * has caught up: a stream's times stay in order, and no interval is told twice.
 *
 * Return: ns since 1970, each time later than the last, if @monotonic_ns is.
 */
uint64_t wall_now(struct wall *wall, uint64_t unix_ns, uint64_t monotonic_ns, uint64_t *ret_set_back);

/* Never earlier than @unix_ns, which an earlier agent has used. */
void wall_after(struct wall *wall, uint64_t unix_ns, uint64_t monotonic_ns);

/* Further behind than this, the clock is not late: it was wrong before, and a new agent follows it at once. */
#define WALL_LATE_NS (3600 * 1000000000ull)

/* The same for the last time that an earlier agent told, if , the clock now, is at most late. Return: is it? */
bool wall_resume(struct wall *wall, uint64_t told_unix_ns, uint64_t unix_ns, uint64_t monotonic_ns);

#endif
