/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metric.h - every metric seen so far, each once, with a dense number that the kernel side uses.
 */
#ifndef PROBEMETER_METRIC_H
#define PROBEMETER_METRIC_H

#include "points.h"

struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/**
 * metrics_intern - the one copy of a metric
 * @wanted: what a descriptor says; all of it but the id decides identity
 * @ret:    the copy, with its id; lives as long as @metrics
 *
 * Return: 0, -ENOSPC when PM_MAX_METRICS are there, -ENOMEM.
 */
int metrics_intern(struct metrics *metrics, const struct metric *wanted, const struct metric **ret);

/**
 * metrics_conflict - is there another metric of this name that means something else?
 * @metric: interned, of a file that is attached now; only those are compared
 *
 * Told once per metric. Descriptions may differ. What two services have under one name stays apart, as each has a
 * resource of its own; but whoever looks at both should know.
 *
 * Return: what differs first: "kind", "unit" or "labels"; or NULL. Static.
 */
const char *metrics_conflict(struct metrics *metrics, const struct metric *metric);

/* This metric is shown no more, as when a rule leaves it out that an earlier agent did not have: what it counted stays where
 * it is, and it is in nobody's way. */
void metrics_hide(struct metrics *metrics, uint32_t id, bool hidden);
bool metrics_hidden(const struct metrics *metrics, uint32_t id);

/* How many there are: ids are below. */
uint32_t metrics_count(const struct metrics *metrics);

/* By id, NULL if there is none. */
const struct metric *metrics_get(const struct metrics *metrics, uint32_t id);

#endif
