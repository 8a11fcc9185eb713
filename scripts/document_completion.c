/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * document_completion.c - the option table as completion scripts for bash, zsh and fish.
 *
 * A flag is offered for the commands that listen to it, a value where the table knows all of them or where it is a file.
 * bash: no function of the bash-completion package is called, so that the script also works where only bash is.
 */
#include <stdbool.h>
#include <string.h>

#include "document.h"

#define BIT(command) (1u << (command))

static bool takes_value(const struct option_row *row)
{
	return row->type != OPTION_TYPE_SWITCH;
}

static bool takes_file(const struct option_row *row)
{
	return row->argument && (!strcmp(row->argument, "FILE") || !strcmp(row->argument, "PATH") ||
				 !strcmp(row->argument, "DIR"));
}

static bool operand_is_file(enum command command)
{
	const char *operand = option_commands[command].operand;

	return operand && strstr(operand, "FILE");
}

/* Words of this build for the row's value, separated by blanks. */
static const char *row_words(const struct option_row *row)
{
	static char words[512];

	return option_words(row, " ", words, sizeof(words));
}

static void print_commands(FILE *out, const char *separator)
{
	for (enum command c = COMMAND_RUN; c < OPTION_COMMANDS; c++)
		fprintf(out, "%s%s", c == COMMAND_RUN ? "" : separator, option_commands[c].name);
}

/* --- bash */

static void bash_flags(FILE *out, enum command command)
{
	bool first = true;

	for (enum option_key key = 0; key < OPTION_COUNT; key++)
		if (option_rows[key].flag && option_rows[key].commands & BIT(command)) {
			fprintf(out, "%s--%s", first ? "" : " ", option_rows[key].flag);
			first = false;
		}
}

static void bash_values(FILE *out)
{
	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		const struct option_row *row = &option_rows[key];
		const char *words = row_words(row);

		if (!row->flag || !takes_value(row))
			continue;
		if (row->type == OPTION_TYPE_LIST)
			fprintf(out, "\t--%s) before+=${cur%%\"${cur##*,}\"} cur=${cur##*,} words='%s' ;;\n", row->flag, words);
		else if (*words)
			fprintf(out, "\t--%s) words='%s' ;;\n", row->flag, words);
		else if (takes_file(row))
			fprintf(out, "\t--%s) files=1 ;;\n", row->flag);
	}
}

void completion_bash(FILE *out)
{
	const char *separator = "";

	fprintf(out, "# probemeter(1) completion for bash, made from the program's option table\n"
		     "_probemeter()\n"
		     "{\n"
		     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} command='' flag='' before='' words='' files='' word i\n"
		     "\tCOMPREPLY=()\n"
		     "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		     "\t\tword=${COMP_WORDS[i]}\n"
		     "\t\tcase $word in\n"
		     "\t\t");
	for (enum option_key key = 0; key < OPTION_COUNT; key++)
		if (option_rows[key].flag && takes_value(&option_rows[key])) {
			fprintf(out, "%s--%s", separator, option_rows[key].flag);
			separator = " | ";
		}
	fprintf(out, ")\n"
		     "\t\t\t# --flag=value comes as three words\n"
		     "\t\t\t[[ ${COMP_WORDS[i + 1]} != '=' ]] || ((i++))\n"
		     "\t\t\t((++i < COMP_CWORD)) || flag=$word\n"
		     "\t\t\t;;\n"
		     "\t\t");
	print_commands(out, " | ");
	fprintf(out, ") [[ $command ]] || command=$word ;;\n"
		     "\t\tesac\n"
		     "\tdone\n"
		     "\t[[ $cur != '=' ]] || cur=''\n"
		     "\tif [[ ! $flag && $cur == --*=* ]]; then\n"
		     "\t\tflag=${cur%%%%=*} before=$flag= cur=${cur#*=}\n"
		     "\tfi\n"
		     "\tcase $flag:$command:$cur in\n"
		     "\t--*) ;;\n");
	for (enum command c = COMMAND_NONE; c < OPTION_COMMANDS; c++) {
		fprintf(out, "\t:%s:-*) words='", option_commands[c].name ? option_commands[c].name : "");
		bash_flags(out, c);
		fprintf(out, "' ;;\n");
		if (operand_is_file(c))
			fprintf(out, "\t:%s:*) files=1 ;;\n", option_commands[c].name);
	}
	fprintf(out, "\t::*) words='");
	print_commands(out, " ");
	fprintf(out, "' ;;\n"
		     "\tesac\n"
		     "\tcase $flag in\n");
	bash_values(out);
	fprintf(out, "\tesac\n"
		     "\tif [[ $files ]]; then\n"
		     "\t\tcompopt -o filenames 2>/dev/null\n"
		     "\t\tmapfile -t COMPREPLY < <(compgen -P \"$before\" -f -- \"$cur\")\n"
		     "\telse\n"
		     "\t\tmapfile -t COMPREPLY < <(compgen -P \"$before\" -W \"$words\" -- \"$cur\")\n"
		     "\tfi\n"
		     "}\n"
		     "complete -F _probemeter probemeter\n");
}

