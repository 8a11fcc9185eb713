/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * value.h - where a value belongs and what it adds: binary64 in integers. Pure.
 *
 * BPF has no floating point and needs none: exponent and fraction are the bucket. Compiled into the BPF programs and,
 * from the same source, into the agent (declared bounds) and the unit tests.
 */
#ifndef PROBEMETER_VALUE_H
#define PROBEMETER_VALUE_H

#include "maps.h"

#define VALUE_INLINE static __inline__ __attribute__((always_inline, unused))

/* A binary64 in parts. */
struct parts {
	__u64 fraction; /* 52 bits */
	__u32 exponent; /* biased */
	__u32 sign;
};

#define FRACTION_BITS 52
#define EXPONENT_MAX 0x7ff

/* Subnormals round up to the smallest normal value, as OpenTelemetry allows; both zeros are one. */
VALUE_INLINE struct parts parts_of(__u64 bits)
{
	struct parts parts = {
		.fraction = bits & ((1ull << FRACTION_BITS) - 1),
		.exponent = bits >> FRACTION_BITS & EXPONENT_MAX,
		.sign = bits >> 63,
	};

	if (!parts.exponent) {
		parts.exponent = !!parts.fraction;
		parts.sign = parts.fraction ? parts.sign : 0;
		parts.fraction = 0;
	}
	return parts;
}

/* The mantissa as an integer of PM_MANTISSA_BITS and a leading one, rounded; zero is zero. */
VALUE_INLINE __u64 mantissa_of(struct parts parts)
{
	__u32 shift = FRACTION_BITS - PM_MANTISSA_BITS;

	return parts.exponent ? ((1ull << FRACTION_BITS | parts.fraction) + (1ull << (shift - 1))) >> shift : 0;
}

/* The fraction bits of 2^(k/8), rounded down. None of these roots is rational, so "above" is exact. */
#define EIGHTH_1 0x172b83c7d517aull
#define EIGHTH_2 0x306fe0a31b715ull
#define EIGHTH_3 0x4bfdad5362a27ull
#define EIGHTH_4 0x6a09e667f3bccull
#define EIGHTH_5 0x8ace5422aa0dbull
#define EIGHTH_6 0xae89f995ad3adull
#define EIGHTH_7 0xd5818dcfba487ull

/* What one value of a histogram adds to: PM_BUCKET() and the sum's part. */
struct placed {
	__u64 bucket;
	__u64 sum;
};

/* By the octave's eighth. Upper bounds are inclusive: a power of two is the last value of the octave below. */
VALUE_INLINE struct placed placed_by_eighth(struct parts parts)
{
	__u64 f = parts.fraction;
	__u32 eighth = (f > EIGHTH_1) + (f > EIGHTH_2) + (f > EIGHTH_3) + (f > EIGHTH_4) + (f > EIGHTH_5) +
		       (f > EIGHTH_6) + (f > EIGHTH_7);

	if (!f && parts.exponent)
		return (struct placed){ PM_BUCKET(parts.exponent - 1, parts.sign, 7), 1ull << (PM_MANTISSA_BITS + 1) };
	return (struct placed){ PM_BUCKET(parts.exponent, parts.sign, eighth), mantissa_of(parts) };
}

/* By the number of declared bounds below it. */
VALUE_INLINE struct placed placed_by_bound(struct parts parts, __u32 below)
{
	return (struct placed){ PM_BUCKET(parts.exponent, parts.sign, below), mantissa_of(parts) };
}

/* Integers that order like the doubles; both zeros are one. */
VALUE_INLINE __u64 order_of(__u64 bits)
{
	return PM_ORDER(bits << 1 ? bits : 0);
}

/* Number of bounds below @value, which order_of() made: the index of the bucket whose inclusive upper bound is next. */
VALUE_INLINE __u32 bounds_below_of(const struct pm_bounds *declared, __u64 value)
{
	__u32 below = 0, step;

	for (step = PM_MAX_BOUNDS; step; step >>= 1) {
		__u32 at = below + step;

		if (at <= declared->count && at <= PM_MAX_BOUNDS && declared->bound[(at - 1) & (PM_MAX_BOUNDS - 1)] < value)
			below = at;
	}
	return below;
}

#endif
