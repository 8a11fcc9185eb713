/* SPDX-License-Identifier: BSD-2-Clause */
/* Ten thousand processes with one level, of which each has 1.
 * expects: attack\.level\.crowd[^\n]*\n    \(no labels\) +10,000\n */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "attack.h"

PROBEMETER_UPDOWNCOUNTER(attack_level, "attack.level.crowd", "1", "")

/* When whoever started it is killed it takes all of them with it, and leaves no zombies to strangers. */
static void keep(void)
{
	sigset_t end;
	int got;

	(void)setpgid(0, 0);
	(void)signal(SIGCHLD, SIG_IGN);
	(void)sigemptyset(&end);
	(void)sigaddset(&end, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &end, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	for (int started = 0; started < 10000;) {
		const pid_t pid = fork();

		if (!pid) {
			PROBEMETER_ADD(attack_level, 1);
			for (;;)
				(void)pause();
		}
		if (pid > 0)
			started++;
		else
			(void)usleep(10000);
	}
	(void)sigwait(&end, &got);
	(void)signal(SIGHUP, SIG_IGN);
	(void)kill(0, SIGHUP);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	exit(0);
}

int main(void)
{
	if (!fork())
		keep();
	for (;;)
		(void)pause();
}
