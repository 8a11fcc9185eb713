/* SPDX-License-Identifier: BSD-2-Clause */
/* run.h - the agent. */
#ifndef PROBEMETER_RUN_H
#define PROBEMETER_RUN_H

struct options;

/* Run until SIGTERM or SIGINT, or for one interval with --once. Return: exit code. */
int run(const struct options *options);

#endif
