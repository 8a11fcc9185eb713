/* SPDX-License-Identifier: BSD-2-Clause */
/* utf8.h - valid UTF-8 out of bytes that a stranger chose. */
#ifndef PROBEMETER_UTF8_H
#define PROBEMETER_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * utf8_next - the character that starts at @in
 * @in, @length: the bytes; @length > 0
 * @ret:         its code point, or U+FFFD for an invalid sequence
 *
 * Return: bytes taken, at least 1. Of an invalid sequence that is the maximal subpart, so that each becomes one U+FFFD.
 * Source: The Unicode Standard, 3.9, "U+FFFD Substitution of Maximal Subparts"; table 3-7.
 */
size_t utf8_next(const char *in, size_t length, uint32_t *ret);

/**
 * utf8_clean - copy text, each invalid sequence replaced by U+FFFD
 * @in, @length: any bytes, NUL among them too; may be NULL if @length is 0
 * @out:         takes at most @out_size bytes, the closing NUL included; cut at a character, never inside one;
 *               may be NULL if @out_size is 0. A NUL in @in is copied as it is: callers with C strings pass strlen().
 *
 * Return: bytes that the whole text needs without the NUL, as snprintf(): cut if the result is >= @out_size.
 */
size_t utf8_clean(const char *in, size_t length, char *out, size_t out_size);

/**
 * utf8_printable - as utf8_clean(), and safe for a terminal or a log
 *
 * Control characters come out as \n, \r, \t or \xNN, characters that reorder or break lines as \u{NNNN}.
 */
size_t utf8_printable(const char *in, size_t length, char *out, size_t out_size);

/* Are these bytes valid UTF-8 as they stand? */
bool utf8_valid(const char *text, size_t length);

/* Columns that a terminal gives to the character: 0 for a combining or invisible one, 2 for a wide one, else 1. A
 * control character counts as 1; callers escape those. */
int utf8_columns(uint32_t code);

#endif
