/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wall.c - times of points while the wall clock is set forwards and backwards.
 */
#include "unit.h"

#include "wall.h"

#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(1700000000) * SECOND)

/* Undisturbed, it is the wall clock. */
static void wall_is_the_clock(void **state)
{
	struct wall wall = { 0 };
	uint64_t back, i;

	(void)state;
	for (i = 0; i < 100; i++) {
		assert_int_equal(wall_now(&wall, START + i * SECOND, 5 + i * SECOND, &back), START + i * SECOND);
		assert_int_equal(back, 0);
	}
}

/* Forwards it follows at once, as it does after a suspend, when only the wall clock went on. */
static void wall_follows_forwards(void **state)
{
	struct wall wall = { 0 };
	uint64_t back;

	(void)state;
	(void)wall_now(&wall, START, 5, &back);
	assert_int_equal(wall_now(&wall, START + 8 * 3600 * SECOND, 6, &back), START + 8 * 3600 * SECOND);
	assert_int_equal(back, 0);
}

/* Set back by ten seconds: said once, in order all the time, and caught up after twenty. */
static void wall_catches_up(void **state)
{
	struct wall wall = { 0 };
	uint64_t back, last, now, i;

	(void)state;
	last = wall_now(&wall, START + 100 * SECOND, 100 * SECOND, &back);
	for (i = 1; i <= 30; i++) {
		now = wall_now(&wall, START + (90 + i) * SECOND, (100 + i) * SECOND, &back);
		assert_int_equal(back, i == 1 ? 10 * SECOND : 0);
		assert_true(now > last);
		if (i > 20)
			assert_int_equal(now, START + (90 + i) * SECOND);
		else
			assert_true(now > START + (90 + i) * SECOND);
		last = now;
	}
}

/* What an earlier agent said holds too. */
static void wall_begins_after(void **state)
{
	struct wall wall = { 0 };
	uint64_t back;

	(void)state;
	wall_after(&wall, START + SECOND, 5);
	assert_int_equal(wall_now(&wall, START, 7, &back), START + SECOND + 2);
	assert_int_equal(back, SECOND + 2);
	wall_after(&wall, START, 8);
	assert_true(wall_now(&wall, START, 9, &back) > START + SECOND);
}

/* What an earlier agent told last holds, unless the clock must have been wrong then. */
static void wall_resumes(void **state)
{
	struct wall wall = { 0 };
	uint64_t back;

	(void)state;
	assert_true(wall_resume(&wall, 0, START, 4));
	assert_int_equal(wall_now(&wall, START, 5, &back), START);
	assert_true(wall_resume(&wall, START + WALL_LATE_NS, START, 5));
	assert_int_equal(wall_now(&wall, START, 7, &back), START + WALL_LATE_NS + 2);
	wall = (struct wall){ 0 };
	assert_false(wall_resume(&wall, START + WALL_LATE_NS + 1, START, 5));
	assert_int_equal(wall_now(&wall, START, 7, &back), START);
}

/* Whatever the clock does. */
static void wall_never_goes_back(void **state)
{
	struct wall wall = { 0 };
	uint64_t unix_ns = START, monotonic = 1, last = 0, back, i, step;

	(void)state;
	srand(7);
	for (i = 0; i < 200000; i++) {
		uint64_t now;

		step = (uint64_t)rand() % SECOND;
		monotonic += step + 1;
		unix_ns += step + 1;
		if (rand() % 10 == 0)
			unix_ns += (uint64_t)(rand() % 2000 - 1000) * SECOND;
		now = wall_now(&wall, unix_ns, monotonic, &back);
		assert_true(now > last);
		assert_true(now >= unix_ns);
		last = now;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wall_is_the_clock),   cmocka_unit_test(wall_follows_forwards),
		cmocka_unit_test(wall_catches_up),     cmocka_unit_test(wall_begins_after),
		cmocka_unit_test(wall_resumes),
		cmocka_unit_test(wall_never_goes_back),
	};

	return cmocka_run_group_tests_name("wall", tests, NULL, NULL);
}
