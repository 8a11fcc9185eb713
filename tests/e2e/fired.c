/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fired - the smallest service: fires exactly what it is told and says how much that was.
 *
 * Each line on stdin is a number: so many events of the counter are fired, as many values recorded, the level
 * is set to it, and the total so far is printed. End of input ends it.
 */
#include <stdio.h>
#include <stdlib.h>

#include <probemeter/probemeter.h>

#define PROBEMETER_SCOPE "EndToEnd"

PROBEMETER_COUNTER(e2e_fired, "e2e.fired.total", "{event}", "Events fired", "kind")
PROBEMETER_COUNTER(e2e_bare, "e2e.bare.total", "{event}", "Events fired, without a label")
PROBEMETER_HISTOGRAM(e2e_size, "e2e.size", "{byte}", "Sizes recorded", "kind")
PROBEMETER_UPDOWNCOUNTER(e2e_level, "e2e.level", "{event}", "The last number read")

int main(void)
{
	char line[64];
	long total = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		long n = strtol(line, NULL, 10);

		for (long i = 0; i < n; i++) {
			PROBEMETER_ADD(e2e_fired, 1, i % 2 ? "odd" : "even");
			PROBEMETER_ADD(e2e_bare, 1);
			PROBEMETER_RECORD(e2e_size, 100.0, "any");
		}
		PROBEMETER_SET(e2e_level, n);
		total += n;
		printf("%ld\n", total);
	}
	return 0;
}
