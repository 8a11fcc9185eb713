/* SPDX-License-Identifier: BSD-2-Clause */
/* options_table.h - one row per option; parsing, environment, help and documentation all read it. */
#ifndef PROBEMETER_OPTIONS_TABLE_H
#define PROBEMETER_OPTIONS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

enum option_type {
	OPTION_TYPE_SWITCH, /* bool; a flag without a value */
	OPTION_TYPE_BOOLEAN, /* bool; true or false */
	OPTION_TYPE_NUMBER, /* unsigned, from @minimum to @maximum */
	OPTION_TYPE_DURATION, /* unsigned, milliseconds from @minimum to @maximum; with a unit */
	OPTION_TYPE_TEXT, /* const char *, UTF-8 */
	OPTION_TYPE_TEXTS, /* struct texts; a flag that may be repeated */
	OPTION_TYPE_ENDPOINT, /* const char *, fit for endpoint_parse() */
	OPTION_TYPE_CHOICE, /* unsigned, one of @choice */
	OPTION_TYPE_LIST, /* unsigned, bits of @choice */
	OPTION_TYPE_HEADERS, /* struct pairs, fit for HTTP */
	OPTION_TYPE_ATTRIBUTES, /* struct pairs */
};

/* Where an option may be said, and when a new value counts. */
enum option_when {
	OPTION_AT_START, /* in the configuration file too; a change needs a restart */
	OPTION_LIVE, /* likewise, and SIGHUP applies a change */
	OPTION_FLAG_ONLY, /* not in the configuration file */
};

/* A word and what it means; a list ends with name NULL. */
struct option_choice {
	const char *name;
	unsigned value;
	const char *missing; /* this build does not have it: what happens instead */
};

#define OPTION_VARIABLES 2

struct option_row {
	const char *flag; /* without the dashes, or NULL */
	const char *name; /* in the configuration file, where there is no flag; see option_name() */
	const char *argument; /* what --help calls the flag's value; shells complete FILE, PATH and DIR as files */
	const char *variable[OPTION_VARIABLES]; /* the first one that is set wins */
	const char *initial; /* default, as a user would write it, or NULL */
	enum option_type type;
	enum option_when when;
	size_t offset; /* in struct options */
	unsigned minimum, maximum; /* OPTION_TYPE_NUMBER */
	const char *unit; /* of a number, for messages */
	const struct option_choice *choice;
	unsigned commands; /* 1 << COMMAND_*, of those that listen to it */
	const char *help; /* one line */
};

extern const struct option_row option_rows[OPTION_COUNT];

/* What the configuration file calls it. */
const char *option_name(const struct option_row *row);

/* The words that the row's value may have in this build, or "" where it is free. Return: @out. */
const char *option_words(const struct option_row *row, const char *separator, char *out, size_t out_size);

struct option_command {
	const char *name;
	const char *operand; /* what --help calls it, NULL: takes none */
	const char *help;
};

/* Indexed by enum command; COMMAND_NONE has no name. */
#define OPTION_COMMANDS (COMMAND_STOP + 1)
extern const struct option_command option_commands[OPTION_COMMANDS];

#endif
