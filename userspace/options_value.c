/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options_value.c - one value, from flag or variable, into its field: a parser per type.
 *
 * Consumes text, produces the field or the words for what was expected. Where the text comes from, and which source
 * wins, is decided in options.c. Values of headers and URLs appear in no message: they may hold passwords.
 */
#include "options_value.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "arena.h"
#include "endpoint.h"
#include "options_table.h"
#include "pairs.h"
#include "utf8.h"

int options_warn(struct options *options, const char *format, ...)
{
	char line[2 * OPTION_WHY_BYTES];
	va_list args;

	if (options->warning_count == OPTIONS_WARNINGS)
		return 0;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	options->warning[options->warning_count] = arena_strdup(options->arena, line);
	if (!options->warning[options->warning_count])
		return -ENOMEM;
	options->warning_count++;
	return 0;
}

/* Always -EINVAL, so that a parser can end with it. */
static int __attribute__((format(printf, 2, 3))) value_expected(struct option_value *value, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(value->why, sizeof(value->why), format, args);
	va_end(args);
	return -EINVAL;
}

static void *value_field(struct option_value *value)
{
	return (char *)value->options + value->row->offset;
}

/* "a, b or c": those that this build has. */
static const char *choice_names(const struct option_choice *choice, char *out, size_t out_size)
{
	const struct option_choice *last = NULL;
	size_t used = 0;

	*out = '\0';
	for (const struct option_choice *c = choice; c->name; c++)
		last = c->missing ? last : c;
	for (const struct option_choice *c = choice; c->name; c++)
		if (!c->missing && used < out_size)
			used += (size_t)snprintf(out + used, out_size - used, "%s%s",
						 !used ? "" : c == last ? " or " : ", ", c->name);
	return out;
}

static const struct option_choice *choice_find(const struct option_choice *choice, const char *name, size_t length)
{
	for (; choice->name; choice++)
		if (strlen(choice->name) == length && !strncasecmp(choice->name, name, length))
			return choice;
	return NULL;
}

/* A flag has no text; the configuration file says true or false. */
static int parse_switch(struct option_value *value)
{
	bool *field = value_field(value);

	*field = !value->text || !strcasecmp(value->text, "true");
	if (*field || !strcasecmp(value->text, "false"))
		return 0;
	return value_expected(value, "expected true or false, not '%.64s'", value->text);
}

/* OpenTelemetry: only "true" is true, and what is neither is false with a warning. */
static int parse_boolean(struct option_value *value)
{
	bool *field = value_field(value);

	*field = !strcasecmp(value->text, "true");
	if (*field || !strcasecmp(value->text, "false"))
		return 0;
	if (value->strict)
		return value_expected(value, "expected true or false, not '%.64s'", value->text);
	return options_warn(value->options, "%s: expected true or false, not '%.64s'; taken as false", value->who,
			    value->text);
}

static int parse_number(struct option_value *value)
{
	const struct option_row *row = value->row;
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(value->text, &end, 10);
	if (!isdigit((unsigned char)*value->text) || *end || errno || number < row->minimum || number > row->maximum)
		return value_expected(value, "expected %s from %u to %u, not '%.64s'", row->unit, row->minimum,
				      row->maximum, value->text);
	*(unsigned *)value_field(value) = (unsigned)number;
	return 0;
}

static int parse_duration(struct option_value *value)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = { { "ms", 1 }, { "s", 1e3 }, { "m", 60e3 }, { "h", 3600e3 }, { "d", 86400e3 } };
	const struct option_row *row = value->row;
	double ms = -1, number;
	char *end;
	size_t i;

	errno = 0;
	if (isdigit((unsigned char)*value->text)) {
		number = (double)strtoul(value->text, &end, 10);
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (!strcmp(end, units[i].name) || (!*end && number == 0))
				ms = number * units[i].ms;
	}
	if (errno || !(ms >= row->minimum && ms <= row->maximum))
		return value_expected(value, "expected a number and ms, s, m, h or d, such as 90s, up to %ud, not '%.64s'",
				      row->maximum / 86400000, value->text);
	*(unsigned *)value_field(value) = (unsigned)ms;
	return 0;
}

static int parse_text(struct option_value *value)
{
	if (!*value->text || !utf8_valid(value->text, strlen(value->text)))
		return value_expected(value, "expected text in UTF-8");
	*(const char **)value_field(value) = value->text;
	return 0;
}

static int parse_texts(struct option_value *value)
{
	struct texts *field = value_field(value);
	const char **grown = arena_array(value->options->arena, field->count + 1, sizeof(*grown));
	size_t i;

	if (!*value->text)
		return value_expected(value, "expected text");
	if (!grown)
		return -ENOMEM;
	for (i = 0; i < field->count; i++)
		grown[i] = field->text[i];
	grown[field->count++] = value->text;
	field->text = grown;
	return 0;
}

static int parse_endpoint(struct option_value *value)
{
	struct endpoint endpoint;

	/* A URL may carry a password; only its shape is spoken of. */
	if (endpoint_parse(value->text, &endpoint))
		return value_expected(value, "expected a URL such as http://localhost:4318, with a port up to 65535");
	*(const char **)value_field(value) = value->text;
	return 0;
}

