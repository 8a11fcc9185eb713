/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_bucket.c - where a value is counted, from the kernel's integers to explicit buckets.
 *
 * bpf/value.h is the source the BPF programs are compiled from; here the host compiles it, and floating point, which the
 * kernel has not got, says what it should have done.
 */
#include "unit.h"

#include <float.h>
#include <math.h>

#include "bucket.h"

#include "../../bpf/value.h"

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static double double_of(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* splitmix64: the same numbers in each run. */
static uint64_t random64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Every finite double, each exponent as likely as another. */
static double random_double(uint64_t *state)
{
	double value;

	do
		value = double_of(random64(state));
	while (!isfinite(value));
	return value;
}

static struct placed kernel_place(double value)
{
	return placed_by_eighth(parts_of(bits_of(value)));
}

/* 2^(k/8) in more bits than a double has. */
static long double root(int k)
{
	static long double known[8];

	if (!known[k])
		known[k] = powl(2, k / 8.0L);
	return known[k];
}

/* The bucket of a normal number by frexp: the octave it lies in, and how many of the octave's seven inner bounds are
 * below it. A power of two is the octave's last value below. */
static uint64_t expected_bucket(double value)
{
	int exponent, eighth = 0, k;
	double mantissa = frexp(fabs(value), &exponent);
	unsigned sign = signbit(value) ? 1 : 0;

	if (mantissa == 0.5)
		return PM_BUCKET((unsigned)(exponent - 2 + 1023), sign, 7u);
	for (k = 1; k < 8; k++)
		eighth += 2 * (long double)mantissa > root(k);
	return PM_BUCKET((unsigned)(exponent - 1 + 1023), sign, (unsigned)eighth);
}

/* The long doubles above may serve as truth only if no bound is so close to a double that they could not tell. */
static void roots_lie_well_between_two_doubles(void **state)
{
	(void)state;
	for (int k = 1; k < 8; k++) {
		long double scaled = ldexpl(root(k), FRACTION_BITS), rest = scaled - floorl(scaled);

		assert_true(rest > 0x1p-8L && rest < 1 - 0x1p-8L);
	}
}

/* At each of the 8 bounds of all 2046 octaves, one double below it and one above, positive and negative. */
static void scale_3_bounds_are_inclusive_upper_bounds(void **state)
{
	unsigned at_bound = 0, beside = 0;

	(void)state;
	for (int octave = -1022; octave <= 1023; octave++)
		for (int k = 0; k < 8; k++) {
			/* The last double that is not above the bound. */
			double last = ldexp(floor((double)floorl(ldexpl(root(k), 52))), octave - 52);
			/* Bucket of the last one, and of the first one above: consecutive. */
			uint64_t below = PM_BUCKET((unsigned)(octave + 1023 - !k), 0u, (unsigned)(k + 7) % 8u);
			uint64_t above = PM_BUCKET((unsigned)(octave + 1023), 0u, (unsigned)k);
			double near[] = { nextafter(last, 0), last, nextafter(last, INFINITY) };

			assert_int_equal(kernel_place(last).bucket, below);
			assert_int_equal(kernel_place(near[2]).bucket, above);
			at_bound += 2;
			for (size_t i = 0; i < 3; i++) {
				if (fabs(near[i]) < DBL_MIN)
					continue; /* subnormal: a test of its own */
				assert_int_equal(kernel_place(near[i]).bucket, expected_bucket(near[i]));
				assert_int_equal(kernel_place(-near[i]).bucket, expected_bucket(-near[i]));
				beside += 2;
			}
		}
	print_message("%u values at bounds, %u beside them\n", at_bound, beside);
}

/* A million doubles of all magnitudes lie where frexp says. */
static void any_normal_number_lies_where_frexp_says(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		double value = random_double(&seed);

		if (fabs(value) >= DBL_MIN && kernel_place(value).bucket != expected_bucket(value))
			fail_msg("%a", value);
	}
}

