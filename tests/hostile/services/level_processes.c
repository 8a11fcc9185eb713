/* SPDX-License-Identifier: BSD-2-Clause */
/* Two hundred processes of one service, each with a full table of label sets that no other has: 390,000 of them.
 * expects: attack\.level\.processes[^\n]*\n(    [^\n]*\n)*?    \(all others: too many series\) +3\d\d,\d\d\d */
#include <signal.h>
#include <sys/prctl.h>

#include "attack.h"

PROBEMETER_UPDOWNCOUNTER(attack_level, "attack.level.processes", "1", "", "name")

int main(void)
{
	char name[64];

	for (int process = 0; process < 200; process++) {
		if (fork())
			continue;
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < PROBEMETER_LEVEL_SLOTS - PROBEMETER_LEVEL_RESERVED; i++) {
			(void)snprintf(name, sizeof(name), "%d-%d", process, i);
			PROBEMETER_ADD(attack_level, 1, name);
		}
		FOREVER
			usleep(1000000);
	}
	FOREVER
		usleep(1000000);
}
