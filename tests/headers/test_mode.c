/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mode.c - what example_test_mode.c does not show of -DPROBEMETER_TEST: threads, several translation units, each
 * kind's arithmetic, wildcards, and a malloc that fails. Compiles as C11 and C++17; test_mode_other.c is the other unit.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static int malloc_fails;

static void *failing_malloc(size_t size)
{
	return malloc_fails ? NULL : malloc(size);
}
#define malloc failing_malloc
#include "test_mode.h"
#undef malloc

#define EXPECT(test)                                                                     \
	do {                                                                             \
		if (!(test)) {                                                           \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #test); \
			exit(1);                                                         \
		}                                                                        \
	} while (0)

#define THREADS 8
#define ROUNDS 5000

static void *fire_from_thread(void *unused)
{
	int i;

	(void)unused;
	for (i = 0; i < ROUNDS; i++) {
		PROBEMETER_ADD(t_counter, 2, i % 2 ? "odd" : "even", "x");
		PROBEMETER_ADD(t_updown, i % 2 ? -1 : 1);
		PROBEMETER_RECORD(t_histogram, 0.5, "x");
	}
	return NULL;
}

/* No use is lost between threads. */
static void threads_lose_nothing(void)
{
	pthread_t thread[THREADS];
	const struct probemeter_test_event *event;
	unsigned long events = 0;
	int i;

	probemeter_test_reset();
	for (i = 0; i < THREADS; i++)
		EXPECT(!pthread_create(&thread[i], NULL, fire_from_thread, NULL));
	for (i = 0; i < THREADS; i++)
		EXPECT(!pthread_join(thread[i], NULL));
	EXPECT(PROBEMETER_TEST_CALLS(t_counter, "odd", "x") == THREADS * ROUNDS / 2);
	EXPECT(PROBEMETER_TEST_TOTAL(t_counter, PROBEMETER_TEST_ANY, "x") == 2.0 * THREADS * ROUNDS);
	EXPECT(PROBEMETER_TEST_TOTAL(t_updown) == 0);
	EXPECT(PROBEMETER_TEST_TOTAL(t_histogram, "x") == 0.5 * THREADS * ROUNDS);
	for (event = probemeter_test_first(); event; event = probemeter_test_next(event))
		events++;
	EXPECT(events == 3ul * THREADS * ROUNDS);
}

/* A use in another translation unit, of the other language too, is seen here. */
static void units_share_one_record(void)
{
	probemeter_test_reset();
	fire_from_other_unit(41);
	PROBEMETER_ADD(t_counter, 1, "other", NULL);
	EXPECT(PROBEMETER_TEST_TOTAL(t_counter, "other", "") == 42);
	EXPECT(PROBEMETER_TEST_CALLS(t_counter, "other", NULL) == 2);
}

/* SET replaces, ADD adds, per label values. */
static void levels_keep_their_arithmetic(void)
{
	probemeter_test_reset();
	PROBEMETER_ADD(t_updown, 5);
	PROBEMETER_SET(t_updown, 3);
	PROBEMETER_ADD(t_updown, -4);
	EXPECT(PROBEMETER_TEST_TOTAL(t_updown) == -1);
	EXPECT(PROBEMETER_TEST_LAST(t_updown) == -4);
	PROBEMETER_SET(t_latest, 7, "a");
	PROBEMETER_SET(t_latest, 8, "b");
	PROBEMETER_SET(t_latest, 9, "a");
	EXPECT(PROBEMETER_TEST_TOTAL(t_latest, "a") == 9 && PROBEMETER_TEST_TOTAL(t_latest, "b") == 8);
	EXPECT(PROBEMETER_TEST_TOTAL(t_latest) == 17 && PROBEMETER_TEST_LAST(t_latest) == 9);
	PROBEMETER_SET(t_gauge, 1.25f);
	PROBEMETER_SET(t_gauge, 2);
	EXPECT(PROBEMETER_TEST_TOTAL(t_gauge) == 2);
	PROBEMETER_RECORD(t_bounds, 3);
	EXPECT(PROBEMETER_TEST_TOTAL(t_bounds) == 3);
	/* A value that only says "any" is no wildcard. */
	PROBEMETER_RECORD(t_histogram, 1, "(any)");
	PROBEMETER_RECORD(t_histogram, 2, "x");
	EXPECT(PROBEMETER_TEST_CALLS(t_histogram, "(any)") == 1);
	EXPECT(PROBEMETER_TEST_CALLS(t_histogram, PROBEMETER_TEST_ANY) == 2);
	/* Never asked for before: 0 calls, and no last value. */
	EXPECT(PROBEMETER_TEST_CALLS(t_counter, "never", "x") == 0 && PROBEMETER_TEST_TOTAL(t_counter, "never", "x") == 0);
	EXPECT(PROBEMETER_TEST_LAST(t_counter, "never", "x") != PROBEMETER_TEST_LAST(t_counter, "never", "x"));
}

/* Without memory a use is counted as lost, and nothing else happens. */
static void no_memory_is_survived(void)
{
	probemeter_test_reset();
	malloc_fails = 1;
	PROBEMETER_ADD(t_counter, 1, "a", "b");
	PROBEMETER_RECORD(t_histogram, 1, "a");
	malloc_fails = 0;
	EXPECT(probemeter_test_lost() == 2 && PROBEMETER_TEST_CALLS(t_counter) == 0);
	PROBEMETER_ADD(t_counter, 1, "a", "b");
	EXPECT(PROBEMETER_TEST_TOTAL(t_counter, "a", "b") == 1);
}

/* A duration comes in the declared unit. */
static void durations_are_converted(void)
{
	uint64_t start;

	probemeter_test_reset();
	start = PROBEMETER_START(t_bounds) - UINT64_C(2000000000);
	PROBEMETER_RECORD_SINCE(t_bounds, start);
	PROBEMETER_RECORD_SINCE(t_histogram, start, "x");
	PROBEMETER_RECORD_SINCE(t_histogram, 0, "x");
	EXPECT(PROBEMETER_TEST_LAST(t_bounds) >= 2000 && PROBEMETER_TEST_LAST(t_bounds) < 60000);
	EXPECT(PROBEMETER_TEST_LAST(t_histogram, "x") >= 2 && PROBEMETER_TEST_LAST(t_histogram, "x") < 60);
	EXPECT(PROBEMETER_TEST_CALLS(t_histogram) == 1);
}

int main(void)
{
	threads_lose_nothing();
	units_share_one_record();
	levels_keep_their_arithmetic();
	no_memory_is_survived();
	durations_are_converted();
	probemeter_test_reset();
	return 0;
}
