/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * owner.h - which resource a kernel-side service and a living process belong to.
 */
#ifndef PROBEMETER_OWNER_H
#define PROBEMETER_OWNER_H

#include "discover.h"
#include "metric.h"
#include "remember.h"
#include "service.h"
#include "snapshot.h"

struct owners;
struct rules;

/* @remember: knows what earlier agents settled, and is told what this one does. */
struct owners *owners_new(const struct kernel *kernel, struct services *services, struct metrics *metrics,
			  struct remember *remember);
void owners_free(struct owners *owners);

/**
 * owners_resolve - settle the resource of every kernel-side service not settled yet
 *
 * Best called soon after a service shows up: while its first process lives, /proc completes what the kernel kept.
 *
 * Return: 0 or -ENOMEM.
 */
int owners_resolve(struct owners *owners, const struct snapshot *snapshot, const struct discovery *discovery);

/* Before anything is settled: @rules (NULL: none) say who is counted and how processes are called; @per_process: each is
 * a resource of its own. */
void owners_choose(struct owners *owners, const struct rules *rules, bool per_process);

/* What an earlier agent settled. NULL: nothing. */
void owners_set(struct owners *owners, uint32_t service, const struct resource *resource);

/* Settle all services anew, whatever an earlier agent told the kernel: it went by other rules. */
void owners_anew(struct owners *owners);

/* Is there a resource for this service, or is it excluded? */
bool owners_settled(const struct owners *owners, uint32_t service);

/* Forget it: its id may become another one's. */
void owners_forget(struct owners *owners, uint32_t service);

/* Do the rules exclude this service? */
bool owners_excludes(const struct owners *owners, uint32_t service);

/* By the kernel's service id; NULL if it is not settled, or excluded. */
const struct resource *owners_get(const struct owners *owners, uint32_t service);

/* Of a living process, asked once; NULL if it is gone, or excluded. */
const struct resource *owners_of_process(struct owners *owners, struct process *process);

#endif
