/* SPDX-License-Identifier: BSD-2-Clause */
/* A level table that a thread fills with any bytes while it is read.
 * expects: attached: '.*level_changing' */
#include <pthread.h>

#include "attack.h"

PROBEMETER_UPDOWNCOUNTER(attack_level, "attack.level.changing", "1", "", "name")

static void *scribble(void *unused)
{
	volatile unsigned *table = (volatile unsigned *)(void *)probemeter_levels_();
	uint64_t seed = 1;

	for (;;)
		for (size_t i = 0; i < sizeof(struct probemeter_levels) / sizeof(*table); i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			/* Mostly what a slot of this metric looks like. */
			table[i] = seed >> 60 ? (unsigned)(seed >> 40) % 64 : (unsigned)(seed >> 32);
		}
	return unused;
}

int main(void)
{
	pthread_t thread;

	PROBEMETER_ADD(attack_level, 1, "honest");
	if (pthread_create(&thread, NULL, scribble, NULL))
		return 1;
	FOREVER
		;
}
