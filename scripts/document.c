/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * document.c - the tables of README, from the tables that the agent itself uses.
 *
 * Consumes the name of one; produces Markdown. readme.sh puts it where it belongs.
 */
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "privilege.h"
#include "sandbox.h"
#include "self.h"

static const struct {
	const char *name;
	void (*print)(FILE *out);
} documents[] = {
	{ "options", options_document },
	{ "metrics", self_document },
	{ "capabilities", privilege_document },
	{ "calls", sandbox_document },
};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; i < sizeof(documents) / sizeof(documents[0]) && argc == 2; i++)
		if (!strcmp(argv[1], documents[i].name)) {
			documents[i].print(stdout);
			return fflush(stdout) ? 1 : 0;
		}
	fprintf(stderr, "document: expected the name of one table:");
	for (i = 0; i < sizeof(documents) / sizeof(documents[0]); i++)
		fprintf(stderr, " %s", documents[i].name);
	fprintf(stderr, "\n");
	return 2;
}
