/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bucket.h - where a cell's values lie, and which bounds a histogram has. Pure.
 */
#ifndef PROBEMETER_BUCKET_H
#define PROBEMETER_BUCKET_H

#include <stdint.h>

#include "points.h"

/* Room for any sum of 64-bit words. */
__extension__ typedef unsigned __int128 uint128_t;

#define BUCKET_MAX_DEFAULT_BOUNDS 24

/**
 * bucket_bounds - the explicit bounds of a histogram
 * @metric: declared bounds are taken as they are; without them, powers of two that fit the unit
 * @room:   for the latter, BUCKET_MAX_DEFAULT_BOUNDS doubles, the caller's
 * @ret:    @room or the metric's own array
 *
 * The same for every series of a metric, for ever.
 *
 * Return: number of bounds; there is one bucket more.
 */
uint32_t bucket_bounds(const struct metric *metric, double *room, const double **ret);

/* The explicit bucket of a cell: with declared bounds what the kernel found, else from the octave, which is exact as
 * the bounds are powers of two. */
uint32_t bucket_index(const struct metric *metric, uint64_t where, const double *bound, uint32_t bound_count);

/* The same for a cell of an exponential histogram, whose bounds are the default ones. */
uint32_t bucket_of_cell(const struct bucket_count *cell, const double *bound, uint32_t bound_count);

/* Sum of a cell's values, at most the largest double. Relative error at most 2^-32; subnormal values count as the smallest
 * normal one. */
double bucket_sum(uint64_t where, uint128_t sum);

#endif
