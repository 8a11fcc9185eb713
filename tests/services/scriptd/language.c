/* SPDX-License-Identifier: BSD-2-Clause */
#include "language.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "runner.h"

#define PROBE_TIMEOUT_MS 3000

static struct language languages[NR_LANGUAGES] = {
	[LANGUAGE_BASH] = {
		.name = "bash",
		.flag = "--norc",
		.version_script = "echo ${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]}\n",
	},
	[LANGUAGE_PYTHON] = {
		.name = "python",
		.flag = "-u",		/* or its output would arrive only at the end */
		.version_script = "import sys\nprint('%d.%d' % sys.version_info[:2])\n",
	},
};

const struct language *language_at(size_t index)
{
	return &languages[index];
}

const struct language *language_find(const char *name)
{
	for (size_t i = 0; i < NR_LANGUAGES; i++)
		if (!strcmp(languages[i].name, name))
			return &languages[i];
	return NULL;
}

int language_probe(struct runner *runner, const struct language *language, char *version, size_t size)
{
	struct run_result result;
	int err;

	err = runner_run(runner, language, language->version_script, PROBE_TIMEOUT_MS, NULL, NULL, &result);
	if (err)
		return err;
	if (result.status != RUN_COMPLETED)
		return -ENOEXEC;
	result.output[strcspn(result.output, "\n")] = '\0';
	snprintf(version, size, "%.16s", result.output);
	return 0;
}

void language_init(struct runner *runner, const char *bash, const char *python)
{
	char version[20];

	snprintf(languages[LANGUAGE_BASH].interpreter, sizeof(languages[0].interpreter), "%s", bash);
	snprintf(languages[LANGUAGE_PYTHON].interpreter, sizeof(languages[0].interpreter), "%s", python);
	for (size_t i = 0; i < NR_LANGUAGES; i++) {
		if (language_probe(runner, &languages[i], version, sizeof(version))) {
			log_warn("language: '%s' does not run '%s' scripts; they will fail until it does",
				 languages[i].interpreter, languages[i].name);
			snprintf(version, sizeof(version), "unknown");
		}
		snprintf(languages[i].lang_and_version, sizeof(languages[i].lang_and_version), "%s-%s",
			 languages[i].name, version);
	}
}
