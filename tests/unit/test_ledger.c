/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ledger.c - readings of words that wrap become totals that never step back.
 */
#include "unit.h"

#include <errno.h>

#include "ledger.h"

/* Absurd requests are answered with NULL, as without a sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static struct raw_cell raw(uint32_t metric, uint64_t hash, uint64_t bucket, uint64_t count, uint64_t sum)
{
	return (struct raw_cell){ .key = { hash, PM_WHERE(1, metric) | bucket }, .total = { count, sum } };
}

static int tear_down(void **state)
{
	ledger_free(*state);
	free(*state);
	return 0;
}

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct ledger));
	return 0;
}

/* The first reading counts from zero: the kernel's words began there. */
static void first_reading_is_the_total(void **state)
{
	struct ledger *ledger = *state;
	const struct raw_cell reading[] = { raw(1, 5, 0, 2, 40), raw(1, 6, PM_BUCKET(1023, 0, 3), 1, 9) };

	assert_int_equal(ledger_update(ledger, reading, 2), 0);
	assert_int_equal(ledger->count, 2);
	assert_int_equal(ledger->total[0].count, 2);
	assert_true(ledger->total[0].sum == 40);
	assert_int_equal(ledger->total[1].where, PM_WHERE(1, 1) | PM_BUCKET(1023, 0, 3));
	assert_true(ledger->total[1].sum == 9);
}

/* A word that wraps went on, and the total passes 2^64. */
static void sums_go_on_past_2_to_the_64(void **state)
{
	static const struct {
		uint64_t word;
		uint64_t high, low; /* the total */
	} expected[] = {
		{ 0xfffffffffffffff0, 0, 0xfffffffffffffff0 },
		{ 0x10, 1, 0x10 },
		{ 0x10, 1, 0x10 },
		{ 0x0f, 2, 0x0f }, /* 2^64 - 1 came: all that can be told apart */
		{ 0x8000000000000000, 2, 0x8000000000000000 },
		{ 0, 3, 0 },
	};
	struct ledger *ledger = *state;

	for (size_t i = 0; i < COUNT(expected); i++) {
		const struct raw_cell reading = raw(1, 5, 0, i + 1, expected[i].word);

		assert_int_equal(ledger_update(ledger, &reading, 1), 0);
		assert_int_equal(ledger->total[0].count, i + 1);
		assert_true(ledger->total[0].sum == ((uint128_t)expected[i].high << 64 | expected[i].low));
	}
}

/* New cells come in anywhere in the order; those that were there keep their totals. */
static void new_cells_leave_the_others_alone(void **state)
{
	struct ledger *ledger = *state;
	const struct raw_cell first[] = { raw(2, 5, 0, 1, UINT64_MAX), raw(4, 1, 0, 1, 7) };
	const struct raw_cell second[] = {
		raw(1, 9, 0, 3, 3),	  /* before all */
		raw(2, 5, 0, 2, 1),	  /* wrapped */
		raw(2, 5, 1, 4, 4),	  /* another bucket of the same series */
		raw(2, 6, 0, 5, 5),	  /* another series */
		raw(4, 1, 0, 2, 8),	  /* one more */
		raw(4, UINT64_MAX, 0, 6, 6), /* behind all */
	};
	static const struct {
		uint64_t count;
		uint128_t sum;
	} expected[] = { { 3, 3 }, { 2, (uint128_t)1 << 64 | 1 }, { 4, 4 }, { 5, 5 }, { 2, 8 }, { 6, 6 } };

	assert_int_equal(ledger_update(ledger, first, 2), 0);
	assert_int_equal(ledger_update(ledger, second, 6), 0);
	assert_int_equal(ledger->count, 6);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(ledger->total[i].where, second[i].key.where);
		assert_int_equal(ledger->total[i].count, expected[i].count);
		assert_true(ledger->total[i].sum == expected[i].sum);
	}
}

/* A cell that is gone has no total; if its key comes again, it counts from zero as a new one. */
static void vanished_cells_are_forgotten(void **state)
{
	struct ledger *ledger = *state;
	const struct raw_cell three[] = { raw(1, 1, 0, 1, 10), raw(1, 2, 0, 1, 20), raw(1, 3, 0, 1, 30) };
	const struct raw_cell last[] = { raw(1, 3, 0, 2, 31) };
	const struct raw_cell again[] = { raw(1, 1, 0, 1, 4), raw(1, 3, 0, 3, 33) };

	assert_int_equal(ledger_update(ledger, three, 3), 0);
	assert_int_equal(ledger_update(ledger, last, 1), 0);
	assert_int_equal(ledger->count, 1);
	assert_true(ledger->total[0].sum == 31);
	assert_int_equal(ledger_update(ledger, again, 2), 0);
	assert_true(ledger->total[0].sum == 4);
	assert_true(ledger->total[1].sum == 33);
	assert_int_equal(ledger_update(ledger, NULL, 0), 0);
	assert_int_equal(ledger->count, 0);
}

