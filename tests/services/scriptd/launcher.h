/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * launcher - starts scripts from a small process of its own.
 *
 * Scripts are not forked from the service itself, for two reasons. The kernel
 * carries a process's peak memory over an exec (exec_mmap() in fs/exec.c calls
 * setmax_mm_hiwater_rss() for the old image), so every script would report at
 * least the service's own memory. And the service has many threads, which
 * makes fork() a careful business.
 *
 *     service ──request + fds──► launcher ──fork──► monitor ──fork──► script
 *        ▲                                             │
 *        └───────────────── result ────────────────────┘
 *
 * The launcher is forked before the service starts a thread or opens a file.
 * Each script has a monitor, which enforces the time limit, kills the process
 * group, collects whatever the script left running, and reads the kernel's
 * accounting with wait4(). A monitor whose service has died kills its script.
 */
#ifndef SCRIPTD_LAUNCHER_H
#define SCRIPTD_LAUNCHER_H

#include <stdbool.h>
#include <stdint.h>

struct launcher;

struct launch_request {
	char interpreter[256];		/* absolute path */
	char flag[32];			/* one flag for it, or empty */
	uint32_t timeout_ms;
	uint32_t memory_mib;		/* address space limit of each process */
};

struct launch_result {
	int32_t start_errno;		/* not 0: nothing ran, the rest is void */
	int32_t wait_status;		/* as wait4() gives it */
	bool timed_out;
	bool cancelled;
	double wall_s;			/* from fork to exit */
	double cpu_s;			/* user and system, waited-for children included */
	int64_t peak_kib;		/* of the largest process */
};

/**
 * launcher_start - fork the launcher; call before any thread exists
 * @workdir: directory the scripts run in
 * @ret:     the launcher; end it with launcher_stop()
 *
 * Return: 0 or -errno.
 */
int launcher_start(const char *workdir, struct launcher **ret);

/**
 * launcher_launch - start one script
 * @script_fd: open file with the script's text; the caller keeps it
 * @output_fd: becomes the script's stdout and stderr; the caller keeps it
 * @ret:       control socket, owned by the caller: yields one struct
 *             launch_result when the script is gone; shutdown(SHUT_WR) or
 *             closing it kills the script
 *
 * Return: 0 or -errno; -EPIPE if the launcher has died.
 */
int launcher_launch(struct launcher *launcher, const struct launch_request *request,
		    int script_fd, int output_fd, int *ret);

/** launcher_stop - wait until every script is gone, end the launcher, free; NULL is fine */
void launcher_stop(struct launcher *launcher);

#endif
