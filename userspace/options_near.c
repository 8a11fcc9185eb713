/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options_near.c - "did you mean": the option whose name looks most like a word that is none.
 *
 * Consumes the option table; produces a name of it. What is said with it is its caller's.
 */
#include "options_near.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "options_table.h"

/* How many letters must be changed, added or left out to make @a of @b. Source: Levenshtein. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64], length = strlen(b), diagonal, above, i, j;

	if (length >= sizeof(row) / sizeof(row[0]))
		return length;
	for (j = 0; j <= length; j++)
		row[j] = j;
	for (i = 1; a[i - 1]; i++) {
		diagonal = row[0];
		row[0] = i;
		for (j = 1; j <= length; j++) {
			above = row[j];
			row[j] = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
			row[j] = row[j] > above + 1 ? above + 1 : row[j];
			row[j] = row[j] > row[j - 1] + 1 ? row[j - 1] + 1 : row[j];
			diagonal = above;
		}
	}
	return row[length];
}

const char *option_near_name(const char *word)
{
	const char *best = "endpoint";
	size_t least = SIZE_MAX;

	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		const struct option_row *row = &option_rows[key];
		const char *names[1 + OPTION_VARIABLES] = { option_name(row), row->variable[0], row->variable[1] };

		for (size_t i = 0; row->when != OPTION_FLAG_ONLY && i < sizeof(names) / sizeof(names[0]); i++) {
			size_t far = names[i] ? distance(word, names[i]) : SIZE_MAX;

			if (far < least) {
				least = far;
				best = option_name(row);
			}
		}
	}
	return best;
}

const char *option_near_flag(const char *word, enum command command)
{
	size_t least = strlen(word) / 2 + 1;
	const char *best = NULL;

	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		const struct option_row *row = &option_rows[key];
		size_t far;

		if (!row->flag || (command != COMMAND_NONE && !(row->commands & (1u << command))))
			continue;
		far = distance(word, row->flag);
		if (far < least) {
			least = far;
			best = row->flag;
		}
	}
	return best;
}
