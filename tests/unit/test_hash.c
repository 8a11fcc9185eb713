/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hash.c - the label hash. Its values are ABI: a service and an agent of different years must agree.
 */
#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include <probemeter/probemeter.h>

static uint64_t hash_of(const char *const *label, unsigned count)
{
	const char *label1 = count > 0 ? label[0] : NULL, *label2 = count > 1 ? label[1] : NULL;
	const char *label3 = count > 2 ? label[2] : NULL, *label4 = count > 3 ? label[3] : NULL;

	/* As a use of a metric with so many labels computes it. */
	switch (count) {
	case 0:
		return PROBEMETER_HASH_0;
	case 1:
		return PROBEMETER_HASH_1;
	case 2:
		return PROBEMETER_HASH_2;
	case 3:
		return PROBEMETER_HASH_3;
	default:
		return PROBEMETER_HASH_4;
	}
}

static uint64_t hash1(const char *label)
{
	return hash_of(&label, 1);
}

static uint64_t hash2(const char *first, const char *second)
{
	const char *const label[] = { first, second };

	return hash_of(label, 2);
}

static const struct {
	unsigned count;
	const char *label[PROBEMETER_MAX_LABELS];
	uint64_t hash;
} vectors[] = {
	{ 0, { NULL }, 0x9e3779b97f4a7c15 },
	{ 1, { "" }, 0x0730ed82fcc80618 },
	{ 2, { "", "" }, 0x9246c981494d713c },
	{ 4, { "", "", "", "" }, 0x91ee1acc3277b8ee },
	/* Every way the last bytes are taken. */
	{ 1, { "a" }, 0x2fc9f1c21c8ec5b1 },
	{ 1, { "ab" }, 0xa672750214f7b6a7 },
	{ 1, { "abc" }, 0x48f5dd0490f50242 },
	{ 1, { "abcd" }, 0x457ba90916149324 },
	{ 1, { "abcde" }, 0x0f0f13ff14337006 },
	{ 1, { "abcdefg" }, 0xa8fa460c394c9d74 },
	{ 1, { "abcdefgh" }, 0x6a57c192699190b3 },
	{ 1, { "abcdefghi" }, 0x2e4e2dcce284e6b6 },
	{ 1, { "abcdefghijklmno" }, 0xbcc48be3bfb74d2f },
	{ 1, { "abcdefghijklmnop" }, 0xd42fd49fa9c59825 },
	/* More than one step. */
	{ 1, { "abcdefghijklmnopq" }, 0xc8ece81c3dec0fe6 },
	{ 1, { "abcdefghijklmnopqrstuvwx" }, 0x5d69014d7a481520 },
	{ 1, { "abcdefghijklmnopqrstuvwxyz01234" }, 0x9ea3dd3deb890d27 },
	{ 1, { "abcdefghijklmnopqrstuvwxyz012345" }, 0xf4fbdf6d5b5d0f58 },
	{ 1, { "abcdefghijklmnopqrstuvwxyz0123456" }, 0x7ba67fac11a06760 },
	{ 1, { "abcdefghijklmnopqrstuvwxyz0123456789" }, 0xdbc0358693eaf8ee },
	/* More than one label. */
	{ 2, { "eu", "gold" }, 0xadef119d24d6aa9b },
	{ 2, { "gold", "eu" }, 0x727a6905af976bd2 },
	{ 2, { "ab", "c" }, 0xada4cbe411b5b007 },
	{ 2, { "a", "bc" }, 0xfba912e91272b702 },
	{ 4, { "python", "3.11", "success", "" }, 0x1ef9bc273a0b91ba },
	/* Bytes above 127 are bytes, not negative numbers. */
	{ 1, { "caf\xc3\xa9" }, 0x03194b09f4b1a7ef },
	{ 1, { "\xff\x80\x01" }, 0x8f1553b286760237 },
};