/* The ends of the range. */
static void zeros_subnormals_and_extremes_have_their_place(void **state)
{
	static const struct {
		double value;
		uint64_t bucket;
		double sum;
	} expected[] = {
		{ 0.0, PM_BUCKET(0, 0, 0), 0 },
		{ -0.0, PM_BUCKET(0, 0, 0), 0 },
		/* A subnormal counts as the smallest normal number, which is a power of two. */
		{ 0x1p-1074, PM_BUCKET(0, 0, 7), 0x1p-1022 },
		{ -0x1p-1074, PM_BUCKET(0, 1, 7), -0x1p-1022 },
		{ 0x0.fffffffffffffp-1022, PM_BUCKET(0, 0, 7), 0x1p-1022 },
		{ -0x0.fffffffffffffp-1022, PM_BUCKET(0, 1, 7), -0x1p-1022 },
		{ DBL_MIN, PM_BUCKET(0, 0, 7), 0x1p-1022 },
		{ -DBL_MIN, PM_BUCKET(0, 1, 7), -0x1p-1022 },
		{ 0x1.0000000000001p-1022, PM_BUCKET(1, 0, 0), 0x1p-1022 },
		{ 0.5, PM_BUCKET(1021, 0, 7), 0.5 },
		{ 1, PM_BUCKET(1022, 0, 7), 1 },
		{ -1, PM_BUCKET(1022, 1, 7), -1 },
		{ 1.5, PM_BUCKET(1023, 0, 4), 1.5 },
		{ 0x1p1023, PM_BUCKET(2045, 0, 7), 0x1p1023 },
		/* Its mantissa rounds up to a power of two that no double holds. */
		{ DBL_MAX, PM_BUCKET(2046, 0, 7), DBL_MAX },
		{ -DBL_MAX, PM_BUCKET(2046, 1, 7), -DBL_MAX },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		struct placed placed = kernel_place(expected[i].value);

		assert_int_equal(placed.bucket, expected[i].bucket);
		assert_true(bucket_sum(placed.bucket, placed.sum) == expected[i].sum);
	}
}

/* The kernel drops what is not a number, and nothing else, by the exponent alone. */
static void only_nan_and_infinities_have_the_last_exponent(void **state)
{
	(void)state;
	assert_int_equal(parts_of(bits_of(NAN)).exponent, EXPONENT_MAX);
	assert_int_equal(parts_of(bits_of(-NAN)).exponent, EXPONENT_MAX);
	assert_int_equal(parts_of(0x7ff0000000000001ull).exponent, EXPONENT_MAX); /* a signalling NaN */
	assert_int_equal(parts_of(bits_of(INFINITY)).exponent, EXPONENT_MAX);
	assert_int_equal(parts_of(bits_of(-INFINITY)).exponent, EXPONENT_MAX);
	assert_true(parts_of(bits_of(DBL_MAX)).exponent < EXPONENT_MAX);
	assert_true(parts_of(bits_of(-DBL_MAX)).exponent < EXPONENT_MAX);
}

static struct pm_bounds declare(const double *bound, uint32_t count)
{
	struct pm_bounds declared = { .count = count };

	for (uint32_t i = 0; i < count; i++)
		declared.bound[i] = order_of(bits_of(bound[i]));
	return declared;
}

static uint32_t direct_search(const double *bound, uint32_t count, double value)
{
	uint32_t i;

	for (i = 0; i < count && value > bound[i]; i++)
		;
	return i;
}

/* What kernel and agent make of @value in a histogram with declared bounds. */
static uint32_t declared_bucket(const double *bound, uint32_t count, double value)
{
	const struct metric metric = { .unit = "s", .bound = bound, .bound_count = count };
	struct pm_bounds declared = declare(bound, count);
	uint64_t bits = bits_of(value);
	struct placed placed = placed_by_bound(parts_of(bits), bounds_below_of(&declared, order_of(bits)));
	double room[BUCKET_MAX_DEFAULT_BOUNDS];
	const double *used;

	assert_int_equal(bucket_bounds(&metric, room, &used), count);
	assert_ptr_equal(used, bound);
	return bucket_index(&metric, PM_WHERE(0xfffff, 0xfffff) | placed.bucket, used, count);
}

