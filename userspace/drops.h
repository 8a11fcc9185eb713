/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drops.h - why something was not counted or not delivered: the one table of reasons.
 */
#ifndef PROBEMETER_DROPS_H
#define PROBEMETER_DROPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "metric.h"

/* What the log says of other things than events; whoever drops them writes it. */
#define DROPS_LOG_LEVELS "found no room in its table, and are lost"
#define DROPS_LOG_REJECTED "the collector dropped"
#define DROPS_LOG_TOO_LARGE "a point is larger than a request may be"
#define DROPS_LOG_NOT_ACKNOWLEDGED "points were not acknowledged"

struct drop_reason {
	const char *name; /* of an event's: the attribute "reason" of probemeter.agent.events.dropped */
	const char *counter; /* the agent's own metric that counts it, NULL: there is nobody left to count */
	const char *log; /* what a line of the log has, once per metric or export */
	const char *meaning;
	const char *remedy;
};

/* Reasons of events, by enum pm_drop; NULL name: not in use. */
extern const struct drop_reason drop_reasons[];

struct drops_told;

struct drops_told *drops_told_new(void);
void drops_told_free(struct drops_told *told);

/**
 * drops_next - the next drop of events that the user has not been told of: each reason once per metric
 * @drop: the kernel's counters, PM_DROP_INDEX()
 * @ret:  one line
 *
 * Return: false when there is none.
 */
bool drops_next(struct drops_told *told, const struct metrics *metrics, const uint64_t *drop, char *ret, size_t size);

/* The table for operating.md, in Markdown. */
void drops_document(FILE *out);

#endif
