/* SPDX-License-Identifier: BSD-2-Clause */
/* options_value.h - one value into one field of struct options. */
#ifndef PROBEMETER_OPTIONS_VALUE_H
#define PROBEMETER_OPTIONS_VALUE_H

#include <stdbool.h>

#include "options.h"

struct option_row;

#define OPTIONS_WARNINGS 64 /* more are dropped */
#define OPTION_WHY_BYTES 512

/* One value on its way into its field. */
struct option_value {
	struct options *options; /* set by the caller, the rest by option_value_set() */
	const struct option_row *row;
	const char *who; /* flag or variable, NULL for the default */
	const char *text; /* blanks around it are gone */
	bool strict; /* a flag, or the configuration file: nothing is merely warned about */
	char why[OPTION_WHY_BYTES]; /* after -EINVAL: what was expected */
};

/* Parse @text (NULL for a switch) into the field of @key. Return: 0, -EINVAL with @value->why, -ENOMEM. */
int option_value_set(struct option_value *value, enum option_key key, const char *who, const char *text, bool strict);

/* May this be sent as a header of HTTP? */
bool option_header_fits(const char *name, const char *value);

/* Note a warning for the caller of options_parse(). Return: 0, -ENOMEM. */
int options_warn(struct options *options, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
