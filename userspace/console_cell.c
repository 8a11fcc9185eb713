/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console_cell.c - which numbers a metric shows, and how a number looks.
 *
 * Consumes one point and its rate, produces short texts that fit a column. Where they stand is console.c's. Pure.
 */
#include "console_cell.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "quantile.h"

/* Digits in groups of three. */
static void format_integer(int64_t value, char *out, size_t out_size)
{
	uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
	char text[32] = "";
	size_t at = sizeof(text) - 1;

	for (int digits = 0; left || !digits; digits++) {
		if (digits && digits % 3 == 0)
			text[--at] = ',';
		text[--at] = (char)('0' + left % 10);
		left /= 10;
	}
	(void)snprintf(out, out_size, "%s%s", value < 0 ? "-" : "", text + at);
}

/* Three or four digits that matter, in at most eight columns. */
static void format_real(double value, char *out, size_t out_size)
{
	double size = fabs(value);
	int decimals = size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4;

	if (value == 0)
		(void)snprintf(out, out_size, "0");
	else if (size >= 1e5 || size < 1e-3 || !isfinite(value))
		(void)snprintf(out, out_size, "%.3g", value);
	else
		(void)snprintf(out, out_size, "%.*f", decimals, value);
}

static void cell_total(const struct row *row, char *out, size_t out_size)
{
	format_integer(row->point->integer, out, out_size);
}

static void cell_real(const struct row *row, char *out, size_t out_size)
{
	format_real(row->point->real, out, out_size);
}

static void cell_count(const struct row *row, char *out, size_t out_size)
{
	format_integer((int64_t)row->point->count, out, out_size);
}

static void cell_rate(const struct row *row, char *out, size_t out_size)
{
	format_real(row->rate, out, out_size);
}

static void cell_mean(const struct row *row, char *out, size_t out_size)
{
	if (row->point->has_sum && row->point->count)
		format_real(row->point->sum / (double)row->point->count, out, out_size);
	else
		(void)snprintf(out, out_size, "-");
}

static void cell_quantile(const struct row *row, double q, char *out, size_t out_size)
{
	double value;
	bool above;

	if (!quantile_estimate(row->point, q, &value, &above)) {
		(void)snprintf(out, out_size, "-");
		return;
	}
	(void)snprintf(out, out_size, "%s", above ? ">" : "");
	format_real(value, out + strlen(out), out_size - strlen(out));
}

static void cell_p50(const struct row *row, char *out, size_t out_size)
{
	cell_quantile(row, 0.5, out, out_size);
}

static void cell_p90(const struct row *row, char *out, size_t out_size)
{
	cell_quantile(row, 0.9, out, out_size);
}

static void cell_p99(const struct row *row, char *out, size_t out_size)
{
	cell_quantile(row, 0.99, out, out_size);
}

const struct column console_looks[][CONSOLE_CELLS] = {
	[LOOK_COUNTER] = { { "total", cell_total }, { "per s", cell_rate } },
	[LOOK_LEVEL] = { { "now", cell_total } },
	[LOOK_GAUGE] = { { "now", cell_real } },
	[LOOK_HISTOGRAM] = { { "count", cell_count }, { "per s", cell_rate }, { "mean", cell_mean },
			     { "p50", cell_p50 }, { "p90", cell_p90 }, { "p99", cell_p99 } },
};

enum look console_look(const struct point *point)
{
	if (point->type == POINT_GAUGE)
		return LOOK_GAUGE;
	if (point->type == POINT_SUM)
		return point->monotonic ? LOOK_COUNTER : LOOK_LEVEL;
	return LOOK_HISTOGRAM;
}
