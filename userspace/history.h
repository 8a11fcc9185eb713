/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history.h - the last fifteen minutes of what is drawn as lines and heatmaps, in bounded memory.
 *
 * Who opens the live page in the middle of an incident wants to see what was before. So each collection that is made anyway,
 * for an export or for somebody who asks, leaves its numbers here, ten seconds apart: what is new in each counter and in each
 * bucket of a histogram, and the value of each level. Labels are not needed for a heatmap: the series of a histogram are one.
 *
 * HISTORY_BYTES is the limit, one service gets half of it, and of one metric of a service the HISTORY_LINES largest series
 * are kept. What finds no room is drawn from the moment on when somebody looks. Nothing of it outlives the agent.
 */
#ifndef PROBEMETER_HISTORY_H
#define PROBEMETER_HISTORY_H

#include "points.h"

#define HISTORY_MOMENTS 90
#define HISTORY_STEP_NS 10000000000ull
#define HISTORY_BYTES ((size_t)2 << 20)
#define HISTORY_LINES 8

struct history;

/* What is drawn as one: a series, or all series of a histogram in a service. */
struct history_line;

struct history *history_new(void);
void history_free(struct history *history);

/**
 * history_add - one more moment
 * @points: totals, ordered as points.h says
 * @now_ns: of a clock that nobody sets and that goes on in a suspended host
 *
 * If the moment before is less than HISTORY_STEP_NS ago only @now_ns is taken.
 */
void history_add(struct history *history, const struct points *points, uint64_t now_ns);

/* @resource is about to be freed. */
void history_forget(struct history *history, const struct resource *resource);

/* How many moments of the last fifteen minutes there are, and how long ago each was at the last history_add(), the oldest
 * first. */
size_t history_moments(const struct history *history, uint64_t ret_ago_ns[HISTORY_MOMENTS]);

/* The line that @point is part of; NULL: it is not remembered. */
const struct history_line *history_find(const struct history *history, const struct point *point);

/* Numbers of a line at each moment: the buckets of a histogram, else 1. */
uint32_t history_width(const struct history_line *line);

/* Totals of these numbers when they were last seen; of a level no meaning. */
const uint64_t *history_totals(const struct history_line *line);

/**
 * history_row - a line's numbers at one moment
 * @moment: as history_moments() counts them
 *
 * Return: what was new since the moment before, of a level its value; NULL where that is not known.
 */
const float *history_row(const struct history *history, const struct history_line *line, size_t moment);

/* What all of it takes now. */
size_t history_bytes(const struct history *history);

#endif