static void check_declared(const double *bound, uint32_t count)
{
	static const double always[] = { 0.0,	   -0.0,     0x1p-1074, -0x1p-1074, DBL_MIN, -DBL_MIN,
					 DBL_MAX, -DBL_MAX, 1,	     -1,	 0.1,	  -0.1 };
	uint64_t seed = count;

	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(declared_bucket(bound, count, bound[i]), i);
		if (bound[i] > -DBL_MAX)
			assert_int_equal(declared_bucket(bound, count, nextafter(bound[i], -DBL_MAX)),
					 direct_search(bound, count, nextafter(bound[i], -DBL_MAX)));
		if (bound[i] < DBL_MAX)
			assert_int_equal(declared_bucket(bound, count, nextafter(bound[i], DBL_MAX)), i + 1);
	}
	for (size_t i = 0; i < COUNT(always); i++)
		assert_int_equal(declared_bucket(bound, count, always[i]), direct_search(bound, count, always[i]));
	for (int i = 0; i < 2000; i++) {
		double value = random_double(&seed);

		assert_int_equal(declared_bucket(bound, count, value), direct_search(bound, count, value));
	}
}

/* Values at, just below and just above each declared bound are counted as comparing doubles would have it. */
static void declared_bounds_are_inclusive_upper_bounds(void **state)
{
	static const double one[] = { 0.1 };
	static const double usual[] = { 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10 };
	static const double negative[] = { -1000, -10, -0.1, 0x1p-1074, 0.1, 10 };
	static const double all_negative[] = { -3, -2, -1 };
	static const double zero[] = { 0 };
	static const double ends[] = { -DBL_MAX, -0x1p-1074, 0, 0x1p-1074, DBL_MIN, DBL_MAX };
	static const double close[] = { 1, 0x1.0000000000001p0, 0x1.0000000000002p0, 0x1.0000000000003p0 };
	double most[PM_MAX_BOUNDS];

	(void)state;
	check_declared(one, 1);
	check_declared(usual, COUNT(usual));
	check_declared(negative, COUNT(negative));
	check_declared(all_negative, 3);
	check_declared(zero, 1);
	check_declared(ends, COUNT(ends));
	check_declared(close, 4);
	/* Every number of bounds that the search's steps meet, up to the most there may be. */
	for (uint32_t count = 1; count <= PM_MAX_BOUNDS; count++) {
		for (uint32_t i = 0; i < count; i++)
			most[i] = ((double)i - 40) * 1.7;
		for (uint32_t i = 0; i < count; i++) {
			assert_int_equal(declared_bucket(most, count, most[i]), i);
			assert_int_equal(declared_bucket(most, count, nextafter(most[i], INFINITY)), i + 1);
		}
	}
	check_declared(most, PM_MAX_BOUNDS);
}

/* A bound written as -0 is 0: both zeros lie below or at it. */
static void bound_of_minus_zero_is_zero(void **state)
{
	static const double bound[] = { -1, -0.0, 1 };

	(void)state;
	assert_int_equal(declared_bucket(bound, 3, -0.0), 1);
	assert_int_equal(declared_bucket(bound, 3, 0.0), 1);
	assert_int_equal(declared_bucket(bound, 3, 0x1p-1074), 2);
	assert_int_equal(declared_bucket(bound, 3, -0x1p-1074), 1);
}

/* A damaged or foreign index does not leave the array. */
static void index_past_the_bounds_is_the_last_bucket(void **state)
{
	static const double bound[] = { 1, 2 };
	const struct metric metric = { .unit = "s", .bound = bound, .bound_count = 2 };

	(void)state;
	assert_int_equal(bucket_index(&metric, PM_BUCKET(1023, 0, 255), bound, 2), 2);
}

static uint32_t default_bounds(const char *unit, double *room)
{
	const struct metric metric = { .unit = unit };
	const double *bound = NULL;
	uint32_t count = bucket_bounds(&metric, room, &bound);

	assert_ptr_equal(bound, room);
	return count;
}

