/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - options, then the command.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "guard.h"
#include "log.h"
#include "options.h"
#include "probes.h"
#include "run.h"
#include "show.h"
#include "stop.h"
#include "top.h"
#include <probemeter/version.h>

static int (*const commands[])(const struct options *options) = {
	[COMMAND_RUN] = run,	     [COMMAND_CHECK] = check,	    [COMMAND_PROBES] = probes,
	[COMMAND_TOP] = top,	     [COMMAND_SNAPSHOT] = show_snapshot, [COMMAND_STOP] = stop,
};

/* What was printed may still wait to be written. Return: @code, or 1 if some of it never will be. */
static int output_end(int code)
{
	int err = 0;

	errno = 0;
	if (fflush(stdout))
		err = errno;
	if (!err && !ferror(stdout))
		return code;
	log_message(LOG_ERROR, "the output cannot be written%s%s", err ? ": " : "", err ? strerror(err) : "");
	return code ? code : 1;
}

int main(int argc, char **argv)
{
	struct options options;
	char error[512];
	size_t i;
	int code;

	if (argc > 0 && !strcmp(argv[0], GUARD_NAME))
		return guard_main(argc, argv);
	/* Fixed, or one large answer of a collector would raise it, and the next one stay in the heap for good. */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 17);
	code = options_parse(argc, argv, getenv, &options, error, sizeof(error));
	/* 2 says that starting again does not help. */
	if (code) {
		log_message(LOG_ERROR, "%s", code == -ENOMEM ? "out of memory at the start" : error);
		return code == -ENOMEM ? 1 : 2;
	}
	log_set_level(options.log_level);
	log_set_format(options.log_format);
	for (i = 0; i < options.warning_count; i++)
		log_message(LOG_WARN, "%s", options.warning[i]);
	if (options.note)
		log_message(LOG_INFO, "%s", options.note);
	if (options.version) {
		printf("probemeter %s\n", PROBEMETER_VERSION);
		code = 0;
	} else if (options.help || options.command == COMMAND_NONE) {
		options_help(stdout, options.command);
		code = 0;
	} else {
		code = commands[options.command](&options);
	}
	/* An agent has said so already, and lives on without. */
	if (options.command != COMMAND_RUN || options.help || options.version)
		code = output_end(code);
	options_free(&options);
	return code;
}
