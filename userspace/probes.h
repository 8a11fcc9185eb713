/* SPDX-License-Identifier: BSD-2-Clause */
/* probes.h - the command that lists probes and metrics. */
#ifndef PROBEMETER_PROBES_H
#define PROBEMETER_PROBES_H

struct options;

/* Of a file, of a process, or of every process. Return: exit code. */
int probes(const struct options *options);

#endif