static const struct {
	const char *unit;
	double first, last;
} units[] = {
	{ "s", 0x1p-14, 512 },
	{ "{s}", 0x1p-14, 512 },
	{ "ms", 0.015625, 131072 },
	{ "{ms}", 0.015625, 131072 },
	{ "us", 0.5, 4194304 },
	{ "ns", 32, 268435456 },
	{ "{%}", 0.125, 128 },
	{ "MiB", 0.125, 65536 },
	{ "{MiB}", 0.125, 65536 },
	{ "{millicores}", 1, 131072 },
	/* Nothing known: a count. */
	{ "{execution}", 1, 1048576 },
	{ "", 1, 1048576 },
	{ "{}", 1, 1048576 },
	{ "{s", 1, 1048576 },
	{ "seconds", 1, 1048576 },
};
#define UNITS COUNT(units)

/* Without declared bounds a histogram has powers of two that fit its unit, at most 24, the same each time. */
static void default_bounds_are_powers_of_two_that_fit_the_unit(void **state)
{
	(void)state;
	for (size_t u = 0; u < UNITS; u++) {
		double room[BUCKET_MAX_DEFAULT_BOUNDS] = { 0 }, again[BUCKET_MAX_DEFAULT_BOUNDS] = { 0 };
		uint32_t count = default_bounds(units[u].unit, room);
		int exponent;

		assert_in_range(count, 2, 24);
		assert_true(room[0] == units[u].first);
		assert_true(room[count - 1] == units[u].last);
		for (uint32_t i = 0; i < count; i++) {
			assert_true(frexp(room[i], &exponent) == 0.5);
			assert_true(!i || room[i] == 2 * room[i - 1]);
		}
		assert_int_equal(default_bounds(units[u].unit, again), count);
		assert_memory_equal(room, again, sizeof(room));
	}
}

/* A cell of the kernel lies wholly in the explicit bucket that a search with the value itself finds. */
static void default_bucket_is_the_one_a_direct_search_finds(void **state)
{
	double room[UNITS][BUCKET_MAX_DEFAULT_BOUNDS];
	uint32_t count[UNITS];
	uint64_t seed = 3;

	(void)state;
	for (size_t u = 0; u < UNITS; u++) {
		const struct metric metric = { .unit = units[u].unit };

		count[u] = default_bounds(units[u].unit, room[u]);
		for (uint32_t i = 0; i < count[u]; i++) {
			const double bound = room[u][i];

			assert_int_equal(bucket_index(&metric, kernel_place(bound).bucket, room[u], count[u]), i);
			assert_int_equal(bucket_index(&metric, kernel_place(nextafter(bound, 0)).bucket, room[u], count[u]), i);
			assert_int_equal(bucket_index(&metric, kernel_place(nextafter(bound, DBL_MAX)).bucket, room[u],
						      count[u]),
					 i + 1);
		}
	}
	for (int i = 0; i < 1000000; i++) {
		size_t u = (size_t)i % UNITS;
		const struct metric metric = { .unit = units[u].unit };
		double value = random_double(&seed);
		uint64_t where;

		/* Every second one near the bounds: between 2^-20 and 2^44. */
		if (i & 1)
			value = ldexp(frexp(value, &(int){ 0 }), (int)(random64(&seed) % 64) - 20);
		where = kernel_place(value).bucket;
		/* What else the word holds does not matter. */
		where |= PM_WHERE(i & 0xfffff, 0xfffff) | (i % 3 ? 0 : PM_BUCKET_UNNAMED) | (i % 5 ? 0 : PM_BUCKET_OVERFLOW);
		if (bucket_index(&metric, where, room[u], count[u]) != direct_search(room[u], count[u], value))
			fail_msg("unit '%s', value %a", units[u].unit, value);
	}
}

