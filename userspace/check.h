/* SPDX-License-Identifier: BSD-2-Clause */
/* check.h - the command that tells whether this host is fit. */
#ifndef PROBEMETER_CHECK_H
#define PROBEMETER_CHECK_H

struct options;

/* One line per requirement. Return: exit code, 0 if all are met. */
int check(const struct options *options);

#endif
