/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wall.c - times that stay in order when the wall clock does not.
 *
 * Consumes what the clocks say, produces times for points and streams. Pure: the caller reads the clocks. A point that is
 * older than the one before it is refused by some receivers and taken for a restart by others; half speed lets a clock
 * that was set back by a second catch up within two.
 */
#include "wall.h"

uint64_t wall_now(struct wall *wall, uint64_t unix_ns, uint64_t monotonic_ns, uint64_t *ret_set_back)
{
	uint64_t since = monotonic_ns - wall->said_ns, next = wall->said_unix_ns + since / 2 + 1;

	*ret_set_back = unix_ns < wall->seen_unix_ns ? wall->seen_unix_ns + since - unix_ns : 0;
	if (!wall->said_unix_ns || unix_ns >= next)
		next = unix_ns;
	wall->seen_unix_ns = unix_ns;
	wall->said_unix_ns = next;
	wall->said_ns = monotonic_ns;
	return next;
}

void wall_after(struct wall *wall, uint64_t unix_ns, uint64_t monotonic_ns)
{
	if (unix_ns <= wall->said_unix_ns)
		return;
	wall->said_unix_ns = wall->seen_unix_ns = unix_ns;
	wall->said_ns = monotonic_ns;
}

bool wall_resume(struct wall *wall, uint64_t told_unix_ns, uint64_t unix_ns, uint64_t monotonic_ns)
{
	if (told_unix_ns > unix_ns + WALL_LATE_NS)
		return false;
	wall_after(wall, told_unix_ns, monotonic_ns);
	return true;
}