/* One value is off by at most 2^-32 of itself, so is any sum of values in one cell. */
static void sums_are_off_by_at_most_2_to_the_minus_32(void **state)
{
	uint64_t seed = 4;
	long double worst = 0;

	(void)state;
	for (int i = 0; i < 300000; i++) {
		double value = random_double(&seed);
		struct placed placed;
		long double error;

		if (fabs(value) < DBL_MIN)
			continue;
		placed = kernel_place(value);
		error = fabsl((long double)bucket_sum(placed.bucket, placed.sum) - value) / fabsl(value);
		worst = error > worst ? error : worst;
	}
	assert_true(worst <= 0x1p-32L);
	for (int octave = -1000; octave <= 1000; octave += 25) {
		uint128_t sum = 0;
		long double truth = 0;
		uint64_t bucket = 0;

		for (int i = 0; i < 1000; i++) {
			double value = ldexp(1.25 + (double)(random64(&seed) >> 12) * 0x1p-58, octave);
			struct placed placed = kernel_place(value);

			assert_true(!i || placed.bucket == bucket);
			bucket = placed.bucket;
			sum += placed.sum;
			truth += value;
		}
		assert_true(fabsl(bucket_sum(bucket, sum) - truth) <= truth * 0x1p-32L);
	}
	print_message("one value at most 2^%.2Lf off\n", log2l(worst));
}

/* A total past 2^64 units, and past the largest double, stays a number. */
static void sums_beyond_64_bits_and_beyond_doubles_stay_finite(void **state)
{
	(void)state;
	assert_true(bucket_sum(PM_BUCKET(1023, 0, 0), (uint128_t)1 << 100) == 0x1p69);
	assert_true(bucket_sum(PM_BUCKET(1023, 1, 0), (uint128_t)1 << 100) == -0x1p69);
	assert_true(bucket_sum(PM_BUCKET(2046, 0, 0), (uint128_t)1 << 40) == DBL_MAX);
	assert_true(bucket_sum(PM_BUCKET(2046, 1, 0), (uint128_t)1 << 40) == -DBL_MAX);
	assert_true(bucket_sum(PM_BUCKET(0, 0, 0), 0) == 0);
}

/* Service, metric and bucket come back from the word that carries them. */
static void where_word_keeps_its_parts_apart(void **state)
{
	uint64_t where = PM_WHERE(0xabcde, 0x12345) | PM_BUCKET(2046, 1, 200);

	(void)state;
	assert_int_equal(PM_WHERE_SERVICE(where), 0xabcde);
	assert_int_equal(PM_WHERE_METRIC(where), 0x12345);
	assert_int_equal(PM_BUCKET_EXPONENT(where), 2046);
	assert_int_equal(PM_BUCKET_SIGN(where), 1);
	assert_int_equal(PM_BUCKET_INDEX(where), 200);
	assert_int_equal(where & (PM_BUCKET_UNNAMED | PM_BUCKET_OVERFLOW), 0);
	assert_int_equal((PM_WHERE(~0u, 0) | PM_BUCKET(0x7ffu, 1u, 0xffu)) & (PM_BUCKET_UNNAMED | PM_BUCKET_OVERFLOW), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roots_lie_well_between_two_doubles),
		cmocka_unit_test(scale_3_bounds_are_inclusive_upper_bounds),
		cmocka_unit_test(any_normal_number_lies_where_frexp_says),
		cmocka_unit_test(zeros_subnormals_and_extremes_have_their_place),
		cmocka_unit_test(only_nan_and_infinities_have_the_last_exponent),
		cmocka_unit_test(declared_bounds_are_inclusive_upper_bounds),
		cmocka_unit_test(bound_of_minus_zero_is_zero),
		cmocka_unit_test(index_past_the_bounds_is_the_last_bucket),
		cmocka_unit_test(default_bounds_are_powers_of_two_that_fit_the_unit),
		cmocka_unit_test(default_bucket_is_the_one_a_direct_search_finds),
		cmocka_unit_test(sums_are_off_by_at_most_2_to_the_minus_32),
		cmocka_unit_test(sums_beyond_64_bits_and_beyond_doubles_stay_finite),
		cmocka_unit_test(where_word_keeps_its_parts_apart),
	};

	return cmocka_run_group_tests_name("bucket", tests, NULL, NULL);
}
