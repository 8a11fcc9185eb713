/* SPDX-License-Identifier: BSD-2-Clause */
/* test_exponential.c - eighths of an octave become at most 160 buckets, and no value changes sides at a bound. */
#include "unit.h"

#include <float.h>
#include <math.h>

#include "bucket.h"
#include "encode.h"
#include "exponential.h"
#include "merge.h"

#include "../../bpf/value.h"

/* splitmix64: the same numbers in each run. */
static uint64_t random64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static struct placed kernel_place(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return placed_by_eighth(parts_of(bits));
}

/* The bucket of a normal number by the definition: the i with base^i < |value| <= base^(i+1), base = 2^(2^-scale). By
 * frexp alone up to scale 0, where bounds are powers of two; above it with roots in more bits than a double has. */
static int64_t index_by_definition(double value, int scale)
{
	int exponent, low = 0, parts = scale > 0 ? 1 << scale : 1;
	double mantissa = frexp(fabs(value), &exponent); /* in [0.5, 1) times 2^exponent */
	int64_t octave = exponent - 1;

	/* The octave (2^octave, 2^(octave + 1)] that holds it. */
	if (mantissa == 0.5)
		octave--;
	if (scale <= 0) {
		int64_t size = (int64_t)1 << -scale;

		return octave >= 0 ? octave / size : -((-octave + size - 1) / size);
	}
	while (low + 1 < parts && (mantissa == 0.5 || 2 * (long double)mantissa > powl(2, (low + 1.0L) / parts)))
		low++;
	return octave * parts + low;
}

/* Two samples, as two services of one resource make them: equal buckets come twice. */
static const struct point *fold(struct arena *arena, const struct metric *metric, const double *value, size_t count,
				bool exponential)
{
	static const struct resource shop;
	const struct merge_rule rule = { .time_unix_ns = 1000, .exponential = exponential };
	struct cell *cell = arena_array(arena, count, sizeof(*cell));
	struct sample sample[2] = { { .resource = &shop, .metric = metric, .start_unix_ns = 1 },
				    { .resource = &shop, .metric = metric, .start_unix_ns = 1 } };
	struct points points;

	for (size_t i = 0; i < count; i++) {
		struct placed placed = kernel_place(value[i]);

		cell[i] = (struct cell){ .where = PM_WHERE(1, 1) | placed.bucket, .count = 1, .sum = placed.sum };
	}
	sample[0].cell = cell;
	sample[0].cell_count = count / 3;
	sample[1].cell = cell + count / 3;
	sample[1].cell_count = count - count / 3;
	assert_int_equal(merge_fold(sample, 2, &rule, arena, &points), 0);
	assert_int_equal(points.count, 1);
	assert_int_equal(encode_check(&points, NULL, 0), 0);
	return points.point;
}

static const struct metric spread = { .kind = PROBEMETER_KIND_HISTOGRAM, .scope = "s", .name = "spread", .unit = "s",
				      .description = "" };

static uint32_t buckets_of(const struct point *point)
{
	return point->positive.bucket_count + point->negative.bucket_count;
}

static uint64_t count_at(const struct exponential_buckets *side, int64_t index)
{
	int64_t at = index - side->offset;

	return at >= 0 && at < side->bucket_count ? side->count[at] : 0;
}

