/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * headroom.h - who is near a limit, before it is reached.
 */
#ifndef PROBEMETER_HEADROOM_H
#define PROBEMETER_HEADROOM_H

#include "metric.h"
#include "names.h"
#include "owner.h"
#include "snapshot.h"

#define HEADROOM_PERCENT 80

struct headroom;

struct headroom *headroom_new(void);
void headroom_free(struct headroom *headroom);

/* What is looked into for the words of a warning. */
struct headroom_source {
	const struct kernel *kernel;
	const struct snapshot *snapshot;
	const struct metrics *metrics;
	const struct owners *owners;
	struct names *names;
};

/**
 * headroom_next - the next warning about a limit of which HEADROOM_PERCENT are taken
 * @ret: one line that names service, metric, limit with its flag, and the three labels with most values
 *
 * Each limit is warned of once: per service and metric, per service, and for the host.
 *
 * Return: false when there is nothing more to say, or memory is short; then until the next snapshot.
 */
bool headroom_next(struct headroom *headroom, const struct headroom_source *source, char *ret, size_t size);

/* Are HEADROOM_PERCENT of @limit taken? */
bool headroom_is_near(uint64_t used, uint64_t limit);

/* Services that are no more (shape [PM_MAX_SERVICES]): whoever gets such an id is warned of, too. */
void headroom_forget(struct headroom *headroom, const bool *gone);

/* The three labels of @metric with most values in @count series: "a (12 values), b (3 values)". Pure.
 * @value: [count] arrays of metric->label_count strings. Return: @ret. */
const char *headroom_labels(const struct metric *metric, const char *const **value, size_t count, char *ret, size_t size);

#endif
