/* SPDX-License-Identifier: BSD-2-Clause */
/* test_patience.c - calls that end in time, and one that ends when a pipe is written to. */
#include "unit.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "patience.h"

static void add_one(void *at)
{
	++*(int *)at;
}

/* What is done is done when the call is back. */
static void work_that_ends_is_done(void **state)
{
	struct patience *patience = NULL;
	int number = 0, i;

	(void)state;
	for (i = 1; i <= 200; i++) {
		assert_int_equal(patience_begin(add_one, &number, 10000, &patience), 0);
		assert_int_equal(number, i);
	}
	assert_null(patience);
}

static void read_byte(void *at)
{
	int *pipes = at;
	char byte;

	pipes[2] = (int)read(pipes[0], &byte, 1);
}

/* What hangs is left behind after the time given, and asked for later. */
static void work_that_hangs_is_left_behind(void **state)
{
	struct timespec before, after;
	struct patience *patience = NULL;
	int pipes[3] = { 0 }, i;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(patience_begin(read_byte, pipes, 50, &patience), -ETIMEDOUT);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 49);
	assert_int_equal(patience_over(patience), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	for (i = 0; i < 10000 && !patience_over(patience); i++)
		(void)usleep(1000);
	assert_true(i < 10000);
	assert_int_equal(pipes[2], 1);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_that_ends_is_done),
		cmocka_unit_test(work_that_hangs_is_left_behind),
	};

	return cmocka_run_group_tests_name("patience", tests, NULL, NULL);
}