/* At the chosen scale every value is where the definition has it, and at one scale more there would be too many. */
static void check_point(const struct point *point, const double *value, size_t count)
{
	uint64_t zeros = 0, seen = 0;
	int64_t least[2] = { INT64_MAX, INT64_MAX }, most[2] = { INT64_MIN, INT64_MIN };

	assert_int_equal(point->type, POINT_EXPONENTIAL);
	assert_true(point->scale <= EXPONENTIAL_CELL_SCALE);
	assert_true(buckets_of(point) <= EXPONENTIAL_MAX_BUCKETS);
	assert_int_equal(point->count, count);
	/* What a delta is taken from: each place once, in order. */
	for (uint32_t i = 1; i < point->cell_count; i++)
		assert_true(point->cell[i - 1].negative < point->cell[i].negative ||
			    (point->cell[i - 1].negative == point->cell[i].negative &&
			     point->cell[i - 1].index < point->cell[i].index));
	for (size_t i = 0; i < count; i++) {
		/* As in the kernel, a subnormal number is the smallest normal one. */
		double magnitude = fmax(fabs(value[i]), DBL_MIN);
		int64_t index = index_by_definition(magnitude, point->scale);
		int64_t finer = index_by_definition(magnitude, point->scale < 3 ? point->scale + 1 : 3);
		int sign = value[i] < 0;

		if (value[i] == 0) {
			zeros++;
			continue;
		}
		if (!count_at(sign ? &point->negative : &point->positive, index))
			fail_msg("%a is not at %lld of scale %d", value[i], (long long)index, point->scale);
		least[sign] = finer < least[sign] ? finer : least[sign];
		most[sign] = finer > most[sign] ? finer : most[sign];
	}
	assert_int_equal(point->zero_count, zeros);
	for (uint32_t i = 0; i < point->positive.bucket_count; i++)
		seen += point->positive.count[i];
	for (uint32_t i = 0; i < point->negative.bucket_count; i++)
		seen += point->negative.count[i];
	assert_int_equal(seen + zeros, count);
	if (point->scale < EXPONENTIAL_CELL_SCALE) {
		int64_t finer = 0;

		for (int sign = 0; sign < 2; sign++)
			finer += least[sign] == INT64_MAX ? 0 : most[sign] - least[sign] + 1;
		assert_true(finer > EXPONENTIAL_MAX_BUCKETS);
	}
}

/* Exact counts per bucket: as many values in each as the definition says. */
static void check_counts(const struct point *point, const double *value, size_t count)
{
	for (int sign = 0; sign < 2; sign++) {
		const struct exponential_buckets *side = sign ? &point->negative : &point->positive;

		for (uint32_t b = 0; b < side->bucket_count; b++) {
			uint64_t expected = 0;

			for (size_t i = 0; i < count; i++)
				expected += value[i] != 0 && (value[i] < 0) == sign &&
					    index_by_definition(fmax(fabs(value[i]), DBL_MIN), point->scale) ==
						    side->offset + (int64_t)b;
			assert_int_equal(side->count[b], expected);
		}
	}
}

/* Random values over random ranges, one sign or two, with zeros: from some hundredths of an octave to all doubles. */
static void random_values_lie_where_the_definition_says(void **state)
{
	static double value[400];
	uint64_t seed = 7;
	int scales[16] = { 0 };

	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct arena *arena = arena_new();
		size_t count = 1 + random64(&seed) % COUNT(value);
		double octaves = ldexp(1, (int)(random64(&seed) % 12)) * 0.9995, base = -1022 + (double)(random64(&seed) % 1000);
		unsigned signs = random64(&seed) % 3;
		const struct point *point;

		for (size_t i = 0; i < count; i++) {
			double at = base + octaves * (double)(random64(&seed) >> 11) * 0x1p-53;
			int whole = (int)floor(fmin(at, 1023));

			value[i] = ldexp(1 + (double)(random64(&seed) >> 12) * 0x1p-52, whole);
			if (random64(&seed) % 8 == 0)
				value[i] = ldexp(1, whole); /* a bound */
			if (signs == 1 || (signs == 2 && random64(&seed) % 2))
				value[i] = -value[i];
			if (random64(&seed) % 16 == 0)
				value[i] = 0;
		}
		point = fold(arena, &spread, value, count, true);
		check_point(point, value, count);
		if (round < 300)
			check_counts(point, value, count);
		scales[point->scale + 8]++;
		arena_free(arena);
	}
	for (int scale = -5; scale <= 3; scale++) {
		print_message("scale %d: %d points\n", scale, scales[scale + 8]);
		assert_true(scales[scale + 8] > 0);
	}
}

