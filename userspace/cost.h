/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cost.h - what its probes cost each service: hits times what a hit costs on this host.
 */
#ifndef PROBEMETER_COST_H
#define PROBEMETER_COST_H

#include "merge.h"

struct costs;

struct costs *costs_new(void);
void costs_free(struct costs *costs);

/* @resource is gone. Its hits stay in the series of its name while others have that name; else the series ends. */
void costs_forget(struct costs *costs, const struct resource *resource);

/* Since costs_begin(): @resource ends. And do all that have this name? */
void costs_end(struct costs *costs, const struct resource *resource);
bool costs_ends(const struct costs *costs, const char *name);

/* Start a new reading: hits are counted from zero again. */
void costs_begin(struct costs *costs);

/* Add hits of one service's since it was first seen. Return: 0 or -ENOMEM. */
int costs_add(struct costs *costs, const struct resource *resource, uint64_t hits);

/* What is counted, for documentation. */
const struct metric *costs_metric(void);

/* What was added so far was before this agent's time. */
void costs_rebase(struct costs *costs);

/* Number of services, and a sample of estimated CPU time for each at @ret.
 * @hit_ns: of one hit; @agent: the resource that tells. Return of the latter: 0 or -ENOMEM. */
size_t costs_count(const struct costs *costs);
int costs_samples(struct costs *costs, double hit_ns, const struct resource *agent, uint64_t start_unix_ns,
		  struct arena *arena, struct sample *ret);

/**
 * costs_over - the next service that went over the limit since the last round of calls
 * @elapsed_ns:  between the two rounds; 0: this is the first
 * @ret_percent: of one CPU
 *
 * A service is named once; again only after it has been under the limit. Call until it returns NULL, which ends the round.
 */
const struct resource *costs_over(struct costs *costs, double hit_ns, uint64_t elapsed_ns, unsigned max_percent,
				  double *ret_percent);

#endif
