/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_gzip.c - what is packed unpacks to what it was, at once or in pieces of any size.
 */
#include "unit.h"

#include "gzip.h"

#define SIZE 300000

static uint8_t plain[SIZE];

/* Half of it repeats itself, half of it does not. */
static void plain_make(void)
{
	uint32_t random = 1;
	size_t i;

	for (i = 0; i < SIZE; i++) {
		random = random * 1103515245 + 12345;
		plain[i] = i < SIZE / 2 ? (uint8_t)"requests_total{service=\"shop\"} "[i % 31] : (uint8_t)(random >> 16);
	}
}

static void unpacks_to(const uint8_t *packed, size_t packed_size, const uint8_t *want, size_t size)
{
	static uint8_t room[SIZE + 1];
	z_stream stream = { .next_in = (Bytef *)packed, .avail_in = (uInt)packed_size, .next_out = room, .avail_out = sizeof(room) };

	assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.total_out, size);
	assert_int_equal(stream.avail_in, 0);
	assert_memory_equal(room, want, size);
	(void)inflateEnd(&stream);
}

static void gzip_packs_at_once(void **state)
{
	static const int levels[] = { GZIP_FAST, Z_DEFAULT_COMPRESSION };
	uint8_t *packed;
	size_t size, i;

	(void)state;
	for (i = 0; i < COUNT(levels); i++) {
		assert_int_equal(gzip_pack(plain, SIZE, levels[i], 5, &packed, &size), 0);
		assert_true(size < SIZE * 3 / 5);
		unpacks_to(packed + 5, size - 5, plain, SIZE);
		free(packed);
	}
}

static void gzip_packs_in_pieces(void **state)
{
	static const size_t pieces[] = { 1, 777, 32768, SIZE };
	uint8_t *packed;
	size_t size, i, at;

	(void)state;
	for (i = 0; i < COUNT(pieces); i++) {
		struct gzip *gzip = gzip_new(GZIP_FAST);

		assert_non_null(gzip);
		for (at = 0; at < SIZE; at += pieces[i])
			gzip_add(gzip, plain + at, SIZE - at < pieces[i] ? SIZE - at : pieces[i]);
		assert_int_equal(gzip_end(gzip, &packed, &size), 0);
		unpacks_to(packed, size, plain, SIZE);
		free(packed);
	}
}

/* Nothing at all is a file of gzip's, too. */
static void gzip_packs_nothing(void **state)
{
	struct gzip *gzip = gzip_new(GZIP_FAST);
	uint8_t *packed;
	size_t size;

	(void)state;
	gzip_add(gzip, NULL, 0);
	assert_int_equal(gzip_end(gzip, &packed, &size), 0);
	unpacks_to(packed, size, plain, 0);
	free(packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gzip_packs_at_once),
		cmocka_unit_test(gzip_packs_in_pieces),
		cmocka_unit_test(gzip_packs_nothing),
	};

	plain_make();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