/* Explicit buckets at powers of two and exponential ones of the same values agree wherever both have a bound. */
static void explicit_and_exponential_counts_agree(void **state)
{
	static double value[300];
	uint64_t seed = 11;

	(void)state;
	for (int round = 0; round < 1000; round++) {
		struct arena *arena = arena_new();
		const struct point *explicit, *exponential;
		uint64_t below = 0, expected, skipped;

		for (size_t i = 0; i < COUNT(value); i++) {
			value[i] = ldexp(1 + (double)(random64(&seed) >> 12) * 0x1p-52, (int)(random64(&seed) % 30) - 18);
			value[i] = random64(&seed) % 10 ? value[i] : ldexp(1, (int)(random64(&seed) % 30) - 18);
			value[i] = random64(&seed) % 20 ? value[i] : 0;
			value[i] = random64(&seed) % 20 ? value[i] : -value[i];
		}
		explicit = fold(arena, &spread, value, COUNT(value), false);
		exponential = fold(arena, &spread, value, COUNT(value), true);
		assert_int_equal(explicit->type, POINT_HISTOGRAM);
		assert_int_equal(explicit->count, exponential->count);
		assert_int_equal(explicit->has_sum, exponential->has_sum);
		assert_true(fabs(explicit->sum - exponential->sum) <= fabs(explicit->sum) * 1e-12 + 1e-12);
		for (uint32_t b = 0; b < explicit->bound_count; b++) {
			int64_t end = (int64_t)ilogb(explicit->bound[b]); /* powers of two: exact */

			below += explicit->bucket[b];
			/* Index of the first bucket above the bound; at a scale below 0 some powers of two are no bounds. */
			if (exponential->scale < 0 && end % ((int64_t)1 << -exponential->scale))
				continue;
			end = exponential->scale < 0 ? end >> -exponential->scale : end * ((int64_t)1 << exponential->scale);
			expected = exponential->zero_count;
			skipped = 0;
			for (uint32_t i = 0; i < exponential->negative.bucket_count; i++)
				expected += exponential->negative.count[i];
			for (uint32_t i = 0; i < exponential->positive.bucket_count; i++)
				*(exponential->positive.offset + (int64_t)i < end ? &expected : &skipped) +=
					exponential->positive.count[i];
			assert_int_equal(below, expected);
			assert_int_equal(below + skipped, explicit->count);
		}
		arena_free(arena);
	}
}

