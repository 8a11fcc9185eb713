/* SPDX-License-Identifier: BSD-2-Clause */
/* language - the interpreters scripts may ask for, and their real versions. */
#ifndef SCRIPTD_LANGUAGE_H
#define SCRIPTD_LANGUAGE_H

#include <stddef.h>

struct runner;

enum { LANGUAGE_BASH, LANGUAGE_PYTHON, NR_LANGUAGES };

struct language {
	const char *name;		/* as clients say it: "bash" */
	const char *flag;		/* given to the interpreter before the script */
	const char *version_script;	/* prints "major.minor" */
	char interpreter[256];
	char lang_and_version[48];	/* label: "bash-5.2" */
};

/** language_init - set interpreter paths and ask each for its version; one that does not run is "<name>-unknown" */
void language_init(struct runner *runner, const char *bash, const char *python);

/** language_at - by index below NR_LANGUAGES */
const struct language *language_at(size_t index);

/** language_find - by name; NULL if there is none such */
const struct language *language_find(const char *name);

/** language_probe - run the version script. Return: 0 or -errno. */
int language_probe(struct runner *runner, const struct language *language, char *version, size_t size);

#endif
