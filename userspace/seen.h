/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seen.h - series of which something must be said although nobody speaks of them now.
 *
 * An up-down counter whose processes have all died is 0, not absent; a counter that was exported as 0 from its attach
 * stays there. A gauge whose last process has died has no value any more, and whoever was sent one is told so. Within
 * limits: who lives for years and has other label values every day is not remembered for ever.
 */
#ifndef PROBEMETER_SEEN_H
#define PROBEMETER_SEEN_H

#include "merge.h"

struct seen;

/* Which series are remembered. */
enum seen_which {
	SEEN_GOES_ON, /* as 0: up-down counters, and counters without labels */
	SEEN_ENDS, /* with its last process: of a latest kind */
};

struct seen *seen_new(enum seen_which which);
void seen_free(struct seen *seen);

/* Remember those series of @points. Return: 0 or -ENOMEM. */
int seen_update(struct seen *seen, const struct points *points);

/*
 * What became of ends, as life.h has it: @points are on their way as they were encoded, a request with @count of them from
 * @first on was not taken, whatever did not fail was delivered. An end that was delivered is not told again.
 */
void seen_sent(struct seen *seen, const struct points *points);
void seen_failed(struct seen *seen, size_t first, size_t count);
void seen_delivered(struct seen *seen);

/* Nothing is to be said of @resource any more. */
void seen_forget(struct seen *seen, const struct resource *resource);

/* Forget all of it. */
void seen_clear(struct seen *seen);

/* Number of remembered series, and one sample without a value for each at @ret. */
size_t seen_count(const struct seen *seen);
void seen_samples(const struct seen *seen, struct sample *ret);

#endif
