/* SPDX-License-Identifier: BSD-2-Clause */
/* check.h - the command that tells whether this host is fit. */
#ifndef PROBEMETER_CHECK_H
#define PROBEMETER_CHECK_H

#include <stdbool.h>
#include <stddef.h>

struct options;

/* One line per requirement. Return: exit code, 0 if all are met. */
int check(const struct options *options);


/**
 * check_refuses - is it no use to start on this host?
 * @ret: the first requirement that is not met, what was seen, and the remedy
 *
 * Return: true if one of the cheap requirements, without which nothing works, is not met.
 */
bool check_refuses(char *ret, size_t size);

#endif
