/* SPDX-License-Identifier: BSD-2-Clause */
/* test_utf8.c - whatever goes in, valid UTF-8 comes out. */
#include "unit.h"

#include "utf8.h"

#define R "\xef\xbf\xbd" /* U+FFFD */

/* Valid text passes as it is; every invalid sequence becomes as many U+FFFD as it has maximal subparts. */
static void utf8_clean_replaces_invalid_sequences(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf" },
		{ R, R },
		{ "a\x80" "b", "a" R "b" },
		{ "\xff\xfe", R R },
		{ "\xc0\x80", R R }, /* overlong NUL */
		{ "\xc1\xbf", R R },
		{ "\xe0\x9f\xbf", R R R }, /* overlong */
		{ "\xf0\x8f\xbf\xbf", R R R R },
		{ "\xed\xa0\x80", R R R }, /* a lone surrogate */
		{ "\xf4\x90\x80\x80", R R R R }, /* past U+10FFFF */
		{ "\xf5\x80\x80\x80", R R R R },
		{ "\xe2\x82", R }, /* torn at the end */
		{ "\xf0\x9f\x98", R },
		{ "\xe2\x82x", R "x" },
		{ "\xf0\x9f\x98\xc3\xa9", R "\xc3\xa9" },
		/* The example of the Unicode Standard, table 3-11. */
		{ "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "\x41" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t length = strlen(rows[i].in), want = strlen(rows[i].out);
		char *copy = malloc(length ? length : 1), out[64]; /* exact, so that reading on is found */

		memcpy(copy, rows[i].in, length);
		assert_int_equal(utf8_clean(copy, length, out, sizeof(out)), want);
		assert_string_equal(out, rows[i].out);
		assert_true(utf8_valid(out, want));
		assert_int_equal(utf8_valid(copy, length), !strcmp(rows[i].in, rows[i].out));
		free(copy);
	}
}

/* Whatever the room, the output is closed, valid, a prefix, and no character is torn or skipped. */
static void utf8_clean_cuts_at_characters(void **state)
{
	static const char in[] = "a\xc3\xa9\xf0\x9f\x98\x80z\x80";
	static const size_t fits[] = { 0, 0, 1, 1, 3, 3, 3, 3, 7, 8, 8, 8, 11 };
	char whole[32], out[32];
	size_t need = utf8_clean(in, sizeof(in) - 1, whole, sizeof(whole));

	(void)state;
	assert_int_equal(need, 11);
	for (size_t room = 1; room < COUNT(fits); room++) {
		memset(out, '#', sizeof(out));
		assert_int_equal(utf8_clean(in, sizeof(in) - 1, out, room), need);
		assert_int_equal(strlen(out), fits[room]);
		assert_memory_equal(out, whole, fits[room]);
		assert_int_equal(out[room], '#');
	}
	assert_int_equal(utf8_clean(in, sizeof(in) - 1, NULL, 0), need);
}

/* Random bytes never come out invalid, nor read or write past their ends. */
static void utf8_clean_survives_random_bytes(void **state)
{
	uint32_t random = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t length = (random >> 8) % 24;
		char *in = malloc(length + 1), out[80];

		for (size_t i = 0; i < length; i++) {
			random = random * 1664525 + 1013904223;
			/* Mostly bytes that matter to UTF-8. */
			in[i] = (char)(random >> 30 ? 0x80 | random >> 20 : random >> 20);
		}
		in = realloc(in, length ? length : 1);
		assert_true(utf8_clean(in, length, out, sizeof(out)) < sizeof(out));
		assert_true(utf8_valid(out, strlen(out)));
		free(in);
		random = random * 1664525 + 1013904223;
	}
}

/* What would steer a terminal or start a line is spelled out. */
static void utf8_printable_spells_out_controls(void **state)
{
	static const char in[] = "a\n\t\r\x1b[31m\x7f\xc2\x85\xe2\x80\xae\xc3\xa9\xff\\n";
	char out[128];

	(void)state;
	(void)utf8_printable(in, sizeof(in) - 1, out, sizeof(out));
	assert_string_equal(out, "a\\n\\t\\r\\x1b[31m\\x7f\\x85\\u{202e}\xc3\xa9" R "\\n");
	(void)utf8_printable("\0x", 2, out, sizeof(out));
	assert_string_equal(out, "\\x00x");
}

/* A table stays straight with accents, wide and combining characters. */
static void utf8_columns_counts_cells(void **state)
{
	(void)state;
	assert_int_equal(utf8_columns('a'), 1);
	assert_int_equal(utf8_columns(0xe9), 1);
	assert_int_equal(utf8_columns(0x301), 0);
	assert_int_equal(utf8_columns(0x6f22), 2);
	assert_int_equal(utf8_columns(0x1f600), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_clean_replaces_invalid_sequences),
		cmocka_unit_test(utf8_clean_cuts_at_characters),
		cmocka_unit_test(utf8_clean_survives_random_bytes),
		cmocka_unit_test(utf8_printable_spells_out_controls),
		cmocka_unit_test(utf8_columns_counts_cells),
	};

	return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