static int parse_choice(struct option_value *value)
{
	const struct option_choice *choice = choice_find(value->row->choice, value->text, strlen(value->text));
	char names[OPTION_WHY_BYTES / 2];

	choice_names(value->row->choice, names, sizeof(names));
	if (!choice)
		return value_expected(value, "expected %s, not '%.64s'", names, value->text);
	if (choice->missing && value->strict)
		return value_expected(value, "this build does not have %s, expected %s", choice->name, names);
	if (choice->missing)
		return options_warn(value->options, "%s: this build does not have %s; %s", value->who, choice->name,
				    choice->missing);
	*(unsigned *)value_field(value) = choice->value;
	return 0;
}

/* A word that is unknown or not in this build is an error for a flag; for a variable a warning, and the rest counts. */
static int parse_list(struct option_value *value)
{
	char names[OPTION_WHY_BYTES / 2];
	unsigned bits = 0;
	int err = 0;

	choice_names(value->row->choice, names, sizeof(names));
	for (const char *word = value->text; *word && !err;) {
		size_t length = strcspn(word, ","), blank = strspn(word, " \t"), used = length;
		const struct option_choice *choice;

		if (blank > length)
			blank = length;
		while (used > blank && isblank((unsigned char)word[used - 1]))
			used--;
		choice = choice_find(value->row->choice, word + blank, used - blank);
		if (choice)
			bits |= choice->value;
		if (value->strict && (!choice || choice->missing))
			return value_expected(value, choice ? "this build does not have %.*s, expected a list of %s" :
							      "'%.*s' is unknown, expected a list of %s",
					      (int)(used - blank), word + blank, names);
		if (!choice && used > blank)
			err = options_warn(value->options, "%s: '%.*s' is unknown, expected a list of %s; ignored",
					   value->who, (int)(used - blank), word + blank, names);
		else if (choice && choice->missing)
			err = options_warn(value->options, "%s: this build does not have %s; %s", value->who,
					   choice->name, choice->missing);
		word += length;
		word += *word == ',';
	}
	if (err)
		return err;
	if (!bits)
		return value_expected(value, value->strict ? "expected a list of %s" : "nothing of %s is left", names);
	*(unsigned *)value_field(value) = bits;
	return 0;
}

static int parse_attributes(struct option_value *value)
{
	struct pairs *field = value_field(value);
	int err = pairs_parse(value->text, value->options->arena, &field->pair, &field->count);

	if (err == -EILSEQ)
		return value_expected(value, "expected UTF-8 behind the percent-encoding");
	if (err == -EINVAL)
		return value_expected(value, "expected key=value,key2=value2, percent-encoded");
	return err;
}

static bool header_name_fits(const char *name)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return *name && !name[strspn(name, token)];
}

/* Nothing in a header may end the header. */
static bool header_value_fits(const char *value)
{
	for (; *value; value++)
		if (iscntrl((unsigned char)*value) && *value != '\t')
			return false;
	return true;
}

bool option_header_fits(const char *name, const char *value)
{
	return header_name_fits(name) && header_value_fits(value);
}

static int parse_headers(struct option_value *value)
{
	struct pairs *field = value_field(value), before = *field;
	int err = parse_attributes(value);

	for (size_t i = 0; !err && i < field->count; i++) {
		const struct attribute *pair = &field->pair[i];

		if (!header_name_fits(pair->key))
			err = value_expected(value, "expected names of HTTP headers as keys");
		else if (!header_value_fits(pair->value))
			err = value_expected(value, "expected no control characters in the value of '%s'", pair->key);
	}
	if (err)
		*field = before;
	return err;
}

static int (*const parsers[])(struct option_value *) = {
	[OPTION_TYPE_SWITCH] = parse_switch,	     [OPTION_TYPE_BOOLEAN] = parse_boolean,
	[OPTION_TYPE_NUMBER] = parse_number,	     [OPTION_TYPE_DURATION] = parse_duration,
	[OPTION_TYPE_TEXT] = parse_text,
	[OPTION_TYPE_TEXTS] = parse_texts,	     [OPTION_TYPE_ENDPOINT] = parse_endpoint,
	[OPTION_TYPE_CHOICE] = parse_choice,	     [OPTION_TYPE_LIST] = parse_list,
	[OPTION_TYPE_HEADERS] = parse_headers,	     [OPTION_TYPE_ATTRIBUTES] = parse_attributes,
};

int option_value_set(struct option_value *value, enum option_key key, const char *who, const char *text,
		     bool strict)
{
	const struct option_row *row = &option_rows[key];
	int err;

	*value = (struct option_value){
		.options = value->options, .row = row, .who = who, .text = text, .strict = strict,
	};
	if (text) {
		size_t length;

		text += strspn(text, " \t\r\n");
		length = strlen(text);
		while (length && isspace((unsigned char)text[length - 1]))
			length--;
		value->text = arena_strndup(value->options->arena, text, length);
		if (!value->text)
			return -ENOMEM;
	}
	err = parsers[row->type](value);
	if (!err)
		value->options->source[key] = who;
	return err;
}
