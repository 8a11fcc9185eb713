/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * document_manual.c - the option table as manual pages, in mdoc.
 *
 * Options, variables, defaults and values come from the table; what cannot be told by a row - what the command does, an
 * example, what its exit status means - is the table of this file.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "document.h"

#define COLUMNS 72
#define BIT(command) (1u << (command))

/* What a page says beside its options. */
static const struct page {
	const char *about[6]; /* paragraphs */
	const char *example[4]; /* commands */
	const char *failed; /* what exit status 1 means */
} pages[OPTION_COMMANDS] = {
	[COMMAND_NONE] = {
		.about = {
			"probemeter counts what services fire as USDT probes, in the kernel, and sends it as OpenTelemetry metrics. One "
			"agent serves a host; a service does no input or output for its metrics and runs no thread for them.",
			"Each command has a page of its own; flags may stand before or behind it.",
		},
		.example = { "probemeter check", "probemeter run --exporter console" },
		.failed = "the command failed; the reason is on standard error",
	},
	[COMMAND_RUN] = {
		.about = {
			"Finds every process and every library that carries probemeter's probes, also those that start later, attaches "
			"to them, and exports what they count at each interval.",
			"It needs the capabilities CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_CHECKPOINT_RESTORE, "
			"and Linux 5.15 or newer with BTF; probemeter check says what a host lacks.",
			"Where no exporter has anywhere to send, or one of the variables below disables it, it loads nothing, says so, and "
			"waits.",
			"SIGTERM and SIGINT end it with a last export; a second one ends it without. SIGHUP makes it read its configuration "
			"again.",
		},
		.example = { "probemeter run --endpoint http://127.0.0.1:4318",
			     "probemeter run --exporter console --interval 2000",
			     "probemeter run --include unit:shop* --service unit:shop-eu=shop" },
		.failed = "the host is not fit, or the kernel refused the programs",
	},
	[COMMAND_CHECK] = {
		.about = {
			"Looks at each requirement for itself and prints one line for each; one that is not met comes with the reason and "
			"the remedy. One is the configuration; another one loads the programs and counts the hits of a stub.",
			"On a terminal it has colours, unless NO_COLOR is set to anything.",
		},
		.example = { "probemeter check", "probemeter check --json" },
		.failed = "at least one requirement is not met",
	},
	[COMMAND_PROBES] = {
		.about = {
			"Lists the metrics that a file declares, that a process has mapped, or, without an operand, that any process of this "
			"host has mapped. Of a process it says whether anyone listens. It attaches nothing.",
			"On a terminal it has colours, unless NO_COLOR is set to anything.",
		},
		.example = { "probemeter probes /usr/bin/shop", "probemeter probes 4711 --json" },
		.failed = "the file or the process cannot be read",
	},
	[COMMAND_TOP] = {
		.about = {
			"Shows what the agent of this host counts, as it counts it. Where standard output is not a terminal, plain text is "
			"printed once.",
			"On a terminal it has colours, unless NO_COLOR is set to anything.",
		},
		.example = { "probemeter top", "probemeter top --json" },
		.failed = "no agent runs, or it may not be asked",
	},
	[COMMAND_SNAPSHOT] = {
		.about = {
			"Prints what the agent of this host holds now: services, metrics and series.",
			"On a terminal it has colours, unless NO_COLOR is set to anything.",
		},
		.example = { "probemeter snapshot", "probemeter snapshot --json" },
		.failed = "no agent runs, or it may not be asked",
	},
	[COMMAND_STOP] = {
		.about = { "Ends the agent of this host and waits for its last export." },
		.example = { "probemeter stop" },
		.failed = "the agent could not be ended",
	},
};

/* One word of a text line; what roff would take for its own is guarded. */
static void put_word(FILE *out, const char *word, size_t length, size_t *column)
{
	size_t i;

	if (*column && *column + 1 + length > COLUMNS) {
		fputc('\n', out);
		*column = 0;
	}
	if (*column)
		fputc(' ', out);
	*column += length + !!*column;
	if (word[0] == '.' || word[0] == '\'')
		fputs("\\&", out);
	if (word[0] == '-' || word[0] == '/')
		fputs("\\%", out);
	for (i = 0; i < length; i++)
		fprintf(out, word[i] == '\\' ? "\\e" : word[0] == '-' && word[i] == '-' ? "\\-" : "%c", word[i]);
}

