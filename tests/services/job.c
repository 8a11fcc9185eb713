/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * job - a process of a short life that keeps its account where it outlives it.
 *
 *   job FILE SLOT EVENTS MS [wait]
 *
 * FILE is an array of struct account, shared by all jobs; this one writes to number SLOT. It fires EVENTS events, or, if
 * that is -1, goes on firing until it is killed; each is entered as begun before and as done after, so that a job that was
 * killed in between leaves both numbers. A level is 1 while it lives. After MS milliseconds it ends by itself.
 *
 * With "wait" it first waits until somebody listens, at most 20 s, and writes down how long after its start that was.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Jobs"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(job_events, "job.events.total", "{event}", "Events of jobs", "end")
PROBEMETER_COUNTER(job_runs, "job.runs.total", "{run}", "Jobs that ran to their end")
PROBEMETER_UPDOWNCOUNTER(job_alive, "job.alive", "{job}", "Jobs that live")

struct account {
	volatile uint64_t begun, done;
	volatile uint64_t waited_ns; /* 0: did not wait; -1: in vain */
	volatile uint64_t state; /* 1: fires, 2: at its end */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void wait_for_listener(struct account *account, uint64_t start_ns)
{
	const struct timespec pause = { .tv_nsec = 200000 };

	while (!PROBEMETER_ENABLED(job_events) || !PROBEMETER_ENABLED(job_runs)) {
		if (now_ns() - start_ns > 20000000000u) {
			account->waited_ns = UINT64_MAX;
			return;
		}
		(void)nanosleep(&pause, NULL);
	}
	account->waited_ns = now_ns() - start_ns;
}

int main(int argc, char **argv)
{
	uint64_t start_ns = now_ns(), end_ns;
	struct account *account;
	long events, i;
	int fd;

	if (argc < 5)
		return 2;
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 3;
	account = mmap(NULL, 65536 * sizeof(*account), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (account == MAP_FAILED)
		return 4;
	account += strtol(argv[2], NULL, 10);
	events = strtol(argv[3], NULL, 10);
	end_ns = start_ns + (uint64_t)strtol(argv[4], NULL, 10) * 1000000;
	if (argc > 5)
		wait_for_listener(account, start_ns);
	PROBEMETER_ADD(job_alive, 1);
	account->state = 1;
	for (i = 0; events < 0 || i < events; i++) {
		account->begun++;
		PROBEMETER_ADD(job_events, 1, events < 0 ? "killed" : "exit");
		account->done++;
		if (events < 0 && i % 16 == 0)
			(void)usleep(500);
	}
	while (now_ns() < end_ns)
		(void)usleep((useconds_t)((end_ns - now_ns()) / 1000 + 1));
	PROBEMETER_ADD(job_alive, -1);
	PROBEMETER_ADD(job_runs, 1);
	account->state = 2;
	return 0;
}
