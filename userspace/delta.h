/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * delta.h - from totals since the start to what a collector has not acknowledged yet. Pure.
 */
#ifndef PROBEMETER_DELTA_H
#define PROBEMETER_DELTA_H

#include "points.h"

struct arena;
struct delta;
struct journal_pack;
struct journal_record;

/* Knows nothing yet: everything will be new. NULL if memory is short. */
struct delta *delta_new(void);
void delta_free(struct delta *delta);

/**
 * delta_points - what to send now
 * @points: totals, as merge made them; every series that there is
 * @arena:  owns the points of @ret, which borrow from @points as well
 * @ret:    counters and histograms since they were last acknowledged, without those to which nothing came; up-down
 *          counters and gauges as they are. Untouched on failure
 *
 * A delta starts where the last acknowledged one ended, or with its series. A series that is not in @points any more is
 * forgotten; one that ends keeps what was acknowledged, in case it goes on; one that has stepped back begins anew, with all that it has now. Only one set can be on its way: another
 * call replaces it, and what was not acknowledged by then is part of the new one.
 *
 * The sums of all acknowledged deltas add up, in doubles, to the total's sum but for the last addition's rounding; counts
 * and buckets add up exactly. A counter without labels is sent once as 0, so that a receiver knows it from its start on.
 *
 * Return: 0 or -ENOMEM.
 * Source: OpenTelemetry metrics data model, "Temporality"; OTLP metrics exporter, "Temporality Preference" (delta and
 * lowmemory differ only in kinds that nothing here has).
 */
int delta_points(struct delta *delta, const struct points *points, struct arena *arena, struct points *ret);

/* What was acknowledged of @resource, and what is on its way: its series begin anew, or never come again. */
void delta_forget(struct delta *delta, const struct resource *resource);

/* The collector has @count points from @first on, of the last delta_points(). Cannot fail. */
void delta_acknowledge(struct delta *delta, size_t first, size_t count);

/* Everything that was acknowledged, for another process; and back. A baseline holds for the series of the same name and start
 * time. @pack says itself if memory was short. Return: 0, -EBADMSG, -ENOMEM, and then @delta knows nothing. */
void delta_pack(const struct delta *delta, struct journal_pack *pack);
int delta_unpack(struct delta *delta, struct journal_record *record);

/* Nobody knows what was acknowledged of series that began before @since_unix_ns and have no baseline: take all of it for
 * acknowledged. Return: 0 or -ENOMEM. */
int delta_begin(struct delta *delta, const struct points *points, uint64_t since_unix_ns);

/* How many of those are deltas: what is lost or comes twice if they do, unlike a total. */
size_t delta_count(const struct delta *delta, size_t first, size_t count);

/* Bytes in use, and at most with @cells in the kernel: every series kept here has one of its own. */
size_t delta_bytes(const struct delta *delta);
size_t delta_bytes_max(size_t cells);

#endif
