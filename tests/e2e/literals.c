/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * literals - labels that the compiler knows, in a page that nothing else reads.
 *
 * A label written at its call is hashed at build time, so without care the service would never touch its bytes, and the
 * kernel cannot read what is not there. Nothing here reads the literals' page before: no format string, no constant.
 */
#include <unistd.h>

#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(literal_count, "literals.total", "{event}", "Events under a literal", "only")
PROBEMETER_HISTOGRAM(literal_size, "literals.size", "{event}", "Events under two literals", "first", "second")

int main(void)
{
	int i;

	while (!PROBEMETER_ENABLED(literal_count) || !PROBEMETER_ENABLED(literal_size))
		usleep(10000);
	usleep(1500000); /* another agent may have raised the semaphores: ours sweeps once a second */
	for (i = 0; i < 500; i++) {
		PROBEMETER_ADD(literal_count, 1, "a literal of one call");
		PROBEMETER_RECORD(literal_size, i, "a literal", "another literal, which is somewhat longer");
	}
	return 0;
}
