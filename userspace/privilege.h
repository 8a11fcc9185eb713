/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * privilege.h - what the agent must be allowed to do, and whether it is.
 */
#ifndef PROBEMETER_PRIVILEGE_H
#define PROBEMETER_PRIVILEGE_H

#include <stddef.h>

struct privilege {
	int capability;
	const char *name;
	const char *why;
};

extern const struct privilege privileges[];
extern const size_t privilege_count;

/* Is this one effective now? CAP_SYS_ADMIN stands for those that were split off from it. */
int privilege_held(const struct privilege *privilege);

/* The names of those not held, separated by ", "; returns how many. */
size_t privilege_missing(char *ret, size_t size);

#endif