/* Hashes are unsigned in the order: one with the top bit set is the larger one. */
static void order_is_that_of_unsigned_words(void **state)
{
	struct ledger *ledger = *state;
	const struct raw_cell reading[] = { raw(1, 1, 0, 1, 10), raw(1, 1ull << 63, 0, 1, 20),
					    raw(0xfffff, 0, PM_BUCKET_OVERFLOW, 1, 30) };
	const struct raw_cell more[] = { raw(1, 1, 0, 2, 11), raw(1, 1ull << 63, 0, 2, 22),
					 raw(0xfffff, 0, PM_BUCKET_OVERFLOW, 2, 33) };

	assert_int_equal(ledger_update(ledger, reading, 3), 0);
	assert_int_equal(ledger_update(ledger, more, 3), 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ledger->total[i].count, 2);
		assert_true(ledger->total[i].sum == more[i].total.sum);
	}
}

/* Without memory the old totals stand, and the next reading catches up. */
static void memory_shortage_changes_nothing(void **state)
{
	struct ledger *ledger = *state;
	const struct raw_cell first[] = { raw(1, 1, 0, 1, UINT64_MAX), raw(1, 2, 0, 1, 20) };
	const struct raw_cell second[] = { raw(1, 1, 0, 2, 4), raw(1, 2, 0, 2, 25) };

	assert_int_equal(ledger_update(ledger, first, 2), 0);
	/* The cells behind the second one are never looked at. */
	assert_int_equal(ledger_update(ledger, second, (size_t)1 << 56), -ENOMEM);
	assert_int_equal(ledger->count, 2);
	assert_true(ledger->total[0].sum == UINT64_MAX);
	assert_true(ledger->total[1].sum == 20);
	assert_int_equal(ledger_update(ledger, second, 2), 0);
	assert_true(ledger->total[0].sum == ((uint128_t)1 << 64 | 4));
	assert_true(ledger->total[1].sum == 25);
}

/* Thousands of readings of cells that come and grow at random: each total is what was added, to the unit. */
static void totals_never_step_back(void **state)
{
	enum { KEYS = 64, ROUNDS = 3000 };
	struct ledger *ledger = *state;
	uint128_t truth[KEYS] = { 0 }, before[KEYS] = { 0 };
	uint64_t events[KEYS] = { 0 }, seed = 11;
	unsigned born = 1;

	for (int round = 0; round < ROUNDS; round++) {
		struct raw_cell reading[KEYS];
		unsigned k;

		for (k = 0; k < born; k++) {
			uint64_t amount;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			if (seed >> 62)
				continue; /* quiet this time */
			/* From small to nearly 2^64 in one interval. */
			amount = (seed * 0x9e3779b97f4a7c15ull) >> (seed >> 33) % 64;
			truth[k] += amount;
			events[k] += 1 + (seed >> 40);
		}
		for (k = 0; k < born; k++)
			reading[k] = raw(1 + k / 8, k % 8 * 0x2000000000000000ull, 0, events[k], (uint64_t)truth[k]);
		assert_int_equal(ledger_update(ledger, reading, born), 0);
		assert_int_equal(ledger->count, born);
		for (k = 0; k < born; k++) {
			assert_true(ledger->total[k].sum == truth[k]);
			assert_int_equal(ledger->total[k].count, events[k]);
			assert_true(ledger->total[k].sum >= before[k]);
			before[k] = ledger->total[k].sum;
		}
		/* Each key lies behind those before it, so that an index is a key. */
		if (round % 40 == 39 && born < KEYS)
			born++;
	}
	assert_true(truth[0] >> 64 > 0);
}

/* The id of a service that is gone is another one's: the same key counts from zero again, the neighbours' go on. */
static void forgotten_services_count_from_zero(void **state)
{
	struct ledger *ledger = *state;
	struct raw_cell reading[] = { raw(1, 5, 0, 2, 40), raw(1, 6, 0, 3, 50), raw(2, 5, 0, 4, 60) };
	bool gone[PM_MAX_SERVICES] = { false };
	size_t i;

	for (i = 0; i < 3; i++)
		reading[i].key.where = PM_WHERE(i + 1, 1);
	gone[2] = true;
	assert_int_equal(ledger_update(ledger, reading, 3), 0);
	ledger_forget(ledger, gone);
	assert_int_equal(ledger->count, 2);
	reading[0].total = (struct pm_cell){ 3, 45 };
	reading[1].total = (struct pm_cell){ 1, 7 };
	assert_int_equal(ledger_update(ledger, reading, 3), 0);
	assert_int_equal(ledger->total[0].count, 3);
	assert_true(ledger->total[0].sum == 45);
	assert_int_equal(ledger->total[1].count, 1);
	assert_true(ledger->total[1].sum == 7);
	assert_true(ledger->total[2].sum == 60);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_reading_is_the_total),
		TEST(forgotten_services_count_from_zero),
		TEST(sums_go_on_past_2_to_the_64),
		TEST(new_cells_leave_the_others_alone),
		TEST(vanished_cells_are_forgotten),
		TEST(order_is_that_of_unsigned_words),
		TEST(memory_shortage_changes_nothing),
		TEST(totals_never_step_back),
	};

	return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