/* Written down once, from an implementation of ABI.md's words in another language. Never to be changed. */
static void hash_gives_the_values_of_the_abi(void **state)
{
	char longest[PROBEMETER_LABEL_BYTES + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++)
		assert_int_equal(hash_of(vectors[i].label, vectors[i].count), vectors[i].hash);
	memset(longest, 'x', PROBEMETER_LABEL_BYTES);
	longest[PROBEMETER_LABEL_BYTES] = '\0';
	assert_int_equal(hash1(longest), 0x47ead1da895c3562);
	assert_int_equal(PROBEMETER_LABEL_BYTES, 511);
}

/* NULL is a value a service may pass: the empty string. */
static void null_hashes_like_the_empty_string(void **state)
{
	(void)state;
	assert_int_equal(hash1(NULL), hash1(""));
	assert_int_equal(hash2(NULL, "a"), hash2("", "a"));
	assert_int_equal(hash2("a", NULL), hash2("a", ""));
}

/* Which label a byte belongs to counts, and which label is which. */
static void hash_tells_label_boundaries_apart(void **state)
{
	static const char *const pairs[][2] = {
		{ "ab", "c" }, { "a", "bc" }, { "abc", "" }, { "", "abc" }, { "c", "ab" }, { "bc", "a" },
	};
	const size_t count = COUNT(pairs);

	(void)state;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			assert_true(hash2(pairs[i][0], pairs[i][1]) != hash2(pairs[j][0], pairs[j][1]));
	/* Repeated bytes, of which short labels take some twice. */
	assert_true(hash1("a") != hash1("aa"));
	assert_true(hash1("aa") != hash1("aaa"));
	assert_true(hash1("aaaa") != hash1("aaaaa"));
	assert_true(hash1("aaaaaaaa") != hash1("aaaaaaaaa"));
}

/* What is behind byte 511 is cut by hash and readers alike, so two labels that differ only there are one. */
static void bytes_behind_the_limit_do_not_count(void **state)
{
	char label[2000];

	(void)state;
	memset(label, 'q', sizeof(label));
	label[PROBEMETER_LABEL_BYTES] = '\0';
	for (size_t length = PROBEMETER_LABEL_BYTES + 1; length < sizeof(label); length += 97) {
		char longer[sizeof(label)];

		memset(longer, 'q', PROBEMETER_LABEL_BYTES);
		memset(longer + PROBEMETER_LABEL_BYTES, 'z', sizeof(longer) - PROBEMETER_LABEL_BYTES);
		longer[length] = '\0';
		assert_int_equal(hash1(longer), hash1(label));
		longer[PROBEMETER_LABEL_BYTES - 1] = 'z';
		assert_true(hash1(longer) != hash1(label));
	}
	/* 510 bytes are another label than 511. */
	assert_true(hash1(label) != hash1(label + 1));
}

