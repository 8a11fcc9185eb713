/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collect.h - one consistent set of points from the kernel, the processes and the agent itself.
 */
#ifndef PROBEMETER_COLLECT_H
#define PROBEMETER_COLLECT_H

#include "discover.h"
#include "kernel.h"
#include "metric.h"
#include "owner.h"
#include "remember.h"
#include "self.h"

struct collector;

/* @remember: told of all that the next agent needs. @agent: the resource of the agent's own metrics. @hit_ns: what a hit
 * costs here, for the estimate of cost.h. @exponential: as in merge.h. */
struct collector *collector_new(const struct kernel *kernel, struct metrics *metrics, struct services *services,
				struct remember *remember, const struct resource *agent, double hit_ns, bool exponential);

/* Forget services of which no process has lived for @delay_ns. Return: 0 or as forget_new(): then nothing is forgotten. */
int collector_forgets(struct collector *collector, uint64_t delay_ns);

/* As owners_choose() of owner.h. */
void collector_choose(struct collector *collector, const struct rules *rules, bool per_process);

/* Is this living process counted? */
bool collector_counts(struct collector *collector, struct process *process);

void collector_free(struct collector *collector);

/* Go on where the agent before this one ended: starts of streams, services, series. Call after collector_choose(): what
 * was settled by other rules is settled anew. Return: 0, -EBADMSG, -ENOMEM. */
int collector_restore(struct collector *collector);

/* When this metric was first attached: the start of its streams. Call before attaching. Return: 0, or -ENOSPC or -ENOMEM
 * if it cannot be remembered, and then it must not be attached. */
int collector_metric_starts(struct collector *collector, const struct metric *metric, uint64_t now_unix_ns);

/* Name the services that showed up since the last call. Return: 0 or -errno. */
int collector_services(struct collector *collector, const struct discovery *discovery);

/**
 * collector_points - what is true now
 * @discovery: settled just before, so that the dead are out and forked children are in
 * @self:      counters of the agent; those that the collection itself finds are filled in
 * @arena:     owns the points
 * @ret:       untouched on failure
 *
 * Return: 0 or -errno.
 */
int collector_points(struct collector *collector, const struct discovery *discovery, struct self *self,
		     uint64_t now_unix_ns, struct arena *arena, struct points *ret);

/**
 * collector_view - as collector_points(), for somebody who looks between two exports
 * @self: a copy; the export's measurements begin at the export before
 *
 * What an export says later is as if nobody had looked. Histograms have explicit bounds here, whatever the collector gets.
 */
int collector_view(struct collector *collector, const struct discovery *discovery, struct self *self,
		   uint64_t now_unix_ns, struct arena *arena, struct points *ret);

struct delta;

/* What became of the last collection, as life.h has it: sent, in part not taken, delivered. Where nobody sends, it was
 * delivered. */
void collector_sent(struct collector *collector, const struct points *points);
void collector_failed(struct collector *collector, size_t first, size_t count);
void collector_delivered(struct collector *collector);

/**
 * collector_forget - give back everything that is known of services whose end was delivered
 * @delta: its baselines; NULL: none
 * @first: room for the name of one of them
 *
 * Cheap if there are none; else it waits for the kernel, some ten milliseconds.
 *
 * Return: how many resources, or -errno: tried again by the next call.
 */
long collector_forget(struct collector *collector, const struct discovery *discovery, struct delta *delta, char *first,
		      size_t first_size);

/* As costs_over() of cost.h. */
const struct resource *collector_over(struct collector *collector, uint64_t elapsed_ns, unsigned max_percent,
				      double *ret_percent);

/* When the last of the streams began that an earlier agent left; 0: there is none. No point is earlier. */
uint64_t collector_latest_start(const struct collector *collector);

struct history;

/* What collections left behind, see history.h. */
const struct history *collector_history(const struct collector *collector);

/* What the user should be told of the last collection, line by line: drops_next() of drops.h, headroom_next() of headroom.h,
 * level_headroom_next() of level_headroom.h. */
bool collector_warning(struct collector *collector, char *ret, size_t size);

#endif
