/* SPDX-License-Identifier: BSD-2-Clause */
/* exponential.h - from the kernel's cells to the buckets of an exponential histogram. Pure. */
#ifndef PROBEMETER_EXPONENTIAL_H
#define PROBEMETER_EXPONENTIAL_H

#include "points.h"

struct arena;

/* The kernel's cells are an octave's eighths: base 2^(1/8). */
#define EXPONENTIAL_CELL_SCALE 3
/* Positive and negative ones together. OpenTelemetry's default of 160 is per sign; this obeys it too. */
#define EXPONENTIAL_MAX_BUCKETS 160

/**
 * exponential_cell - where a cell lies
 * @where: bpf/maps.h, of a histogram without declared bounds
 * @ret:   index at EXPONENTIAL_CELL_SCALE and sign; the count is left alone
 *
 * Return: false for the cell of zeros, which has no index.
 */
bool exponential_cell(uint64_t where, struct bucket_count *ret);

/**
 * exponential_fit - choose the scale and fill the buckets
 * @point: its cells in any order, one index perhaps several times; they are sorted and joined. Scale, positive and
 *         negative are set
 * @arena: owns the buckets
 *
 * The scale is the largest, but at most that of the cells, at which EXPONENTIAL_MAX_BUCKETS do. Coarser buckets are
 * unions of finer ones, so nothing moves over a bound.
 *
 * Return: 0 or -ENOMEM.
 * Source: OpenTelemetry metrics data model, "Exponential Scale" and "Downscaling".
 */
int exponential_fit(struct point *point, struct arena *arena);

#endif
