/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bucket.c - cells of the kernel (an octave's eighth, or a declared bucket's part in one octave) to explicit buckets.
 */
#include "bucket.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "../bpf/maps.h"

/* First and last power of two, by unit; annotations count as what stands in the braces. */
static const struct {
	const char *unit;
	int first, last;
} fitting[] = {
	{ "s", -14, 9 },    /* 61 us to 512 s */
	{ "ms", -6, 17 },   /* 16 us to 131 s */
	{ "us", -1, 22 },   /* 0.5 us to 4.2 s */
	{ "ns", 5, 28 },    /* 32 ns to 0.27 s */
	{ "%", -3, 7 },	    /* 0.125 to 128 */
	{ "1", -10, 3 },    /* ratios: 0.001 to 8 */
	{ "By", 4, 27 },    /* 16 B to 128 MiB */
	{ "KiBy", 0, 23 },  /* 1 KiB to 8 GiB */
	{ "MiB", -3, 16 },  /* 128 KiB to 64 GiB */
	{ "MiBy", -3, 16 },
	{ "millicores", 0, 17 }, /* 1 to 131 cores */
};
#define OTHER_FIRST 0
#define OTHER_LAST 20 /* counts: 1 to 1,048,576 */

uint32_t bucket_bounds(const struct metric *metric, double *room, const double **ret)
{
	const char *unit = metric->unit;
	size_t length = strlen(unit), i;
	int first = OTHER_FIRST, last = OTHER_LAST, exponent;

	if (metric->bound_count) {
		*ret = metric->bound;
		return metric->bound_count;
	}
	if (length > 2 && unit[0] == '{' && unit[length - 1] == '}') {
		unit++;
		length -= 2;
	}
	for (i = 0; i < sizeof(fitting) / sizeof(fitting[0]); i++)
		if (strlen(fitting[i].unit) == length && !memcmp(fitting[i].unit, unit, length)) {
			first = fitting[i].first;
			last = fitting[i].last;
		}
	for (exponent = first; exponent <= last; exponent++)
		room[exponent - first] = ldexp(1, exponent);
	*ret = room;
	return (uint32_t)(last - first + 1);
}

/* Values of an octave's cells lie in (2^octave, 2^(octave + 1)]: the bucket of the upper one. */
static uint32_t bucket_of_octave(int octave, const double *bound, uint32_t bound_count)
{
	int above = octave + 1 - ilogb(bound[0]);

	return above < 0 ? 0 : above > (int)bound_count ? bound_count : (uint32_t)above;
}

uint32_t bucket_index(const struct metric *metric, uint64_t where, const double *bound, uint32_t bound_count)
{
	if (metric->bound_count)
		return PM_BUCKET_INDEX(where) < bound_count ? PM_BUCKET_INDEX(where) : bound_count;
	/* Zero and negative values lie below the smallest bound, which is positive. */
	if (!PM_BUCKET_EXPONENT(where) || PM_BUCKET_SIGN(where))
		return 0;
	return bucket_of_octave((int)PM_BUCKET_EXPONENT(where) - 1023, bound, bound_count);
}

uint32_t bucket_of_cell(const struct bucket_count *cell, const double *bound, uint32_t bound_count)
{
	return cell->negative ? 0 : bucket_of_octave(cell->index >> 3, bound, bound_count); /* an eighth of an octave each */
}

double bucket_sum(uint64_t where, uint128_t sum)
{
	double magnitude = ldexp((double)sum, (int)PM_BUCKET_EXPONENT(where) - 1023 - PM_MANTISSA_BITS);

	/* The largest double's mantissa rounds up to what none holds. */
	magnitude = fmin(magnitude, DBL_MAX);
	return PM_BUCKET_SIGN(where) ? -magnitude : magnitude;
}