/* --- zsh */

/* Inside single quotes and inside an _arguments specification, where brackets and colons mean something. */
static void zsh_text(FILE *out, const char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", out);
		else
			fprintf(out, strchr("[]:\\", *text) ? "\\%c" : "%c", *text);
}

static void zsh_flag(FILE *out, const struct option_row *row)
{
	const char *words = row_words(row);

	fprintf(out, " \\\n\t\t\t'%s--%s%s[", row->type == OPTION_TYPE_TEXTS ? "*" : "", row->flag, takes_value(row) ? "=" : "");
	zsh_text(out, row->help);
	fputc(']', out);
	if (takes_value(row)) {
		fputc(':', out);
		zsh_text(out, row->argument);
		if (row->type == OPTION_TYPE_LIST)
			fprintf(out, ":_sequence compadd - %s", words);
		else if (*words)
			fprintf(out, ":(%s)", words);
		else
			fputs(takes_file(row) ? ":_files" : ": ", out);
	}
	fputc('\'', out);
}

void completion_zsh(FILE *out)
{
	fprintf(out, "#compdef probemeter\n"
		     "# probemeter(1) completion for zsh, made from the program's option table\n"
		     "_probemeter()\n"
		     "{\n"
		     "\tlocal curcontext=$curcontext state line\n"
		     "\ttypeset -A opt_args\n"
		     "\tlocal -a commands=(\n");
	for (enum command c = COMMAND_RUN; c < OPTION_COMMANDS; c++) {
		fprintf(out, "\t\t'%s:", option_commands[c].name);
		zsh_text(out, option_commands[c].help);
		fputs("'\n", out);
	}
	fprintf(out, "\t)\n"
		     "\t_arguments -C '1:command:->command' '*::argument:->argument'");
	for (enum option_key key = 0; key < OPTION_COUNT; key++)
		if (option_rows[key].flag && option_rows[key].commands & BIT(COMMAND_NONE))
			zsh_flag(out, &option_rows[key]);
	fprintf(out, " && return\n"
		     "\tcase $state in\n"
		     "\tcommand)\n"
		     "\t\t_describe command commands\n"
		     "\t\t;;\n"
		     "\targument)\n"
		     "\t\tcase $words[1] in\n");
	for (enum command c = COMMAND_RUN; c < OPTION_COMMANDS; c++) {
		fprintf(out, "\t\t%s)\n\t\t\t_arguments", option_commands[c].name);
		for (enum option_key key = 0; key < OPTION_COUNT; key++)
			if (option_rows[key].flag && option_rows[key].commands & BIT(c))
				zsh_flag(out, &option_rows[key]);
		if (operand_is_file(c))
			fprintf(out, " \\\n\t\t\t'1:%s:_files'", option_commands[c].operand);
		fputs("\n\t\t\t;;\n", out);
	}
	fprintf(out, "\t\tesac\n"
		     "\t\t;;\n"
		     "\tesac\n"
		     "}\n"
		     "\n"
		     "if [[ $funcstack[1] = _probemeter ]]; then\n"
		     "\t_probemeter \"$@\"\n"
		     "else\n"
		     "\tcompdef _probemeter probemeter\n"
		     "fi\n");
}

/* --- fish */

static void fish_text(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text; text++)
		fprintf(out, strchr("'\\", *text) ? "\\%c" : "%c", *text);
	fputc('\'', out);
}

static void fish_flag(FILE *out, const struct option_row *row)
{
	const char *words = row_words(row);

	fputs("complete -c probemeter", out);
	if (!(row->commands & BIT(COMMAND_NONE))) {
		fputs(" -n '__fish_seen_subcommand_from", out);
		for (enum command c = COMMAND_RUN; c < OPTION_COMMANDS; c++)
			if (row->commands & BIT(c))
				fprintf(out, " %s", option_commands[c].name);
		fputs("'", out);
	}
	fprintf(out, " -l %s", row->flag);
	if (row->type == OPTION_TYPE_LIST)
		fprintf(out, " -x -a '(__fish_append , %s)'", words);
	else if (*words)
		fprintf(out, " -x -a '%s'", words);
	else if (takes_value(row))
		fputs(takes_file(row) ? " -r -F" : " -x", out);
	fputs(" -d ", out);
	fish_text(out, row->help);
	fputc('\n', out);
}

void completion_fish(FILE *out)
{
	fprintf(out, "# probemeter(1) completion for fish, made from the program's option table\n"
		     "complete -c probemeter -f\n");
	for (enum command c = COMMAND_RUN; c < OPTION_COMMANDS; c++) {
		fprintf(out, "complete -c probemeter -n __fish_use_subcommand -a %s -d ", option_commands[c].name);
		fish_text(out, option_commands[c].help);
		fputc('\n', out);
		if (operand_is_file(c))
			fprintf(out, "complete -c probemeter -n '__fish_seen_subcommand_from %s' -F\n", option_commands[c].name);
	}
	for (enum option_key key = 0; key < OPTION_COUNT; key++)
		if (option_rows[key].flag)
			fish_flag(out, &option_rows[key]);
}
