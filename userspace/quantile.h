/* SPDX-License-Identifier: BSD-2-Clause */
/* quantile.h - what a histogram's buckets say about its values. */
#ifndef PROBEMETER_QUANTILE_H
#define PROBEMETER_QUANTILE_H

#include <stdbool.h>

#include "points.h"

/**
 * quantile_estimate - the value below which the share @q of all values lies
 * @point:     a histogram of either kind
 * @q:         0 to 1
 * @ret:       in the metric's unit, interpolated inside its bucket as PromQL's histogram_quantile() does
 * @ret_above: true if the bucket has no end: the value is somewhere above @ret
 *
 * Return: false if the histogram is empty.
 */
bool quantile_estimate(const struct point *point, double q, double *ret, bool *ret_above);

#endif
