/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prometheus_name.c - names as Prometheus has them.
 *
 * Consumes names, units and values of OpenTelemetry, which may be any UTF-8; produces what Prometheus' own OTLP receiver
 * makes of them by default, so that queries do not depend on the way a metric took.
 */
#include "prometheus_name.h"

#include <string.h>

/* Words of UCUM that have one in Prometheus; others stand for themselves. */
struct unit_word {
	const char *unit, *word;
};

static const struct unit_word units[] = {
	{ "d", "days" }, { "h", "hours" }, { "min", "minutes" }, { "s", "seconds" }, { "ms", "milliseconds" },
	{ "us", "microseconds" }, { "ns", "nanoseconds" }, { "By", "bytes" }, { "KiBy", "kibibytes" },
	{ "MiBy", "mebibytes" }, { "GiBy", "gibibytes" }, { "TiBy", "tibibytes" }, { "KBy", "kilobytes" },
	{ "MBy", "megabytes" }, { "GBy", "gigabytes" }, { "TBy", "terabytes" }, { "m", "meters" }, { "V", "volts" },
	{ "A", "amperes" }, { "J", "joules" }, { "W", "watts" }, { "g", "grams" }, { "Cel", "celsius" },
	{ "Hz", "hertz" }, { "1", "" }, { "%", "percent" }, { NULL, NULL },
};

static const struct unit_word per_units[] = {
	{ "s", "second" }, { "m", "minute" }, { "h", "hour" }, { "d", "day" }, { "w", "week" }, { "mo", "month" },
	{ "y", "year" }, { NULL, NULL },
};

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':';
}

/* The next word at or behind @at. Return: its length, 0 at the end. */
static size_t word_next(const char **at)
{
	size_t length = 0;

	while (**at && !is_word(**at))
		(*at)++;
	while (is_word((*at)[length]))
		length++;
	return length;
}

static bool has_word(const char *text, const char *word)
{
	size_t length;

	for (; (length = word_next(&text)); text += length)
		if (length == strlen(word) && !memcmp(text, word, length))
			return true;
	return false;
}

static void append_word(struct writer *out, size_t start, const char *word, size_t length)
{
	/* A name may not begin with a digit. */
	if (out->size > start || (*word >= '0' && *word <= '9'))
		writer_byte(out, '_');
	writer_put(out, word, length);
}

/* Append what a part of the unit, @length bytes of @unit, adds to the name. Return: its word if it is one of the table and was
 * appended. */
static const char *append_unit(struct writer *out, size_t start, const struct unit_word *table, const char *unit,
			       size_t length, const char *name, const char *before)
{
	char other[32];

	if (!length || length >= sizeof(other) || memchr(unit, '{', length) || memchr(unit, '}', length))
		return NULL;
	for (; table->unit; table++)
		if (strlen(table->unit) == length && !memcmp(table->unit, unit, length))
			break;
	memcpy(other, unit, length);
	other[length] = '\0';
	unit = table->unit ? table->word : other;
	if (!*unit || has_word(name, unit))
		return NULL;
	if (*before)
		append_word(out, start, before, strlen(before));
	for (; (length = word_next(&unit)); unit += length)
		append_word(out, start, unit, length);
	return table->unit ? table->word : NULL;
}

void prometheus_family(struct writer *out, const struct metric *metric, enum prometheus_type type, bool gauge,
		       const char **ret_unit)
{
	const char *word = metric->name, *slash = strchr(metric->unit, '/');
	size_t start = out->size, length, unit = slash ? (size_t)(slash - metric->unit) : strlen(metric->unit);
	bool is_ratio = gauge && !strcmp(metric->unit, "1");

	for (; (length = word_next(&word)); word += length) {
		if (type == PROMETHEUS_COUNTER && length == 5 && !memcmp(word, "total", 5))
			continue;
		if (is_ratio && length == 5 && !memcmp(word, "ratio", 5))
			continue;
		append_word(out, start, word, length);
	}
	*ret_unit = append_unit(out, start, units, metric->unit, unit, metric->name, "");
	if (slash && append_unit(out, start, per_units, slash + 1, strlen(slash + 1), metric->name, "per"))
		*ret_unit = NULL; /* the name ends with only a part of it */
	if (is_ratio) {
		append_word(out, start, "ratio", 5);
		*ret_unit = "ratio";
	}
	if (out->size == start)
		writer_byte(out, '_');
}

void prometheus_label(struct writer *out, const char *key)
{
	if (*key >= '0' && *key <= '9')
		writer_text(out, "key_");
	else if (!is_word(*key) || *key == ':')
		writer_text(out, "key");
	for (; *key; key++)
		writer_byte(out, is_word(*key) && *key != ':' ? *key : '_');
}

/* What must not stand in a label's value, or in help, as it is; and the end. */
enum { SPECIAL_VALUE = 1, SPECIAL_HELP = 2 };

static const uint8_t special[256] = {
	['\0'] = SPECIAL_VALUE | SPECIAL_HELP, ['\\'] = SPECIAL_VALUE | SPECIAL_HELP, ['\n'] = SPECIAL_VALUE | SPECIAL_HELP,
	['"'] = SPECIAL_VALUE,
};

static void escape(struct writer *out, const char *text, uint8_t where)
{
	for (;;) {
		size_t plain = 0;

		while (!(special[(uint8_t)text[plain]] & where))
			plain++;
		writer_put(out, text, plain);
		text += plain;
		if (!*text)
			return;
		writer_byte(out, '\\');
		writer_byte(out, *text == '\n' ? 'n' : *text);
		text++;
	}
}

void prometheus_escape(struct writer *out, const char *text)
{
	escape(out, text, SPECIAL_VALUE);
}

void prometheus_escape_help(struct writer *out, const char *text)
{
	escape(out, text, SPECIAL_HELP);
}
