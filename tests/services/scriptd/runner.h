/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * runner - runs one script to its end in the calling thread: hands it to the
 * launcher, reads its output line by line, and turns the kernel's accounting
 * into the catalogue's units. Queueing, recording and storing are for callers.
 */
#ifndef SCRIPTD_RUNNER_H
#define SCRIPTD_RUNNER_H

#include <stdbool.h>
#include <stddef.h>

struct language;
struct launcher;
struct runner;

enum run_status { RUN_COMPLETED, RUN_FAILED, RUN_TIMEOUT };

#define RUN_OUTPUT_KEPT 4096

struct run_result {
	enum run_status status;
	const char *error_type;		/* NULL if completed; else a fixed string */
	int exit_code;			/* 128 + signal number if killed */
	bool cancelled;			/* failed because of runner_cancel() */
	double wall_s;
	double memory_mib;		/* peak resident set of the largest process */
	double cpu_millicores;		/* CPU time over wall time; 1000 is one CPU */
	char output[RUN_OUTPUT_KEPT];	/* beginning of it; bytes other than printable ASCII as '?' */
};

/** run_status_name - "completed", "failed" or "timeout" */
const char *run_status_name(enum run_status status);

/** Called with each line of output, without its newline, as in struct run_result. */
typedef void runner_line_fn(void *ctx, const char *line);

/** runner_create - over a started launcher, which must outlive it */
int runner_create(struct launcher *launcher, unsigned int memory_mib, struct runner **ret);

/**
 * runner_run - run @script; may be called from many threads
 * @line: called for at most 100 lines; may be NULL
 *
 * Return: 0 with @ret filled, also when the script could not be started
 * (RUN_FAILED, "start_failed"); -errno if there is no launcher.
 */
int runner_run(struct runner *runner, const struct language *language, const char *script,
	       unsigned int timeout_ms, runner_line_fn *line, void *ctx, struct run_result *ret);

/** runner_cancel - kill what runs, and whatever is run from now on */
void runner_cancel(struct runner *runner);

void runner_free(struct runner *runner);

#endif
