/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_filled.c - the slots that hold cells, in the cells' order, while cells come, go, and others take their slots.
 */
#include "unit.h"

#include "filled.h"
#include "snapshot.h"

#define GROUPS 64
#define SLOTS (GROUPS * PM_GROUP)

static struct pm_group table[GROUPS];

static struct pm_slot *at(uint32_t slot)
{
	return &table[slot / PM_GROUP].slot[slot % PM_GROUP];
}

static void fill(uint32_t slot, uint32_t random)
{
	*at(slot) = (struct pm_slot){
		.where = PM_WHERE(1 + random % 3, random / 3 % 5) | PM_BUCKET(random / 15 % 7, 0, 0),
		.hash = random / 105 % 11,
	};
}

/* Each slot that is filled is there once, and none before one of a smaller key. */
static void is_right(const struct filled *filled)
{
	bool there[SLOTS] = { false };
	struct pm_cell_key key, before = { 0 };
	size_t want = 0, i;

	for (i = 0; i < SLOTS; i++)
		want += filled_key(table, (uint32_t)i, &key);
	assert_int_equal(filled->count, want);
	for (i = 0; i < want; i++) {
		uint32_t slot = filled->slot[i];

		assert_true(slot < SLOTS && !there[slot]);
		there[slot] = true;
		assert_true(filled_key(table, slot, &key));
		assert_true(!i || snapshot_cell_order(&before, &key) <= 0);
		before = key;
	}
}

static void filled_follows_the_table(void **state)
{
	struct filled filled = { 0 };
	uint32_t random = 12345;
	int round, change;

	(void)state;
	memset(table, 0, sizeof(table));
	for (round = 0; round < 2000; round++) {
		/* Most rounds few, some rounds many; each fourth only new ones, each fourth none at all. */
		int changes = round % 4 == 3 ? 0 : round % 50 == 1 ? SLOTS : round % 5;

		for (change = 0; change < changes; change++) {
			uint32_t slot;

			random = random * 1103515245 + 12345;
			slot = (random >> 8) % SLOTS;
			if (round % 4 == 0 && at(slot)->where)
				continue;
			if (random >> 30 == 0)
				*at(slot) = (struct pm_slot){ 0 };
			else
				fill(slot, random >> 3);
		}
		assert_int_equal(filled_update(&filled, table, SLOTS), 0);
		is_right(&filled);
	}
	filled_free(&filled);
}

/* A slot that a program is filling is for the next call. */
static void filled_waits_for_what_is_busy(void **state)
{
	struct filled filled = { 0 };

	(void)state;
	memset(table, 0, sizeof(table));
	fill(7, 1);
	fill(9, 2);
	at(9)->where |= PM_WHERE_BUSY;
	assert_int_equal(filled_update(&filled, table, SLOTS), 0);
	assert_int_equal(filled.count, 1);
	assert_int_equal(filled.slot[0], 7);
	at(9)->where &= ~PM_WHERE_BUSY;
	assert_int_equal(filled_update(&filled, table, SLOTS), 0);
	is_right(&filled);
	/* Another table knows nothing of this one. */
	assert_int_equal(filled_update(&filled, table, PM_GROUP), 0);
	assert_int_equal(filled.count, 1);
	filled_free(&filled);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filled_follows_the_table),
		cmocka_unit_test(filled_waits_for_what_is_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
