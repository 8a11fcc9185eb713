/* SPDX-License-Identifier: BSD-2-Clause */
/* test_duration.c - durations in the buckets that a histogram in seconds has. */
#include "unit.h"

#include <math.h>

#include "duration.h"

static const struct metric metric = { .kind = PROBEMETER_KIND_HISTOGRAM, .unit = "s" };

/* Count per explicit bucket. */
static void buckets(const struct durations *durations, uint64_t *ret, double *sum)
{
	double room[BUCKET_MAX_DEFAULT_BOUNDS];
	const double *bound;
	uint32_t count = bucket_bounds(&metric, room, &bound);
	size_t i;

	*sum = 0;
	for (i = 0; i < DURATION_OCTAVES; i++) {
		const struct cell *cell = &durations->cell[i];

		ret[bucket_index(&metric, cell->where, bound, count)] += cell->count;
		*sum += bucket_sum(cell->where, cell->sum);
	}
}

/* Each lies in the bucket whose inclusive upper bound is next; the sum is in seconds. */
static void durations_lie_between_their_bounds(void **state)
{
	static const uint64_t ns[] = { 20000000, 15625000, 15625001, 31250000, 1000000000, 1000000001, 700000000000 };
	/* 2^-14 is bound 0, so that 2^k is bound k + 14. */
	static const unsigned bucket[] = { 9, 8, 9, 9, 14, 15, 24 };
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT(ns); i++) {
		struct durations durations = { 0 };
		uint64_t count[BUCKET_MAX_DEFAULT_BOUNDS + 1] = { 0 };
		double sum;

		durations_add(&durations, ns[i]);
		durations_add(&durations, ns[i]);
		buckets(&durations, count, &sum);
		for (j = 0; j < COUNT(count); j++)
			assert_int_equal(count[j], j == bucket[i] ? 2 : 0);
		assert_true(fabs(sum / (2 * (double)ns[i] / 1e9) - 1) < 1e-9);
	}
}

/* The ends of the range take what is beyond. */
static void extreme_durations_are_kept(void **state)
{
	struct durations durations = { 0 };
	uint64_t count[BUCKET_MAX_DEFAULT_BOUNDS + 1] = { 0 };
	double sum;

	(void)state;
	durations_add(&durations, 0);
	durations_add(&durations, 1);
	durations_add(&durations, UINT64_MAX);
	buckets(&durations, count, &sum);
	assert_int_equal(count[0], 2);
	assert_int_equal(count[BUCKET_MAX_DEFAULT_BOUNDS], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_lie_between_their_bounds),
		cmocka_unit_test(extreme_durations_are_kept),
	};

	return cmocka_run_group_tests_name("duration", tests, NULL, NULL);
}