/* Text in lines of COLUMNS, each sentence on a line of its own, as roff wants it. */
static void put_text(FILE *out, const char *text)
{
	size_t column = 0, length;

	while (*text) {
		length = strcspn(text, " ");
		put_word(out, text, length, &column);
		text += length;
		text += strspn(text, " ");
		if (*text && text[-2] == '.') {
			fputc('\n', out);
			column = 0;
		}
	}
	if (column)
		fputc('\n', out);
}

/* A help text begins small; a sentence does not, unless it begins with a name or a value. */
static void put_sentence(FILE *out, const char *text)
{
	char sentence[1024];

	(void)snprintf(sentence, sizeof(sentence), "%s.", text);
	if (text[strspn(text, "abcdefghijklmnopqrstuvwxyz")] == ' ')
		*sentence = (char)toupper((unsigned char)*sentence);
	put_text(out, sentence);
}

static void put_flag(FILE *out, const struct option_row *row)
{
	fprintf(out, "Fl -%s", row->flag);
	if (row->argument)
		fprintf(out, " Ar %s", row->argument);
}

static void put_row(FILE *out, const struct option_row *row)
{
	char words[256], line[512];

	put_sentence(out, row->help);
	option_words(row, ", ", words, sizeof(words));
	if (*words) {
		(void)snprintf(line, sizeof(line), "%s: %s", row->type == OPTION_TYPE_LIST ? "any of" : "one of", words);
		put_sentence(out, line);
	}
	if (row->initial) {
		(void)snprintf(line, sizeof(line), "Default: %s.", row->initial);
		put_text(out, line);
	}
}

static void put_options(FILE *out, enum command command)
{
	fprintf(out, ".Sh OPTIONS\n.Bl -tag -width Ds\n");
	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		const struct option_row *row = &option_rows[key];

		if (!row->flag || !(row->commands & BIT(command)))
			continue;
		fprintf(out, ".It ");
		put_flag(out, row);
		fputc('\n', out);
		put_row(out, row);
		for (size_t i = 0; i < OPTION_VARIABLES && row->variable[i]; i++)
			fprintf(out, "%s\n.Ev %s%s", i ? "" : "The same as", row->variable[i],
				i + 1 < OPTION_VARIABLES && row->variable[i + 1] ? "\nor" : " .\n");
	}
	fprintf(out, ".El\n");
}

/* Those that have no flag: a page names every variable once. */
static void put_environment(FILE *out, enum command command)
{
	bool any = false;

	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		const struct option_row *row = &option_rows[key];

		if (row->flag || !(row->commands & BIT(command)))
			continue;
		if (!any)
			fprintf(out, ".Sh ENVIRONMENT\nA flag wins over its variable, and of two variables the first one wins.\n"
				     "These have no flag:\n.Bl -tag -width Ds\n");
		any = true;
		fprintf(out, ".It Ev %s", row->variable[0]);
		for (size_t i = 1; i < OPTION_VARIABLES && row->variable[i]; i++)
			fprintf(out, " , Ev %s", row->variable[i]);
		fputc('\n', out);
		put_row(out, row);
	}
	if (any)
		fprintf(out, ".El\n");
}

static void put_synopsis(FILE *out, enum command command)
{
	const char *operand = option_commands[command].operand;

	fprintf(out, ".Sh SYNOPSIS\n.Nm probemeter%s%s\n", command ? " " : "", command ? option_commands[command].name : "");
	for (enum option_key key = 0; key < OPTION_COUNT; key++)
		if (option_rows[key].flag && option_rows[key].commands & BIT(command)) {
			fprintf(out, ".Op ");
			put_flag(out, &option_rows[key]);
			fputc('\n', out);
		}
	if (!command)
		fprintf(out, ".Ar command\n.Op Ar arguments\n");
	else if (operand)
		fprintf(out, ".Op Ar %s\n", operand);
}

static void put_head(FILE *out, const char *title, int section)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	time_t now = epoch && *epoch ? (time_t)atoll(epoch) : time(NULL);
	char date[64] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		(void)strftime(date, sizeof(date), "%B %e, %Y", &tm);
	fprintf(out, ".\\\" SPDX-License-Identifier: BSD-2-Clause\n.\\\" Made from the program's option table.\n"
		     ".Dd %s\n.Dt %s %d\n.Os\n", date, title, section);
}

static void put_commands(FILE *out)
{
	fprintf(out, ".Sh COMMANDS\n.Bl -tag -width Ds\n");
	for (enum command c = COMMAND_RUN; c < OPTION_COMMANDS; c++) {
		fprintf(out, ".It Xr probemeter-%s 1\n", option_commands[c].name);
		put_sentence(out, option_commands[c].help);
	}
	fprintf(out, ".El\n");
}

