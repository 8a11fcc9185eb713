/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop.h - the loop that every contestant runs, in C and C++.
 *
 * Consumes one command per line on stdin, "OPERATION THREADS MILLISECONDS"; produces one line per command on stdout,
 * "NANOSECONDS-PER-CALL CALLS-PER-SECOND". A contestant writes its operations with LOOP() and lists them in a table.
 *
 * Every operation gets the same: a value that varies over eight octaves, and two labels picked anew at each turn out of
 * strings that the compiler cannot see through. Threads up to the number of CPUs are pinned to one each, more of them
 * run where the kernel puts them. Whether time is up is looked at once in CHUNK turns.
 */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 512
#define VALUES 1024
#define MAX_THREADS 1024

struct lane;
struct operation {
	const char *name;
	void (*run)(struct lane *lane);
};

/* What one thread does. */
struct lane {
	const struct operation *operation;
	uint64_t random;
	uint64_t calls;
	uint64_t took_ns;
	int cpu; /* -1: any */
};

static double loop_value[VALUES];
static const char *loop_region[4], *loop_tier[4];
static int loop_stop;
static pthread_barrier_t loop_start;

/* The compiler must have these ready, whatever becomes of the call behind. */
#define LOOP_KEEP(value, region, tier) __asm__ volatile("" : : "x"(value), "r"(region), "r"(tier))

/*
 * An operation: @statement with value, region and tier, in a function of its own that the loop calls. Programs return
 * after they have recorded something, and a return is dear right behind a visit to the kernel, when the CPU's return
 * predictor has been emptied: 75 to 200 ns (measured on Linux 6.18). A probe inside the loop would never pay for it.
 */
#define LOOP(operation_name, statement)                                                                        \
	static __attribute__((noinline)) void operation_name##_call(double value, const char *region,          \
								    const char *tier)                          \
	{                                                                                                      \
		LOOP_KEEP(value, region, tier);                                                                \
		statement;                                                                                     \
		__asm__ volatile(""); /* the call above is no tail call */                                     \
	}                                                                                                      \
	static void operation_name(struct lane *lane)                                                          \
	{                                                                                                      \
		uint64_t random = lane->random, calls = 0;                                                     \
		int i;                                                                                         \
                                                                                                               \
		do {                                                                                           \
			for (i = 0; i < CHUNK; i++) {                                                          \
				random = random * UINT64_C(0xd1342543de82ef95) + 1;                            \
				operation_name##_call(loop_value[random >> 54], loop_region[random >> 40 & 3], \
						      loop_tier[random >> 32 & 3]);                            \
			}                                                                                      \
			calls += CHUNK;                                                                        \
		} while (!__atomic_load_n(&loop_stop, __ATOMIC_RELAXED));                                      \
		lane->random = random;                                                                         \
		lane->calls = calls;                                                                           \
	}

static uint64_t loop_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *loop_thread(void *context)
{
	struct lane *lane = (struct lane *)context;
	cpu_set_t cpus;
	uint64_t start;

	if (lane->cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET(lane->cpu, &cpus);
		(void)sched_setaffinity(0, sizeof(cpus), &cpus);
	}
	(void)pthread_barrier_wait(&loop_start);
	start = loop_now();
	lane->operation->run(lane);
	lane->took_ns = loop_now() - start;
	return NULL;
}

static int loop_command(const struct operation *operation, int threads, int ms)
{
	static struct lane lane[MAX_THREADS];
	static pthread_t id[MAX_THREADS];
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN), i;
	uint64_t calls = 0, took_ns = 0;
	double per_second = 0;

	__atomic_store_n(&loop_stop, 0, __ATOMIC_RELAXED);
	(void)pthread_barrier_init(&loop_start, NULL, (unsigned)threads + 1);
	for (i = 0; i < threads; i++) {
		lane[i].operation = operation;
		lane[i].random = (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15) + 1;
		/* The last CPU first: interrupts tend to be on the first. */
		lane[i].cpu = threads <= cpus ? cpus - 1 - i : -1;
		if (pthread_create(&id[i], NULL, loop_thread, &lane[i]))
			return -1;
	}
	(void)pthread_barrier_wait(&loop_start);
	(void)usleep((unsigned)ms * 1000);
	__atomic_store_n(&loop_stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < threads; i++) {
		(void)pthread_join(id[i], NULL);
		calls += lane[i].calls;
		took_ns += lane[i].took_ns;
		per_second += (double)lane[i].calls * 1e9 / (double)lane[i].took_ns;
	}
	(void)pthread_barrier_destroy(&loop_start);
	printf("%.4f %.0f\n", (double)took_ns / (double)calls, per_second);
	return fflush(stdout);
}

/* From 2^-10 to 2^-2, evenly in the logarithm: 1 ms to 250 ms. Strings on the heap, of lengths that labels have. */
static void loop_stimulus(void)
{
	static const char *const region[] = { "eu-central-1", "us-east-1", "ap-southeast-2", "sa-east-1" };
	static const char *const tier[] = { "standard", "gold", "trial", "internal" };
	double value = 1. / 1024;
	int i;

	for (i = 0; i < VALUES; i++, value *= 1.0054299011128027) /* 2^(8/1024) */
		loop_value[i] = value;
	for (i = 0; i < 4; i++) {
		loop_region[i] = strdup(region[i]);
		loop_tier[i] = strdup(tier[i]);
	}
}

static int loop_main(const struct operation *operation)
{
	const struct operation *found;
	int threads, ms;
	char line[128], name[64];

	loop_stimulus();
	printf("ready\n");
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%63s %d %d", name, &threads, &ms) != 3 || threads < 1 || threads > MAX_THREADS)
			return 2;
		for (found = operation; found->name && strcmp(found->name, name); found++)
			;
		if (!found->name || loop_command(found, threads, ms))
			return 2;
	}
	return 0;
}

#endif
