/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * owner.h - which resource a kernel-side service and a living process belong to.
 */
#ifndef PROBEMETER_OWNER_H
#define PROBEMETER_OWNER_H

#include "discover.h"
#include "service.h"
#include "snapshot.h"

struct owners;

struct owners *owners_new(struct services *services);
void owners_free(struct owners *owners);

/**
 * owners_resolve - settle the resource of every kernel-side service not settled yet
 *
 * Best called soon after a service shows up: while its first process lives, /proc completes what the kernel kept.
 *
 * Return: 0 or -ENOMEM.
 */
int owners_resolve(struct owners *owners, const struct kernel *kernel, const struct snapshot *snapshot,
		   const struct discovery *discovery);

/* By the kernel's service id; NULL if it is not settled. */
const struct resource *owners_get(const struct owners *owners, uint32_t service);

/* Of a living process, asked once; NULL if it is gone. */
const struct resource *owners_of_process(struct owners *owners, struct process *process);

#endif
