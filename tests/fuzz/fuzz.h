/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz.h - what fuzz targets share: taking an input apart, and promises whose breach ends the run.
 *
 * A target is one function that libFuzzer calls with bytes. Its first comment has a line "reaches:" with the functions
 * that a run must have entered, which run.py checks.
 */
#ifndef PROBEMETER_FUZZ_H
#define PROBEMETER_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "utf8.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define REQUIRE(promise)                                                                                     \
	do {                                                                                                 \
		if (!(promise)) {                                                                            \
			(void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #promise);          \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What of the input is not used yet. Where it has ended, zeros follow. */
struct input {
	const uint8_t *at;
	size_t size;
};

static inline uint64_t take(struct input *input, size_t bytes)
{
	uint64_t value = 0;
	size_t n = bytes < input->size ? bytes : input->size;

	if (n)
		memcpy(&value, input->at, n);
	input->at += n;
	input->size -= n;
	return value;
}

/* The bytes up to @end, which is dropped, as a string; @ret_length: also with NULs in it. */
static inline char *take_text(struct input *input, char end, struct arena *arena, size_t *ret_length)
{
	const uint8_t *found = input->size ? memchr(input->at, end, input->size) : NULL;
	size_t length = found ? (size_t)(found - input->at) : input->size;
	char *text = arena_alloc(arena, length + 1, 1);

	REQUIRE(text);
	if (length)
		memcpy(text, input->at, length);
	input->at += length + !!found;
	input->size -= length + !!found;
	if (ret_length)
		*ret_length = length;
	return text;
}

/* At most @most bytes, the first of which says how many, made valid UTF-8 without NUL. */
static inline const char *take_label(struct input *input, size_t most, struct arena *arena)
{
	size_t length = take(input, 1);
	char raw[256] = "", *clean;

	length = length < most ? length : most;
	length = length < input->size ? length : input->size;
	if (length)
		memcpy(raw, input->at, length);
	input->at += length;
	input->size -= length;
	length = strnlen(raw, length);
	clean = arena_alloc(arena, 3 * length + 1, 1);
	REQUIRE(clean);
	(void)utf8_clean(raw, length, clean, 3 * length + 1);
	return clean;
}

static inline bool text_valid(const char *text)
{
	return text && utf8_valid(text, strlen(text));
}

/* Nothing that a terminal obeys or a log takes for a line. */
static inline bool text_safe(const char *text, const char *but)
{
	uint32_t code;

	if (!text_valid(text))
		return false;
	for (size_t length = strlen(text), i = 0; i < length;) {
		i += utf8_next(text + i, length - i, &code);
		if ((code < 0x20 && !strchr(but, (int)code)) || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
		    (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
			return false;
	}
	return true;
}

#endif
