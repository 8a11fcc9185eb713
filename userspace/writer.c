/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer.c - a growing text, and the numbers and strings in it.
 *
 * Consumes values, produces bytes in memory; the one place where exporters of text print numbers. Which values stand
 * where is for its callers.
 */
#include "writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITER_FIRST_BYTES ((size_t)64 << 10)
#define WRITER_DRAIN_BYTES (WRITER_FIRST_BYTES / 2)

uint8_t *writer_reserve(struct writer *writer, size_t more)
{
	size_t room = writer->room ? writer->room : WRITER_FIRST_BYTES;
	uint8_t *grown;

	if (writer->failed)
		return NULL;
	if (writer->room - writer->size < more) {
		while (room - writer->size < more)
			room *= 2;
		grown = realloc(writer->bytes, room);
		if (!grown) {
			writer->failed = true;
			return NULL;
		}
		writer->bytes = grown;
		writer->room = room;
	}
	return writer->bytes + writer->size;
}

void writer_rest(struct writer *writer)
{
	if (!writer->drain || writer->size < WRITER_DRAIN_BYTES)
		return;
	writer->drain(writer->context, writer->bytes, writer->size);
	writer->size = 0;
}

void writer_put(struct writer *writer, const void *bytes, size_t size)
{
	uint8_t *at = writer_reserve(writer, size);

	if (!at)
		return;
	memcpy(at, bytes, size);
	writer->size += size;
}

void writer_byte(struct writer *writer, char byte)
{
	writer_put(writer, &byte, 1);
}

void writer_text(struct writer *writer, const char *text)
{
	writer_put(writer, text, strlen(text));
}

uint8_t *writer_digits(uint8_t *to, uint64_t value)
{
	uint8_t text[WRITER_INTEGER_BYTES], *at = text + sizeof(text);

	do
		*--at = (uint8_t)('0' + value % 10);
	while (value /= 10);
	return mempcpy(to, at, (size_t)(text + sizeof(text) - at));
}

void writer_unsigned(struct writer *writer, uint64_t value)
{
	uint8_t *at = writer_reserve(writer, WRITER_INTEGER_BYTES);

	if (at)
		writer->size = (size_t)(writer_digits(at, value) - writer->bytes);
}

void writer_signed(struct writer *writer, int64_t value)
{
	if (value < 0)
		writer_byte(writer, '-');
	writer_unsigned(writer, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* Fifteen digits always do where a text of that length exists at all, but for subnormal numbers, which have fewer. */
static uint32_t real_print(double value, char text[WRITER_REAL_BYTES])
{
	int digits = fabs(value) < 2.2250738585072014e-308 ? 1 : 15, length;

	do
		length = snprintf(text, WRITER_REAL_BYTES, "%.*g", digits++, value);
	while (digits <= 17 && strtod(text, NULL) != value);
	return (uint32_t)length;
}

void writer_real(struct writer *writer, double value)
{
	struct writer_real *real;
	uint64_t bits;

	if (fabs(value) < 1e15 && value == trunc(value) && !(value == 0 && signbit(value))) {
		writer_signed(writer, (int64_t)value);
		return;
	}
	memcpy(&bits, &value, sizeof(bits));
	real = &writer->memo[bits * 0x9e3779b97f4a7c15ull >> 56];
	if (!real->length || real->value != value) {
		real->value = value;
		/* "-0" would be read as an integer, which has no sign there. */
		real->length = value == 0 ? (uint32_t)snprintf(real->text, WRITER_REAL_BYTES, "-0.0") :
					    real_print(value, real->text);
	}
	writer_put(writer, real->text, real->length);
}

/* What must not stand in a string as it is. Everything else, DEL and all of UTF-8 included, may. */
static bool is_special(unsigned char c)
{
	return c < ' ' || c == '"' || c == '\\';
}

void writer_json_text(struct writer *writer, const char *text)
{
	static const char names[] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\',
	};

	writer_byte(writer, '"');
	for (;;) {
		size_t plain = 0;
		unsigned char c;

		while (!is_special((unsigned char)text[plain]))
			plain++;
		writer_put(writer, text, plain);
		text += plain;
		c = (unsigned char)*text++;
		if (!c)
			break;
		if (names[c]) {
			writer_byte(writer, '\\');
			writer_byte(writer, names[c]);
		} else {
			char code[8];

			writer_put(writer, code, (size_t)snprintf(code, sizeof(code), "\\u%04x", c));
		}
	}
	writer_byte(writer, '"');
}
