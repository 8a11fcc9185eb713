/* SPDX-License-Identifier: BSD-2-Clause */
/* test_progress.c - a long step says how far it is, a short one nothing. */
#include "unit.h"

#include "progress.h"

#define MS UINT64_C(1000000)

/* How often a step that reports after each of @count parts of @part_ms is told of. */
static unsigned told(unsigned count, unsigned part_ms)
{
	struct progress progress;
	uint64_t now = 77 * MS;
	unsigned words = 0;

	progress_begin(&progress, now);
	for (unsigned i = 0; i < count; i++) {
		now += part_ms * MS;
		words += progress_due(&progress, now);
	}
	return words;
}

/* Many parts: after two seconds, then every five, however many there are; slow ones: a line for each; a short step: none. */
static void progress_tells_of_long_steps(void **state)
{
	(void)state;
	assert_int_equal(told(12000, 1), 3);
	assert_int_equal(told(4, 5000), 4);
	assert_int_equal(told(1999, 1), 0);
	assert_int_equal(told(1, 2000), 1);
}

/* A second step begins anew. */
static void progress_begins_anew(void **state)
{
	struct progress progress;

	(void)state;
	progress_begin(&progress, 0);
	assert_true(progress_due(&progress, 2500 * MS));
	assert_false(progress_due(&progress, 7400 * MS));
	progress_begin(&progress, 7400 * MS);
	assert_false(progress_due(&progress, 7500 * MS));
	assert_true(progress_due(&progress, 9400 * MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(progress_tells_of_long_steps),
		cmocka_unit_test(progress_begins_anew),
	};

	return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