static uint64_t random64(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void random_label(uint64_t *seed, size_t length, char *ret)
{
	for (size_t i = 0; i < length; i++)
		ret[i] = (char)(1 + random64(seed) % 255);
	ret[length] = '\0';
}

/* Each bit of a label flips between 40 and 60 % of the hash's bits on average, whatever its place in labels of all
 * lengths that are taken in a way of their own, and also through a second label. */
static void each_bit_flips_half_of_the_hash(void **state)
{
	enum { ROUNDS = 250 };
	static const size_t lengths[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32, 33, 48, 64 };
	double least = 1, most = 0, all = 0;
	uint64_t seed = 21;
	size_t places = 0;

	(void)state;
	for (size_t l = 0; l < COUNT(lengths); l++)
		for (size_t bit = 0; bit < 8 * lengths[l]; bit++) {
			unsigned flipped = 0, tried = 0;
			double part;

			for (int round = 0; round < ROUNDS; round++) {
				char label[80], changed[80];
				uint64_t differ;

				random_label(&seed, lengths[l], label);
				memcpy(changed, label, sizeof(label));
				changed[bit / 8] = (char)(changed[bit / 8] ^ 1 << bit % 8);
				if (!changed[bit / 8])
					continue; /* it would end here */
				differ = round % 2 ? hash1(label) ^ hash1(changed) :
						     hash2(label, "tier") ^ hash2(changed, "tier");
				flipped += (unsigned)__builtin_popcountll(differ);
				tried += 64;
			}
			part = (double)flipped / tried;
			least = part < least ? part : least;
			most = part > most ? part : most;
			all += part;
			places++;
		}
	print_message("%zu places of a bit: %.1f to %.1f %%, %.2f %% on average\n", places, 100 * least, 100 * most,
		      100 * all / (double)places);
	assert_true(least >= 0.4);
	assert_true(most <= 0.6);
}

/* With another label behind it, each bit of a label flips each single bit of the hash in 43 to 57 % of all cases: what
 * 2,000 tries of a fair coin do, as well as one can tell. (The last label's bits go through one multiplication only,
 * and single bits of the hash may follow them: that costs no collisions, see below, but take all 64 of them.) */
static void each_bit_flips_each_bit_behind_another_label(void **state)
{
	enum { ROUNDS = 2000 };
	static const size_t lengths[] = { 1, 2, 3, 4, 7, 8, 15, 16, 17, 32 };
	double least = 1, most = 0;
	uint64_t seed = 22;

	(void)state;
	for (size_t l = 0; l < COUNT(lengths); l++)
		for (size_t bit = 0; bit < 8 * lengths[l]; bit++) {
			unsigned flipped[64] = { 0 }, tried = 0;

			for (int round = 0; round < ROUNDS; round++) {
				char label[80], changed[80], behind[13];
				uint64_t differ;

				random_label(&seed, lengths[l], label);
				random_label(&seed, sizeof(behind) - 1, behind);
				memcpy(changed, label, sizeof(label));
				changed[bit / 8] = (char)(changed[bit / 8] ^ 1 << bit % 8);
				if (!changed[bit / 8])
					continue; /* it would end here */
				differ = hash2(label, behind) ^ hash2(changed, behind);
				for (unsigned out = 0; out < 64; out++)
					flipped[out] += differ >> out & 1;
				tried++;
			}
			for (unsigned out = 0; out < 64; out++) {
				double part = (double)flipped[out] / tried;

				least = part < least ? part : least;
				most = part > most ? part : most;
			}
		}
	print_message("single bits: %.1f to %.1f %%\n", 100 * least, 100 * most);
	assert_true(least >= 0.43);
	assert_true(most <= 0.57);
}

enum { LABELS = 2000000, TABLE_BITS = 22, TABLE = 1 << TABLE_BITS };

/* How many of @hash have the @bits bits from @shift on of one before them. The table has twice the room that it needs. */
static size_t repeated(const uint64_t *hash, size_t count, unsigned shift, unsigned bits)
{
	const uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
	uint64_t *table = calloc(TABLE, sizeof(*table));
	size_t found = 0;

	assert_non_null(table);
	for (size_t i = 0; i < count; i++) {
		uint64_t part = hash[i] >> shift & mask;
		size_t at = part * UINT64_C(0x9e3779b97f4a7c15) >> (64 - TABLE_BITS);

		while (table[at] && table[at] != part)
			at = (at + 1) % TABLE;
		found += table[at] && table[at] == part;
		table[at] = part; /* 0 takes no place and is never found: one in 2^32 */
	}
	free(table);
	return found;
}

/* Two million hashes: no two are equal, and any 32 of their bits repeat no more often than those of random numbers:
 * n^2 / 2^33 = 466 times, with a standard deviation of 22. Fewer is as good. */
static void check_like_random(const char *what, const uint64_t *hash)
{
	size_t seen[16] = { 0 }, low = repeated(hash, LABELS, 0, 32), middle = repeated(hash, LABELS, 16, 32);
	size_t high = repeated(hash, LABELS, 32, 32);

	print_message("%s: 32 low, middle, high bits repeat %zu, %zu, %zu times\n", what, low, middle, high);
	assert_int_equal(repeated(hash, LABELS, 0, 64), 0);
	assert_true(low < 466 + 6 * 22);
	assert_true(middle < 466 + 6 * 22);
	assert_true(high < 466 + 6 * 22);
	/* The level table takes its low bits: none of their values is rare. */
	for (size_t i = 0; i < LABELS; i++)
		seen[hash[i] % 16]++;
	for (size_t i = 0; i < 16; i++)
		assert_in_range(seen[i], LABELS / 16 * 98 / 100, LABELS / 16 * 102 / 100);
}

/* Labels as services have them, two million at a time. */
static void two_million_structured_labels_do_not_collide(void **state)
{
	static const char *const one[] = { "%u", "host-%04u", "user-%u", "%08x", "/api/v1/executions/%u/result" };
	uint64_t *hash = malloc(LABELS * sizeof(*hash));
	char first[64], second[64];

	(void)state;
	assert_non_null(hash);
	for (size_t form = 0; form < COUNT(one); form++) {
		for (unsigned i = 0; i < LABELS; i++) {
			(void)snprintf(first, sizeof(first), one[form], i);
			hash[i] = hash1(first);
		}
		check_like_random(one[form], hash);
	}
	for (unsigned i = 0; i < LABELS; i++) {
		(void)snprintf(first, sizeof(first), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		hash[i] = hash1(first);
	}
	check_like_random("addresses", hash);
	for (unsigned i = 0; i < LABELS; i++) {
		(void)snprintf(first, sizeof(first), "user-%u", i / 1000);
		(void)snprintf(second, sizeof(second), "/api/v1/executions/%u", i % 1000);
		hash[i] = hash2(first, second);
	}
	check_like_random("users and paths", hash);
	/* Words of two letters, which differ in single bits that are far apart. */
	for (unsigned i = 0; i < LABELS; i++) {
		for (unsigned k = 0; k < 16; k++)
			first[k] = (char)('a' + (i >> k & 1));
		first[16] = '\0';
		for (unsigned k = 0; k < 5; k++)
			second[k] = (char)('a' + (i >> (16 + k) & 1));
		second[5] = '\0';
		hash[i] = hash2(first, second);
	}
	check_like_random("two letters", hash);
	/* Three bytes, the shortest way through. */
	for (unsigned i = 0; i < LABELS; i++) {
		first[0] = (char)(1 + i % 126);
		first[1] = (char)(1 + i / 126 % 126);
		first[2] = (char)(1 + i / (126 * 126));
		first[3] = '\0';
		hash[i] = hash1(first);
	}
	check_like_random("three bytes", hash);
	free(hash);
}

/* A label may end where the memory does; what stands behind it or how it is aligned is nobody's business. */
static void hash_reads_nothing_but_the_label(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t seed = 5;

	(void)state;
	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
	for (size_t length = 0; length <= 600; length++) {
		char label[640], *last = map + page - length - 1;
		uint64_t expected;

		random_label(&seed, length, label);
		expected = hash1(label);
		/* The NUL is the page's last byte. */
		memcpy(last, label, length + 1);
		assert_int_equal(hash1(last), expected);
		if (length > 80)
			continue;
		for (size_t shift = 0; shift < 16; shift++) {
			memset(map, shift % 2 ? 0xff : 0, 128);
			memcpy(map + shift, label, length + 1);
			assert_int_equal(hash1(map + shift), expected);
		}
	}
	(void)munmap(map, 2 * page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_gives_the_values_of_the_abi),
		cmocka_unit_test(null_hashes_like_the_empty_string),
		cmocka_unit_test(hash_tells_label_boundaries_apart),
		cmocka_unit_test(bytes_behind_the_limit_do_not_count),
		cmocka_unit_test(each_bit_flips_half_of_the_hash),
		cmocka_unit_test(each_bit_flips_each_bit_behind_another_label),
		cmocka_unit_test(two_million_structured_labels_do_not_collide),
		cmocka_unit_test(hash_reads_nothing_but_the_label),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
