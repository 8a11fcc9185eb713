/* SPDX-License-Identifier: BSD-2-Clause */
/* test_outage.c - one line when it begins, one when it ends. */
#include "unit.h"

#include "outage.h"

#define S UINT64_C(1000000000)

/* A working collector is not worth a word. */
static void outage_is_quiet_while_exports_arrive(void **state)
{
	struct outage outage = { 0 };
	char line[128] = "old";

	(void)state;
	for (uint64_t i = 1; i < 5; i++)
		assert_int_equal(outage_update(&outage, true, i * S, line, sizeof(line)), OUTAGE_SAME);
	assert_string_equal(line, "");
}

/* Eight failures make one warning, and the first success tells how long and how many. */
static void outage_warns_once_and_sums_up(void **state)
{
	struct outage outage = { 0 };
	char line[128];

	(void)state;
	assert_int_equal(outage_update(&outage, false, 100 * S, line, sizeof(line)), OUTAGE_BEGINS);
	assert_string_equal(line, "quiet until it is back");
	for (uint64_t i = 1; i < 8; i++)
		assert_int_equal(outage_update(&outage, false, (100 + 10 * i) * S, line, sizeof(line)), OUTAGE_SAME);
	assert_int_equal(outage_update(&outage, true, 180 * S, line, sizeof(line)), OUTAGE_ENDS);
	assert_string_equal(line, "back after 1 min 20 s, 8 exports failed");
	assert_int_equal(outage_update(&outage, true, 190 * S, line, sizeof(line)), OUTAGE_SAME);
}

/* The next outage is told anew, with its own count. */
static void outage_starts_over(void **state)
{
	struct outage outage = { 0 };
	char line[128];

	(void)state;
	(void)outage_update(&outage, false, 1 * S, line, sizeof(line));
	(void)outage_update(&outage, false, 2 * S, line, sizeof(line));
	(void)outage_update(&outage, true, 3 * S, line, sizeof(line));
	assert_int_equal(outage_update(&outage, false, 10 * S, line, sizeof(line)), OUTAGE_BEGINS);
	assert_int_equal(outage_update(&outage, true, (10 + 7260) * S, line, sizeof(line)), OUTAGE_ENDS);
	assert_string_equal(line, "back after 2 h 1 min, 1 export failed");
}

/* A first try that fails is told at once, and the export's own failure is then no second warning. */
static void outage_begins_with_the_first_try(void **state)
{
	struct outage outage = { 0 };
	char line[128];

	(void)state;
	assert_int_equal(outage_suspect(&outage, 1 * S, line, sizeof(line)), OUTAGE_BEGINS);
	assert_string_equal(line, "trying again, quiet until it is back");
	assert_int_equal(outage_update(&outage, false, 8 * S, line, sizeof(line)), OUTAGE_SAME);
	assert_int_equal(outage_suspect(&outage, 11 * S, line, sizeof(line)), OUTAGE_SAME);
	assert_int_equal(outage_update(&outage, true, 13 * S, line, sizeof(line)), OUTAGE_ENDS);
	assert_string_equal(line, "back after 12 s, 1 export failed");
	assert_int_equal(outage_suspect(&outage, 21 * S, line, sizeof(line)), OUTAGE_BEGINS);
	assert_int_equal(outage_update(&outage, true, 22 * S, line, sizeof(line)), OUTAGE_ENDS);
	assert_string_equal(line, "back after 1 s, 0 exports failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outage_is_quiet_while_exports_arrive),
		cmocka_unit_test(outage_warns_once_and_sums_up),
		cmocka_unit_test(outage_starts_over),
		cmocka_unit_test(outage_begins_with_the_first_try),
	};

	return cmocka_run_group_tests_name("outage", tests, NULL, NULL);
}
