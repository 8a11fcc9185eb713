/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options_help.c - the option table as --help and as a table of operating.md.
 *
 * Consumes the table, produces text, and so can neither forget an option nor name one that is gone.
 */
#include <string.h>

#include "options.h"
#include "options_table.h"

#define HELP_INDENT 26

static bool row_is_for(const struct option_row *row, enum command command)
{
	return command == COMMAND_NONE || row->commands & (1u << command);
}

const char *option_name(const struct option_row *row)
{
	return row->flag ? row->flag : row->name;
}

const char *option_words(const struct option_row *row, const char *separator, char *out, size_t out_size)
{
	size_t used = 0;

	*out = '\0';
	for (const struct option_choice *c = row->choice; c && c->name; c++)
		if (!c->missing && used < out_size)
			used += (size_t)snprintf(out + used, out_size - used, "%s%s", used ? separator : "", c->name);
	return out;
}

/* An option without a flag is called by its variable. */
static void help_row(FILE *out, const struct option_row *row)
{
	char left[64], words[256];
	int used;

	used = snprintf(left, sizeof(left), "  %s%s%s%s", row->flag ? "--" : "", row->flag ? row->flag : row->variable[0],
			row->argument ? " " : "", row->argument ? row->argument : "");
	if (used < HELP_INDENT)
		fprintf(out, "%-*s%s\n", HELP_INDENT, left, row->help);
	else
		fprintf(out, "%s\n%-*s%s\n", left, HELP_INDENT, "", row->help);
	option_words(row, ", ", words, sizeof(words));
	if (*words)
		fprintf(out, "%-*s%s%s\n", HELP_INDENT, "", strchr(words, ',') ? "one of " : "in this build only ", words);
	for (size_t i = row->flag ? 0 : 1; i < OPTION_VARIABLES && row->variable[i]; i++)
		fprintf(out, "%-*s%s\n", HELP_INDENT, "", row->variable[i]);
	if (row->initial)
		fprintf(out, "%-*sdefault %s\n", HELP_INDENT, "", row->initial);
}

void options_help(FILE *out, enum command command)
{
	const struct option_command *one = &option_commands[command];

	fprintf(out, "usage: probemeter %s%s%s%s [FLAGS]\n\n", one->name ? one->name : "COMMAND",
		one->operand ? " [" : "", one->operand ? one->operand : "", one->operand ? "]" : "");
	if (one->name)
		fprintf(out, "%s\n\n", one->help);
	for (enum command c = COMMAND_RUN; !one->name && c < OPTION_COMMANDS; c++)
		fprintf(out, "  %-*s%s\n", HELP_INDENT - 2, option_commands[c].name, option_commands[c].help);
	if (!one->name)
		fprintf(out, "\nFlags, and the environment variables that say the same (the flag wins):\n\n");
	for (enum option_key key = 0; key < OPTION_COUNT; key++)
		if (row_is_for(&option_rows[key], command))
			help_row(out, &option_rows[key]);
}

void options_document(FILE *out)
{
	fprintf(out, "| variable | flag | default | meaning |\n|---|---|---|---|\n");
	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		const struct option_row *row = &option_rows[key];
		char words[256];

		for (size_t i = 0; i < OPTION_VARIABLES && row->variable[i]; i++)
			fprintf(out, "%s`%s`", i ? ", " : "| ", row->variable[i]);
		fprintf(out, "%s | `%s%s` | ", row->variable[0] ? "" : "|", row->flag ? "--" : "", option_name(row));
		fprintf(out, "%s%s%s | %s", row->initial ? "`" : "", row->initial ? row->initial : "",
			row->initial ? "`" : "", row->help);
		option_words(row, "`, `", words, sizeof(words));
		fprintf(out, "%s%s%s |\n", *words ? ": `" : "", words, *words ? "`" : "");
	}
}
