/* SPDX-License-Identifier: BSD-2-Clause */
/* A label that another thread writes over all the time, invalid bytes among them.
 * expects: attack\.changing[^\n]*\n    name= */
#include <pthread.h>

#include "attack.h"

PROBEMETER_COUNTER(attack_changing, "attack.changing", "1", "", "name")

static char text[256];

static void *scribble(void *unused)
{
	unsigned seed = 1;

	for (;;)
		for (size_t i = 0; i < sizeof(text) - 1; i++)
			((volatile char *)text)[i] = (char)rand_r(&seed);
	return unused;
}

int main(void)
{
	pthread_t thread;
	uint64_t hash = 0;

	if (pthread_create(&thread, NULL, scribble, NULL))
		return 1;
	FOREVER
		probemeter_stub_attack_changing(1, ++hash % 100, text);
}
