/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quantile.c - quantiles estimated from buckets.
 *
 * Consumes one histogram point, produces one number for people to read. Pure; nothing of it goes on the wire.
 */
#include "quantile.h"

#include <math.h>

struct bucket {
	double low, high;
	uint64_t count;
};

static uint32_t bucket_total(const struct point *point)
{
	if (point->type == POINT_HISTOGRAM)
		return point->bound_count + 1;
	return point->negative.bucket_count + 1 + point->positive.bucket_count;
}

static double power(int32_t scale, double index)
{
	return exp2(index * exp2(-scale));
}

/* The bucket at @index, counted from the lowest values. */
static struct bucket bucket_at(const struct point *point, uint32_t index)
{
	const struct exponential_buckets *side = &point->negative;
	uint32_t negatives = side->bucket_count;
	int32_t scale = point->scale;
	double at;

	if (point->type == POINT_HISTOGRAM) {
		double low = index ? point->bound[index - 1] : 0;

		/* Without bounds nothing is known; a first bucket that ends at 0 or below has no width to show. */
		if (!point->bound_count)
			return (struct bucket){ 0, INFINITY, point->bucket[0] };
		if (index == point->bound_count)
			return (struct bucket){ low, INFINITY, point->bucket[index] };
		if (!index && point->bound[0] <= 0)
			low = point->bound[0];
		return (struct bucket){ low, point->bound[index], point->bucket[index] };
	}
	if (index == negatives)
		return (struct bucket){ 0, 0, point->zero_count };
	if (index < negatives) {
		at = (double)side->offset + (negatives - 1 - index);
		return (struct bucket){ -power(scale, at + 1), -power(scale, at), side->count[negatives - 1 - index] };
	}
	index -= negatives + 1;
	side = &point->positive;
	at = (double)side->offset + index;
	return (struct bucket){ power(scale, at), power(scale, at + 1), side->count[index] };
}

/* Inside of a bucket as wide as doubles go, without leaving their range, and never outside of it: counts past 2^53 are
 * rounded, and a part with them. */
static double between(double low, double high, double part)
{
	double width = high - low, value = isinf(width) ? low * (1 - part) + high * part : low + width * part;

	return fmin(fmax(value, low), high);
}

bool quantile_estimate(const struct point *point, double q, double *ret, bool *ret_above)
{
	double rank = q * (double)point->count, below = 0;
	uint32_t total = bucket_total(point);

	for (uint32_t i = 0; point->count && i < total; i++) {
		struct bucket bucket = bucket_at(point, i);

		if (!bucket.count || below + (double)bucket.count < rank) {
			below += (double)bucket.count;
			continue;
		}
		*ret_above = isinf(bucket.high);
		*ret = *ret_above ? bucket.low : between(bucket.low, bucket.high, (rank - below) / (double)bucket.count);
		return true;
	}
	return false;
}
