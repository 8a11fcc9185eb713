/* SPDX-License-Identifier: BSD-2-Clause */
/* sandbox.h - what the agent cannot do any more, even if somebody else's input should get to steer it. */
#ifndef PROBEMETER_SANDBOX_H
#define PROBEMETER_SANDBOX_H

#include <stdbool.h>
#include <stdio.h>

/**
 * sandbox_drop - drop privileges (privilege_drop()), and say in the log what is missing or cannot be dropped
 * @events: links are perf events, and need more
 *
 * Return: 0 or -errno.
 */
int sandbox_drop(bool events);

/**
 * sandbox_enter - refuse all system calls but those of the table, for good
 *
 * For the calling thread and those that it starts: call before there are others. A call that is not in the table is not
 * made, fails with EPERM and is named in the log, once; one that only a hijacked process makes (a new program, another
 * user, another mount) ends the process with SIGSYS. A kernel that has no filters is told of in the log.
 *
 * Return: 0, also where the kernel has no filters, or -errno: there is no memory to make one. The log has it.
 */
int sandbox_enter(void);

/* The only program that may be executed behind the filter, "/proc/self/exe": by this very pointer. */
extern const char sandbox_self[];

/* In that program: log refused calls again. The filter itself outlives an exec. */
void sandbox_again(void);

/* The table as Markdown. */
void sandbox_document(FILE *out);

#endif
