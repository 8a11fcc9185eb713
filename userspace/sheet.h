/* SPDX-License-Identifier: BSD-2-Clause */
/* sheet.h - rows in an order and in columns, for a terminal of any width and for a pipe. */
#ifndef PROBEMETER_SHEET_H
#define PROBEMETER_SHEET_H

#include <stdio.h>

#include "held.h"

enum sheet_sort { SHEET_RATE, SHEET_VALUE, SHEET_P99, SHEET_NAME, SHEET_SORTS };

#define SHEET_COLUMNS 512 /* at most */
#define SHEET_BYTES (4 * SHEET_COLUMNS)

struct sheet {
	int columns; /* of the terminal, from 20 to SHEET_COLUMNS */
	bool ascii; /* the terminal shows nothing else */
	bool agent; /* the agent's own series too */
	bool still; /* no rates and no trend: there was nothing before */
	enum sheet_sort sort;
	const char *filter; /* only rows with this in service, metric or labels; "" or NULL: all */
};

/* A service's heading, or one of its rows below it. */
struct sheet_line {
	const struct held_service *service;
	const struct held_row *row; /* NULL: the heading */
};

extern const char *const sheet_sort_name[SHEET_SORTS];

/* What is shown, in its order: malloc()'s, one line past the end is not used. NULL if memory is short. */
struct sheet_line *sheet_lines(const struct sheet *sheet, const struct held *held, size_t *count);

/* Parts of a line, one behind the other; each is exactly as wide as the same part of every other line. */
void sheet_name(const struct sheet *sheet, const struct sheet_line *line, char out[SHEET_BYTES]);
void sheet_numbers(const struct sheet *sheet, const struct sheet_line *line, char out[SHEET_BYTES]);
void sheet_trend(const struct sheet *sheet, const struct sheet_line *line, char out[SHEET_BYTES]);
void sheet_captions(const struct sheet *sheet, char out[SHEET_BYTES]);

/* @text, which is printable, cut to @columns, or with @fill made as wide. Return: how wide it is. */
int sheet_fit(const struct sheet *sheet, const char *text, int columns, bool fill, char out[SHEET_BYTES]);

/* All of it as text. @colours: with bold and dim. Return: 0, -ENOMEM, or -errno of the write. */
int sheet_print(const struct sheet *sheet, const struct held *held, bool colours, FILE *out);

#endif
