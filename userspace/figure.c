/* SPDX-License-Identifier: BSD-2-Clause */
/* figure.c - consumes numbers and units, produces short text. Pure. */
#include "figure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct step {
	double size;
	const char *suffix;
};

/* Largest first; the last one takes the rest. */
static const struct step durations[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" }, { 1e-3, "ms" },
					 { 1e-6, "us" }, { 1e-9, "ns" }, { 0, NULL } };
static const struct step bytes[] = { { 1099511627776.0, "TiB" }, { 1073741824.0, "GiB" }, { 1048576.0, "MiB" },
				     { 1024.0, "KiB" }, { 1, "B" }, { 0, NULL } };
static const struct step numbers[] = { { 1e12, "T" }, { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" }, { 1, "" }, { 0, NULL } };

static const struct {
	const char *unit;
	double size;
	const struct step *steps;
} units[] = {
	{ "s", 1, durations },	{ "ms", 1e-3, durations }, { "us", 1e-6, durations }, { "ns", 1e-9, durations },
	{ "min", 60, durations }, { "h", 3600, durations },  { "d", 86400, durations }, { "By", 1, bytes },
	{ "KiBy", 1024, bytes }, { "MiBy", 1048576, bytes },
	/* Not of UCUM, and often met. */
	{ "seconds", 1, durations }, { "milliseconds", 1e-3, durations }, { "bytes", 1, bytes }, { "MiB", 1048576, bytes },
};

/* Three digits that matter, no zeros behind the point. */
static void digits(double value, char *out, size_t out_size)
{
	double size = fabs(value);
	int decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
	size_t used = (size_t)snprintf(out, out_size, "%.*f", decimals, value);

	while (decimals && used && out[used - 1] == '0')
		out[--used] = '\0';
	if (decimals && used && out[used - 1] == '.')
		out[--used] = '\0';
}

/* Also as an annotation: {s}. */
static bool is_unit(const char *unit, const char *name)
{
	size_t brace = *unit == '{', length = strlen(name);

	return !strncmp(unit + brace, name, length) && !strcmp(unit + brace + length, brace ? "}" : "");
}

void figure(double value, const char *unit, char out[FIGURE_BYTES])
{
	const struct step *step = numbers;
	size_t i;

	if (isnan(value)) {
		(void)snprintf(out, FIGURE_BYTES, "-");
		return;
	}
	for (i = 0; unit && i < sizeof(units) / sizeof(units[0]); i++)
		if (is_unit(unit, units[i].unit)) {
			value *= units[i].size;
			step = units[i].steps;
		}
	if (unit && is_unit(unit, "%")) {
		digits(value, out, FIGURE_BYTES - 4);
		(void)strcat(out, "%");
		return;
	}
	/* A count is better exact as long as it fits. */
	if (step == numbers && fabs(value) < 1e5 && value == floor(value)) {
		(void)snprintf(out, FIGURE_BYTES, "%.0f", value);
		return;
	}
	if (value == 0 || !isfinite(value)) {
		(void)snprintf(out, FIGURE_BYTES, value == 0 ? "0" : value > 0 ? "inf" : "-inf");
		return;
	}
	/* What would be written as 1000 is 1 of the next. */
	while (step[1].suffix && fabs(value) < step->size * 0.9995)
		step++;
	if (step == numbers + 4 && fabs(value) < 0.01)
		(void)snprintf(out, FIGURE_BYTES, "%.1e", value);
	else if (fabs(value) / step->size >= 99999)
		(void)snprintf(out, FIGURE_BYTES, "%.1e%s", value / step->size, step->suffix);
	else {
		digits(value / step->size, out, FIGURE_BYTES - 4);
		(void)strcat(out, step->suffix);
	}
}

char *figure_trend(const double *value, size_t count, size_t columns, bool ascii, char *out)
{
	static const char *const bars[] = { "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588" };
	static const char *const plain[] = { "_", ".", ",", "-", "=", "+", "*", "#" };
	double least = 0, most = 0;
	size_t first = count > columns ? count - columns : 0, i;

	*out = '\0';
	for (i = first; i < count; i++) {
		least = value[i] < least ? value[i] : least;
		most = value[i] > most ? value[i] : most;
	}
	for (i = count - first; i < columns; i++)
		(void)strcat(out, " ");
	for (i = first; i < count; i++) {
		int level = isnan(value[i]) ? -1 : most > least ? (int)((value[i] - least) / (most - least) * 7.999) : 0;

		(void)strcat(out, level < 0 ? " " : (ascii ? plain : bars)[level]);
	}
	return out;
}