/* The ends of the range, by hand. */
static void extremes_have_their_place(void **state)
{
	static const struct {
		double value[3];
		size_t count;
		int scale, offset, negative_offset;
		uint32_t buckets, negative_buckets;
		uint64_t zeros;
	} expected[] = {
		{ .value = { 1 }, .count = 1, .scale = 3, .offset = -1, .buckets = 1 },
		{ .value = { 1, 2 }, .count = 2, .scale = 3, .offset = -1, .buckets = 9 },
		{ .value = { 1.0000001 }, .count = 1, .scale = 3, .offset = 0, .buckets = 1 },
		{ .value = { 0, -0.0 }, .count = 2, .scale = 3, .zeros = 2 },
		{ .value = { -4 }, .count = 1, .scale = 3, .negative_offset = 15, .negative_buckets = 1 },
		/* A subnormal is the smallest normal number. */
		{ .value = { 0x1p-1074 }, .count = 1, .scale = 3, .offset = -8177, .buckets = 1 },
		{ .value = { DBL_MIN }, .count = 1, .scale = 3, .offset = -8177, .buckets = 1 },
		{ .value = { 0x1p-1074, DBL_MAX }, .count = 2, .scale = -4, .offset = -64, .buckets = 128 },
		{ .value = { DBL_MAX, -DBL_MAX, -0x1p-1074 }, .count = 3, .scale = -4, .offset = 63, .buckets = 1,
		  .negative_offset = -64, .negative_buckets = 128 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		struct arena *arena = arena_new();
		const struct point *point = fold(arena, &spread, expected[i].value, expected[i].count, true);

		check_point(point, expected[i].value, expected[i].count);
		assert_int_equal(point->scale, expected[i].scale);
		assert_int_equal(point->positive.bucket_count, expected[i].buckets);
		assert_int_equal(point->negative.bucket_count, expected[i].negative_buckets);
		assert_int_equal(point->zero_count, expected[i].zeros);
		if (expected[i].buckets)
			assert_int_equal(point->positive.offset, expected[i].offset);
		if (expected[i].negative_buckets)
			assert_int_equal(point->negative.offset, expected[i].negative_offset);
		arena_free(arena);
	}
}

/* At exactly 160 buckets the scale stands, at 161 it goes down; both signs count together. */
static void hundred_and_sixty_buckets_are_the_limit(void **state)
{
	struct arena *arena = arena_new();
	double one_sign[] = { 0.99, ldexp(0.99, 20), ldexp(1.01, 20) }, two_signs[] = { 0.99, ldexp(0.99, 10), -0.99,
											 -ldexp(0.92, 10), -ldexp(0.99, 10) };
	const struct point *point;

	(void)state;
	point = fold(arena, &spread, one_sign + 1, 1, true);
	assert_int_equal(buckets_of(point), 1);
	point = fold(arena, &spread, one_sign, 2, true);
	assert_int_equal(point->scale, 2); /* 161 at scale 3 */
	one_sign[1] = ldexp(0.9, 20);
	point = fold(arena, &spread, one_sign, 2, true);
	assert_int_equal(point->scale, 3);
	assert_int_equal(buckets_of(point), 160);
	point = fold(arena, &spread, two_signs, 5, true);
	assert_int_equal(point->scale, 2); /* 81 + 81 at scale 3 */
	two_signs[1] = ldexp(0.9, 10);
	point = fold(arena, &spread, two_signs, 4, true);
	assert_int_equal(point->scale, 2);
	two_signs[3] = -ldexp(0.9, 10);
	point = fold(arena, &spread, two_signs, 4, true);
	assert_int_equal(point->scale, 3);
	assert_int_equal(buckets_of(point), 160);
	arena_free(arena);
}

/* Who declared bounds gets them. */
static void declared_bounds_stay_explicit(void **state)
{
	static const double bound[] = { 1, 2 }, value[] = { 1 };
	struct metric declared = spread;
	struct arena *arena = arena_new();

	(void)state;
	declared.bound = bound;
	declared.bound_count = 2;
	assert_int_equal(fold(arena, &declared, value, 1, true)->type, POINT_HISTOGRAM);
	arena_free(arena);
}

/* Without an event yet, and with cells that count nothing. */
static void nothing_counted_is_a_valid_point(void **state)
{
	static const struct resource shop;
	const struct merge_rule rule = { .time_unix_ns = 1000, .exponential = true };
	const struct cell cell = { .where = PM_BUCKET(1030, 0, 3) };
	struct sample sample = { .resource = &shop, .metric = &spread, .start_unix_ns = 1, .cell = &cell, .cell_count = 1 };
	struct arena *arena = arena_new();
	struct points points;

	(void)state;
	assert_int_equal(merge_fold(&sample, 1, &rule, arena, &points), 0);
	assert_int_equal(encode_check(&points, NULL, 0), 0);
	assert_int_equal(points.point[0].count, 0);
	assert_int_equal(buckets_of(&points.point[0]), 0);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_values_lie_where_the_definition_says),
		cmocka_unit_test(explicit_and_exponential_counts_agree),
		cmocka_unit_test(extremes_have_their_place),
		cmocka_unit_test(hundred_and_sixty_buckets_are_the_limit),
		cmocka_unit_test(declared_bounds_stay_explicit),
		cmocka_unit_test(nothing_counted_is_a_valid_point),
	};

	return cmocka_run_group_tests_name("exponential", tests, NULL, NULL);
}