static int name_compare(const void *left, const void *right)
{
	const enum command *a = left, *b = right;

	return *a == COMMAND_NONE ? -1 : *b == COMMAND_NONE ? 1 : strcmp(option_commands[*a].name, option_commands[*b].name);
}

/* By name, as readers of manual pages expect. */
static void put_see_also(FILE *out, enum command command)
{
	enum command others[OPTION_COMMANDS];
	size_t count = 0, i;

	for (enum command c = COMMAND_NONE; c < OPTION_COMMANDS; c++)
		if (c != command)
			others[count++] = c;
	qsort(others, count, sizeof(others[0]), name_compare);
	fprintf(out, ".Sh SEE ALSO\n");
	for (i = 0; i < count; i++)
		fprintf(out, ".Xr probemeter%s%s 1 ,\n", others[i] ? "-" : "", others[i] ? option_commands[others[i]].name : "");
	fprintf(out, ".Xr probemeter.conf 5\n");
}

void manual_command(FILE *out, enum command command)
{
	const struct page *page = &pages[command];
	const char *own = option_commands[command].name;
	char title[64] = "PROBEMETER";
	size_t i;

	for (i = 0; own && i <= strlen(own) && i < sizeof(title) - 12; i++) {
		title[10] = '-';
		title[11 + i] = (char)toupper((unsigned char)own[i]);
	}
	put_head(out, title, 1);
	fprintf(out, ".Sh NAME\n.Nm probemeter%s%s\n.Nd ", own ? "-" : "", own ? own : "");
	fprintf(out, "%s\n", own ? option_commands[command].help : "metrics from USDT probes, sent by one agent per host");
	put_synopsis(out, command);
	fprintf(out, ".Sh DESCRIPTION\n");
	for (i = 0; i < sizeof(page->about) / sizeof(page->about[0]) && page->about[i]; i++) {
		fputs(i ? ".Pp\n" : "", out);
		put_text(out, page->about[i]);
	}
	if (!own)
		put_commands(out);
	put_options(out, command);
	put_environment(out, command);
	fprintf(out, ".Sh FILES\n.Bl -tag -width Ds\n.It Pa %s\nThe configuration file, see\n.Xr probemeter.conf 5 .\n.El\n",
		CONFIG_PATH);
	fprintf(out, ".Sh EXIT STATUS\n.Bl -tag -width Ds\n.It 0\nSuccess.\n.It 1\n");
	put_sentence(out, page->failed);
	fprintf(out, ".It 2\nA flag, a value or the command is wrong.\n.El\n.Sh EXAMPLES\n");
	for (i = 0; i < sizeof(page->example) / sizeof(page->example[0]) && page->example[i]; i++)
		fprintf(out, ".Dl %s\n", page->example[i]);
	put_see_also(out, command);
}

void manual_configuration(FILE *out)
{
	put_head(out, "PROBEMETER.CONF", 5);
	fprintf(out, ".Sh NAME\n.Nm probemeter.conf\n.Nd configuration of the probemeter agent\n.Sh SYNOPSIS\n.Nm %s\n.Sh DESCRIPTION\n",
		CONFIG_PATH);
	put_text(out, "Each line is NAME = VALUE; blank lines and lines that begin with # are nothing. What may be repeated as a flag may be "
		      "repeated here. A flag wins over its environment variable, and a variable over this file. A line that is wrong "
		      "keeps the agent from starting; probemeter check --config FILE says so beforehand.");
	fprintf(out, ".Pp\n");
	put_text(out, "SIGHUP makes a running agent read the file again, and the files that it names; nothing that was counted is lost. "
		      "What it applies at once is marked live below, where rules (include, exclude, service, policy) hold for services "
		      "that fire from then on; the others need a restart. If a line is wrong, it says so and stays as it is.");
	fprintf(out, ".Bl -tag -width Ds\n");
	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		const struct option_row *row = &option_rows[key];

		if (row->when == OPTION_FLAG_ONLY)
			continue;
		fprintf(out, ".It Cm %s No = Ar %s\n", option_name(row), row->argument ? row->argument : "VALUE");
		put_row(out, row);
		if (row->when == OPTION_LIVE)
			fprintf(out, "Live.\n");
	}
	fprintf(out, ".El\n.Sh EXAMPLES\n.Bd -literal -offset indent\n"
		     "endpoint = https://collector.example:4318\nheaders-file = /etc/probemeter/headers\n"
		     "interval = 10000\ninclude = unit:shop*\n.Ed\n"
		     ".Sh SEE ALSO\n.Xr probemeter 1 ,\n.Xr probemeter-check 1 ,\n.Xr probemeter-run 1\n");
}
