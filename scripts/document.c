/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * document.c - everything that is written down about options and metrics, from the tables that the agent itself uses.
 *
 *   document options        the table of options; readme.sh puts it where it belongs, in scripts/docs/operating.md
 *   document metrics        likewise the agent's own metrics; so drops, capabilities, calls
 *   document files          the names of all files below, one a line
 *   document FILE           that file: a manual page or a completion script, named as below /usr/share
 */
#include <stdio.h>
#include <string.h>

#include "document.h"
#include "drops.h"
#include "privilege.h"
#include "sandbox.h"
#include "self.h"
#include "shortage.h"

static void files(FILE *out);

static const struct {
	const char *name;
	void (*print)(FILE *out);
} documents[] = {
	{ "options", options_document },
	{ "metrics", self_document },
	{ "capabilities", privilege_document },
	{ "calls", sandbox_document },
	{ "files", files },
	{ "bash-completion/completions/probemeter", completion_bash },
	{ "zsh/vendor-completions/_probemeter", completion_zsh },
	{ "fish/vendor_completions.d/probemeter.fish", completion_fish },
	{ "man/man5/probemeter.conf.5", manual_configuration },
	{ "drops", drops_document },
	{ "shortages", shortage_document },
};
#define DOCUMENTS (sizeof(documents) / sizeof(documents[0]))

static const char *page_name(enum command command)
{
	static char name[64];
	const char *own = option_commands[command].name;

	(void)snprintf(name, sizeof(name), "man/man1/probemeter%s%s.1", own ? "-" : "", own ? own : "");
	return name;
}

static void files(FILE *out)
{
	size_t i;

	for (i = 0; i < DOCUMENTS; i++)
		if (strchr(documents[i].name, '/'))
			fprintf(out, "%s\n", documents[i].name);
	for (enum command command = COMMAND_NONE; command < OPTION_COMMANDS; command++)
		fprintf(out, "%s\n", page_name(command));
}

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; i < DOCUMENTS && argc == 2; i++)
		if (!strcmp(argv[1], documents[i].name)) {
			documents[i].print(stdout);
			return fflush(stdout) ? 1 : 0;
		}
	for (enum command command = COMMAND_NONE; command < OPTION_COMMANDS && argc == 2; command++)
		if (!strcmp(argv[1], page_name(command))) {
			manual_command(stdout, command);
			return fflush(stdout) ? 1 : 0;
		}
	fprintf(stderr, "document: expected one name: options, metrics, files, or one of those that 'document files' prints\n");
	return 2;
}
