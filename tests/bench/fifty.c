/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fifty.c - one of fifty services with twenty metrics each; NUMBER tells them apart.
 *
 *   fifty       sleeps
 *   fifty CPU   has a thread there that does what attaching could disturb: it reads the clock, maps and unmaps memory,
 *               fires a probe. Answers each line on stdin with the largest gap between two looks at the clock since the
 *               last, in ns, and how many looks there were.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <probemeter/probemeter.h>

#define ID(n) PROBEMETER_JOIN_(PROBEMETER_JOIN_(m, NUMBER), _##n)
#define TEN(f, n) f(n##0) f(n##1) f(n##2) f(n##3) f(n##4) f(n##5) f(n##6) f(n##7) f(n##8) f(n##9)
#define COUNTER(n) \
	PROBEMETER_COUNTER(ID(n), "bench.m" PROBEMETER_STRING_(NUMBER) "." #n, "{event}", "One of a thousand", "region", "tier")
#define HISTOGRAM(n) \
	PROBEMETER_HISTOGRAM(ID(n), "bench.m" PROBEMETER_STRING_(NUMBER) "." #n, "s", "One of a thousand", "region", "tier")
TEN(COUNTER, 1)
TEN(HISTOGRAM, 2)

static uint64_t largest_ns, looks;

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#define ADD(n) PROBEMETER_ADD(ID(n), 1, "eu", "gold");
#define RECORD(n) PROBEMETER_RECORD(ID(n), 0.25, "eu", "gold");

static void fire(void)
{
	TEN(ADD, 1)
	TEN(RECORD, 2)
}

static void *spin(void *context)
{
	uint64_t before, now;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(atoi(context), &cpus);
	(void)sched_setaffinity(0, sizeof(cpus), &cpus);
	/* Of this thread alone. Who only waits for the CPU has not been stopped by an attach. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), -20);
	for (before = now_ns();; before = now) {
		char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page != MAP_FAILED) {
			*(volatile char *)page = 1;
			(void)munmap(page, 4096);
		}
		PROBEMETER_ADD(ID(10), 1, "eu", "gold");
		now = now_ns();
		/* Another thread takes the numbers meanwhile; one look more or less does not matter. */
		if (now - before > __atomic_load_n(&largest_ns, __ATOMIC_RELAXED))
			__atomic_store_n(&largest_ns, now - before, __ATOMIC_RELAXED);
		__atomic_store_n(&looks, looks + 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int c;

	fire();
	if (argc > 1 && pthread_create(&thread, NULL, spin, argv[1]))
		return 1;
	printf("ready\n");
	(void)fflush(stdout);
	while ((c = getchar()) != EOF)
		if (c == '\n') {
			printf("%llu %llu\n", (unsigned long long)__atomic_exchange_n(&largest_ns, 0, __ATOMIC_RELAXED),
			       (unsigned long long)__atomic_exchange_n(&looks, 0, __ATOMIC_RELAXED));
			(void)fflush(stdout);
		}
	return 0;
}
