/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * levels.h - the levels of all processes, folded while they are read, within limits.
 */
#ifndef PROBEMETER_LEVELS_H
#define PROBEMETER_LEVELS_H

#include "level.h"
#include "merge.h"
#include "table.h"

/* Of series with levels at one time. One service gets half of either, and PM_SERIES_PER_METRIC of one metric; what is past
 * that is in the overflow series of its metric. Of those there are as many again. */
#define LEVELS_SERIES 32768
#define LEVELS_BYTES ((size_t)16 << 20) /* with their label values */

struct levels;

struct levels *levels_new(void);
void levels_free(struct levels *levels);

/* A new collection: nothing was read yet, and the samples of the last one are gone. */
void levels_begin(struct levels *levels);

/**
 * levels_add - what one process has
 * @resource: its own
 * @level:    @count of them; need not outlive the call
 * @start_unix_ns: by metric id; no earlier than the resource's own
 *
 * Values of processes that share a series add up, or the latest is kept, as merge.c does it with samples.
 *
 * Return: 0, -ENOMEM, or -ENOSPC if there is no room even for an overflow series: the rest is added all the same.
 */
int levels_add(struct levels *levels, const struct resource *resource, const struct level *level, size_t count,
	       const uint64_t *start_unix_ns);

/* How many series a metric of one service has, without its overflow series. */
struct levels_tally {
	struct {
		const struct resource *resource;
		const struct metric *metric;
	} key;
	size_t series;
	UT_hash_handle hh;
};

/* All of them, by hh.next; good until levels_begin(). */
const struct levels_tally *levels_tallies(const struct levels *levels);

/* The label values of its series, to @ret, which has room for all. */
void levels_values(const struct levels *levels, const struct levels_tally *tally, const char *const **ret);

/* What is taken of LEVELS_SERIES and LEVELS_BYTES, by one service, or with NULL by all. */
struct levels_used {
	size_t series, bytes;
};
struct levels_used levels_used(const struct levels *levels, const struct resource *resource);

/* A sample per series, to @ret, which has room for levels_count(); label values are good until levels_begin(). */
size_t levels_count(const struct levels *levels);
void levels_samples(const struct levels *levels, struct sample *ret);

#endif
