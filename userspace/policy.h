/* SPDX-License-Identifier: BSD-2-Clause */
/* policy.h - the rules that the options ask for. */
#ifndef PROBEMETER_POLICY_H
#define PROBEMETER_POLICY_H

#include <stddef.h>

struct options;
struct rules;

/* The rules of @options, then those of its policy file; caller frees with rules_free(). Return: 0, or a negative errno with
 * all of it at @error. */
int policy_read(const struct options *options, struct rules **ret, char *error, size_t error_size);

#endif
