/* SPDX-License-Identifier: BSD-2-Clause */
/* options - the command line, from one table that drives parsing, help and errors. */
#ifndef SCRIPTD_OPTIONS_H
#define SCRIPTD_OPTIONS_H

#include <stdbool.h>

struct options {
	const char *data_dir;
	const char *bash, *python;
	const char *stats_file;
	int port;
	int workers, queue_capacity;
	int timeout_ms, memory_mib;
	int health_ms;
	int dlq_attempts, dlq_backoff_ms;
	int webhook_timeout_ms;
	int grace_ms;
	bool quiet;
	bool help;
};

/**
 * options_parse - fill @ret from defaults and @argv
 *
 * Return: 0; -EINVAL after one line on stderr that says what was expected.
 */
int options_parse(int argc, char **argv, struct options *ret);

/** options_help - print every option with its default to stdout */
void options_help(void);

#endif
