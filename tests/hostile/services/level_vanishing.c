/* SPDX-License-Identifier: BSD-2-Clause */
/* A level table of which one page after the other may not be read, and then may again, while it is read.
 * expects: attached: '.*level_vanishing' */
#include <pthread.h>

#include "attack.h"

PROBEMETER_UPDOWNCOUNTER(attack_level, "attack.level.vanishing", "1", "", "name")

static void *hide(void *unused)
{
	const uintptr_t table = (uintptr_t)probemeter_levels_();

	for (;;)
		/* Whole pages of the table: nothing else of this program lies there. */
		for (uintptr_t page = (table + PAGE - 1) & -(uintptr_t)PAGE; page + PAGE <= table + sizeof(struct probemeter_levels); page += PAGE) {
			(void)mprotect((void *)page, PAGE, PROT_NONE);
			usleep(100);
			(void)mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE);
		}
	return unused;
}

int main(void)
{
	pthread_t thread;

	PROBEMETER_ADD(attack_level, 1, "honest");
	if (pthread_create(&thread, NULL, hide, NULL))
		return 1;
	FOREVER
		;
}
