/* SPDX-License-Identifier: BSD-2-Clause */
/* test_arena.c - pieces are zeroed, aligned and apart; all of it goes at once. */
#include "unit.h"

#include "arena.h"

/* Every piece starts where it was asked to, is zero, and overlaps no other. */
static void arena_gives_zeroed_aligned_pieces(void **state)
{
	static const size_t aligns[] = { 1, 2, 4, 8, 16, 64, 4096 };
	struct arena *arena = arena_new();
	unsigned char *piece[700];

	(void)state;
	assert_non_null(arena);
	for (size_t i = 0; i < COUNT(piece); i++) {
		size_t align = aligns[i % COUNT(aligns)], bytes = 1 + i % 97;

		piece[i] = arena_alloc(arena, bytes, align);
		assert_non_null(piece[i]);
		assert_int_equal((uintptr_t)piece[i] % align, 0);
		for (size_t j = 0; j < bytes; j++)
			assert_int_equal(piece[i][j], 0);
		memset(piece[i], (int)(i % 251), bytes);
	}
	for (size_t i = 0; i < COUNT(piece); i++)
		for (size_t j = 0; j < 1 + i % 97; j++)
			assert_int_equal(piece[i][j], i % 251);
	arena_free(arena);
}

/* A piece larger than any block is served, an absurd one refused, an overflowing product too. */
static void arena_serves_big_and_refuses_absurd(void **state)
{
	struct arena *arena = arena_new();
	char *big = arena_alloc(arena, (size_t)9 << 20, 0);
	volatile size_t absurd = SIZE_MAX; /* unknown to the compiler, which would refuse it too */

	(void)state;
	assert_non_null(big);
	big[((size_t)9 << 20) - 1] = 1;
	assert_null(arena_alloc(arena, absurd - 8, 8));
	assert_null(arena_array(arena, absurd / 4, 8));
	assert_null(arena_alloc(arena, 1, 3));
	assert_non_null(arena_alloc(arena, 0, 0));
	arena_free(arena);
}

/* After a reset memory is zero again, and rounds of the same size take no more from the system. */
static void arena_reset_reuses_its_memory(void **state)
{
	struct arena *arena = arena_new();
	size_t settled = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 3000; i++) {
			char *piece = arena_alloc(arena, 100, 8);

			assert_int_equal(piece[0] | piece[99], 0);
			memset(piece, 0xff, 100);
		}
		if (round == 10)
			settled = arena_bytes(arena);
		arena_reset(arena);
	}
	assert_true(settled > 0 && arena_bytes(arena) <= settled);
	arena_free(arena);
}

/* Several blocks become one for all of it, and a round that is much smaller gives the memory back. */
static void arena_fits_the_last_round(void **state)
{
	enum { BIG = 3 << 20, ROUNDS = 4 };
	struct arena *arena = arena_new();
	size_t bytes[ROUNDS];

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < 3; i++)
			assert_non_null(arena_alloc(arena, BIG, 8));
		bytes[round] = arena_bytes(arena);
		arena_reset(arena);
	}
	assert_true(bytes[0] > 3 * BIG);
	assert_in_range(bytes[1], 3 * BIG, 3 * BIG + 3 * BIG / 4);
	assert_int_equal(bytes[3], bytes[1]);
	for (int round = 0; round < 2; round++) {
		assert_non_null(arena_alloc(arena, 1000, 8));
		arena_reset(arena);
	}
	assert_true(arena_bytes(arena) < BIG);
	arena_free(arena);
}

/* Copies and formatted text are the caller's text, closed by NUL. */
static void arena_copies_text(void **state)
{
	struct arena *arena = arena_new();

	(void)state;
	assert_string_equal(arena_strdup(arena, "queue.depth"), "queue.depth");
	assert_string_equal(arena_strndup(arena, "queue.depth", 5), "queue");
	assert_string_equal(arena_strndup(arena, "queue", 50), "queue");
	assert_string_equal(arena_printf(arena, "%s=%d", "x", 42), "x=42");
	arena_free(arena);
	arena_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_gives_zeroed_aligned_pieces),
		cmocka_unit_test(arena_serves_big_and_refuses_absurd),
		cmocka_unit_test(arena_reset_reuses_its_memory),
		cmocka_unit_test(arena_fits_the_last_round),
		cmocka_unit_test(arena_copies_text),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
