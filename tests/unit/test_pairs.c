/* SPDX-License-Identifier: BSD-2-Clause */
/* test_pairs.c - lists of key=value: decoded whole, or not used at all. */
#include "unit.h"

#include <errno.h>

#include "arena.h"
#include "pairs.h"

static int setup(void **state)
{
	*state = arena_new();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	arena_free(*state);
	return 0;
}

/* Keys and values are decoded, blanks around them dropped, the order kept, empty members skipped. */
static void pairs_parse_decodes_and_trims(void **state)
{
	struct attribute *pair;
	size_t count;

	assert_int_equal(pairs_parse(" service.name = shop ,,a%2Cb=c%3Dd%20,e=f=g==,empty=, ,\tk=caf%C3%a9", *state,
				     &pair, &count), 0);
	assert_int_equal(count, 5);
	assert_string_equal(pair[0].key, "service.name");
	assert_string_equal(pair[0].value, "shop");
	assert_string_equal(pair[1].key, "a,b");
	assert_string_equal(pair[1].value, "c=d ");
	assert_string_equal(pair[2].key, "e");
	assert_string_equal(pair[2].value, "f=g==");
	assert_string_equal(pair[3].key, "empty");
	assert_string_equal(pair[3].value, "");
	assert_string_equal(pair[4].value, "caf\xc3\xa9");
	assert_string_equal(pairs_find(pair, count, "a,b"), "c=d ");
	assert_null(pairs_find(pair, count, "absent"));
}

/* A key that comes twice is there once, with its last value. */
static void pairs_parse_keeps_last_of_twice(void **state)
{
	struct attribute *pair;
	size_t count;

	assert_int_equal(pairs_parse("a=1,b=2,a=3", *state, &pair, &count), 0);
	assert_int_equal(count, 2);
	assert_string_equal(pair[0].key, "a");
	assert_string_equal(pair[0].value, "3");
}

/* One bad member discards the whole variable, and leaves the result untouched. */
static void pairs_parse_refuses_the_whole(void **state)
{
	static const struct {
		const char *text;
		int err;
	} rows[] = {
		{ "good=1,bad", -EINVAL },	{ "good=1,=x", -EINVAL },     { "a=%", -EINVAL },
		{ "a=%4", -EINVAL },		{ "a=%4g", -EINVAL },	      { "a=%zz", -EINVAL },
		{ "a=%00", -EINVAL },		{ "%=1", -EINVAL },	      { "a=%ff", -EILSEQ },
		{ "a=%C3", -EILSEQ },		{ "a=\xff", -EILSEQ },	      { "%ed%a0%80=x", -EILSEQ },
	};
	struct attribute *pair = NULL;
	size_t count = 77;

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(pairs_parse(rows[i].text, *state, &pair, &count), rows[i].err);
		assert_null(pair);
		assert_int_equal(count, 77);
	}
}

/* A stranger's list of thousands of keys costs an error, not quadratic time. */
static void pairs_parse_bounds_members(void **state)
{
	char text[4 * 100000 + 1];
	struct attribute *pair;
	size_t count;

	for (size_t i = 0; i < sizeof(text) - 1; i += 4)
		memcpy(text + i, "a=1,", 4);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(pairs_parse(text, *state, &pair, &count), -EINVAL);
	text[4 * 255] = '\0';
	assert_int_equal(pairs_parse(text, *state, &pair, &count), 0);
	assert_int_equal(count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pairs_parse_decodes_and_trims, setup, teardown),
		cmocka_unit_test_setup_teardown(pairs_parse_keeps_last_of_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(pairs_parse_refuses_the_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(pairs_parse_bounds_members, setup, teardown),
	};

	return cmocka_run_group_tests_name("pairs", tests, NULL, NULL);
}
