/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crowded - more level metrics than a full table has overflow slots for.
 *
 * Fills the table with label sets of the first of 70 metrics, adds 1 three times to each of the others under a label of its
 * own, prints how many of those 207 updates found room, and stays until the end of stdin.
 */
#include <stdio.h>

#define PROBEMETER_SCOPE "Crowded"
#include <probemeter/probemeter.h>

#define ONE(n) PROBEMETER_UPDOWNCOUNTER(crowded_##n, "crowded." #n, "{thing}", "One of many", "label")
#define ADD(n) PROBEMETER_ADD(crowded_##n, 1, "late");
#define TEN(what, n) what(n##0) what(n##1) what(n##2) what(n##3) what(n##4) what(n##5) what(n##6) what(n##7) what(n##8) what(n##9)
#define ALL(what) TEN(what, 1) TEN(what, 2) TEN(what, 3) TEN(what, 4) TEN(what, 5) TEN(what, 6)

ALL(ONE)
TEN(ONE, 7)

int main(void)
{
	char label[16];
	int i;

	for (i = 0; i < PROBEMETER_LEVEL_SLOTS; i++) {
		(void)snprintf(label, sizeof(label), "set-%d", i);
		PROBEMETER_ADD(crowded_10, 1, label);
	}
	for (i = 0; i < 3; i++) {
		ALL(ADD)
		TEN(ADD, 7)
	}
	(void)printf("%u\n", probemeter_levels_()->lost);
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
