/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_journal.c - records survive their writer at any instruction; what is torn is not read.
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"

#define SIZE 4096

static int setup(void **state)
{
	struct journal *journal = calloc(1, sizeof(*journal));

	assert_non_null(journal);
	journal->size = SIZE;
	journal->memory = calloc(1, SIZE);
	assert_non_null(journal->memory);
	journal_init(journal, 42, 1000);
	*state = journal;
	return 0;
}

static int teardown(void **state)
{
	struct journal *journal = *state;

	free(journal->memory);
	free(journal);
	return 0;
}

static void append(struct journal *journal, uint32_t tag, const char *text)
{
	struct journal_pack pack = { 0 };

	pack_begin(&pack);
	pack_number(&pack, strlen(text));
	pack_text(&pack, text);
	assert_int_equal(journal_append(journal, tag, &pack, 100), 0);
	pack_free(&pack);
}

static size_t count(const struct journal *journal)
{
	struct journal_record record;
	size_t offset = 0, n = 0;

	while (journal_next(journal, &offset, &record))
		n++;
	return n;
}

/* What goes in comes out, in its order. */
static void journal_keeps_records(void **state)
{
	static const char *const text[] = { "", "a", "seven..", "eight...", "a longer one than the others" };
	struct journal_record record;
	size_t offset = 0, i;

	for (i = 0; i < 5; i++)
		append(*state, (uint32_t)i + 1, text[i]);
	assert_int_equal(journal_check(*state), 0);
	for (i = 0; i < 5; i++) {
		assert_true(journal_next(*state, &offset, &record));
		assert_int_equal(record.tag, i + 1);
		assert_int_equal(record_number(&record), strlen(text[i]));
		assert_string_equal(record_text(&record), text[i]);
		assert_false(record.failed);
	}
	assert_false(journal_next(*state, &offset, &record));
	assert_int_equal(journal_header(*state)->salt, 42);
	assert_int_equal(journal_header(*state)->start_unix_ns, 1000);
}

/* A writer that dies before the last store leaves the journal as it was, whatever it wrote behind. */
static void journal_ignores_what_was_not_finished(void **state)
{
	struct journal *journal = *state;
	uint8_t before[SIZE];

	append(journal, 1, "first");
	memcpy(before, journal->memory, SIZE);
	append(journal, 2, "second");
	/* All of the second but the header. */
	memcpy(journal->memory, before, sizeof(struct journal_header));
	assert_int_equal(journal_check(journal), 0);
	assert_int_equal(count(journal), 1);
	append(journal, 3, "third");
	assert_int_equal(count(journal), 2);
}

/* No byte that is changed makes a walk leave the memory (address sanitizer), and none loops for ever. */
static void journal_survives_damage(void **state)
{
	struct journal *journal = *state;
	size_t used, i, refused = 0;

	append(journal, 1, "first");
	append(journal, 2, "second");
	used = sizeof(struct journal_header) + journal_header(journal)->used;
	for (i = 0; i < used; i++) {
		uint8_t kept = journal->memory[i];
		unsigned bit;

		for (bit = 0; bit < 8; bit++) {
			journal->memory[i] = (uint8_t)(kept ^ 1u << bit);
			refused += journal_check(journal) == -EBADMSG;
			(void)(journal_check(journal) ? 0 : count(journal));
		}
		journal->memory[i] = kept;
	}
	assert_true(refused > 64);
	assert_int_equal(journal_check(journal), 0);
}

/* A record that has less in it than it should says so, once and for all. */
static void record_says_what_it_lacks(void **state)
{
	struct journal_pack pack = { 0 };
	struct journal_record record;
	size_t offset = 0;

	pack_begin(&pack);
	pack_bytes(&pack, "no end", 6);
	assert_int_equal(journal_append(*state, 1, &pack, 100), 0);
	pack_free(&pack);
	assert_true(journal_next(*state, &offset, &record));
	assert_string_equal(record_text(&record), "");
	assert_true(record.failed);
	assert_int_equal(record_number(&record), 0);
}

/* A share of the memory holds; a full journal stays whole. */
static void journal_has_an_end(void **state)
{
	struct journal *journal = *state;
	struct journal_pack pack = { 0 };
	size_t half = 0, all = 0;
	int err;

	pack_begin(&pack);
	pack_bytes(&pack, "0123456789", 10);
	while (!(err = journal_append(journal, 1, &pack, 50)))
		half++;
	assert_int_equal(err, -ENOSPC);
	while (!(err = journal_append(journal, 2, &pack, 100)))
		all++;
	assert_int_equal(err, -ENOSPC);
	pack_free(&pack);
	assert_in_range(half, (SIZE - 32) / 2 / 24 - 1, (SIZE - 32) / 2 / 24);
	assert_in_range(half + all, (SIZE - 32) / 24 - 1, (SIZE - 32) / 24);
	assert_int_equal(journal_check(journal), 0);
	assert_int_equal(count(journal), half + all);
}

static void empty_memory_is_no_journal(void **state)
{
	struct journal *journal = *state;

	memset(journal->memory, 0, SIZE);
	assert_int_equal(journal_check(journal), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(journal_keeps_records, setup, teardown),
		cmocka_unit_test_setup_teardown(journal_ignores_what_was_not_finished, setup, teardown),
		cmocka_unit_test_setup_teardown(journal_survives_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(record_says_what_it_lacks, setup, teardown),
		cmocka_unit_test_setup_teardown(journal_has_an_end, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_memory_is_no_journal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
