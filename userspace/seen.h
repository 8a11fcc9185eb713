/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seen.h - series that must go on although nobody speaks of them now.
 *
 * An up-down counter whose processes have all died is 0, not absent; a counter that was exported as 0 from its attach
 * stays there. Within limits: who lives for years and has other label values every day is not remembered for ever.
 */
#ifndef PROBEMETER_SEEN_H
#define PROBEMETER_SEEN_H

#include "merge.h"

struct seen;

struct seen *seen_new(void);
void seen_free(struct seen *seen);

/* Remember the series of @points that must go on. Return: 0 or -ENOMEM. */
int seen_update(struct seen *seen, const struct points *points);

/* Those of @resource do not go on any more. */
void seen_forget(struct seen *seen, const struct resource *resource);

/* Forget all of it. */
void seen_clear(struct seen *seen);

/* Number of remembered series, and one zero sample for each at @ret. */
size_t seen_count(const struct seen *seen);
void seen_samples(const struct seen *seen, struct sample *ret);

#endif
