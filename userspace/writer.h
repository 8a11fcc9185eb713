/* SPDX-License-Identifier: BSD-2-Clause */
/* writer.h - text of unknown length, written once, front to back. */
#ifndef PROBEMETER_WRITER_H
#define PROBEMETER_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WRITER_INTEGER_BYTES 20 /* "18446744073709551615" */
#define WRITER_REAL_BYTES 28 /* "-1.7976931348623157e+308" and its NUL */
#define WRITER_REAL_MEMO 256

/* Bounds come again with each point of a histogram, and are the dearest to print. */
struct writer_real {
	double value;
	uint32_t length; /* 0: not used yet */
	char text[WRITER_REAL_BYTES];
};

/* Zeroed is right to start with. @bytes are malloc()'s, and the caller's to free. */
struct writer {
	uint8_t *bytes;
	size_t size, room;
	bool failed; /* memory is short: nothing is written any more */
	/* NULL: all of it stays. Takes what there is whenever writer_rest() finds enough; what is left at the end is the caller's. */
	void (*drain)(void *context, const uint8_t *bytes, size_t size);
	void *context;
	struct writer_real memo[WRITER_REAL_MEMO];
};

/* Room for @more bytes at the end, or NULL; who writes there adds to @size. */
uint8_t *writer_reserve(struct writer *writer, size_t more);

/* Nobody looks back at what is written so far: it may go, if it has somewhere to go. */
void writer_rest(struct writer *writer);

void writer_put(struct writer *writer, const void *bytes, size_t size);
void writer_byte(struct writer *writer, char byte);
void writer_text(struct writer *writer, const char *text);

/* The digits of @value at @to, where there is room for WRITER_INTEGER_BYTES. Return: the place behind them. */
uint8_t *writer_digits(uint8_t *to, uint64_t value);

void writer_unsigned(struct writer *writer, uint64_t value);
void writer_signed(struct writer *writer, int64_t value);

/* The fewest digits that read back as @value, which is finite; a whole number below 10^15 has no point. */
void writer_real(struct writer *writer, double value);

/* @text, valid UTF-8, as a string of JSON, quotes included. */
void writer_json_text(struct writer *writer, const char *text);

#endif
