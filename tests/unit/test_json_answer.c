/* SPDX-License-Identifier: BSD-2-Clause */
/* test_json_answer.c - what a collector may answer in JSON, and what somebody hostile may. */
#include "unit.h"

#include <errno.h>

#include "json_answer.h"

/* The sanitizer's own; gcc installs no header for it. */
extern size_t __sanitizer_get_current_allocated_bytes(void);

/* Without a NUL behind it, so that the sanitizer sees a read past the end. */
static int read_text(const char *text, size_t size, struct json_answer *ret)
{
	uint8_t *body = malloc(size ? size : 1);
	int err;

	assert_non_null(body);
	memcpy(body, text, size);
	err = json_answer_read(body, size, ret);
	free(body);
	return err;
}

/* Every form that ProtoJSON allows for the count, and words with escapes in them. */
static void answer_is_read(void **state)
{
	static const struct {
		const char *text;
		int64_t rejected;
		const char *words;
	} rows[] = {
		{ "", 0, "" },
		{ "{}", 0, "" },
		{ " {} \r\n", 0, "" },
		{ "{\"partialSuccess\":{}}", 0, "" },
		{ "{\"partialSuccess\":null}", 0, "" },
		{ "{\"partialSuccess\":{\"rejectedDataPoints\":\"3\",\"errorMessage\":\"too old\"}}", 3, "too old" },
		{ "{\"partialSuccess\":{\"rejectedDataPoints\":3,\"errorMessage\":\"too old\"}}", 3, "too old" },
		{ "{\"partialSuccess\":{\"rejectedDataPoints\":3.0}}", 3, "" },
		{ "{\"partialSuccess\":{\"rejectedDataPoints\":1e3}}", 1000, "" },
		{ "{\"partialSuccess\":{\"rejectedDataPoints\":null,\"errorMessage\":null}}", 0, "" },
		{ "{\"partialSuccess\":{\"rejectedDataPoints\":\"9223372036854775807\"}}", INT64_MAX, "" },
		{ "{\"partialSuccess\":{\"rejectedDataPoints\":-4}}", -4, "" },
		{ "{\"partial_success\":{\"rejected_data_points\":\"2\",\"error_message\":\"w\"}}", 2, "w" },
		{ "{\"partialSuccess\":{\"errorMessage\":\"a\\n\\u00fc\\u0000b\"}}", 0, "a\n\xc3\xbc" },
		{ "{\"later\":{\"x\":[1,{\"y\":[]}]},\"partialSuccess\":{\"new\":true,\"rejectedDataPoints\":\"1\"}}", 1, "" },
		{ "{\"code\":3,\"message\":\"bad bounds\",\"details\":[{\"@type\":\"x\"}]}", 0, "bad bounds" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct json_answer answer;

		assert_int_equal(read_text(rows[i].text, strlen(rows[i].text), &answer), 0);
		assert_int_equal(answer.rejected, rows[i].rejected);
		assert_string_equal(answer.words, rows[i].words);
	}
}

/* What is not JSON, or of another shape, is refused and leaves no trace. */
static void answer_of_another_shape_is_refused(void **state)
{
	static const char *const rows[] = {
		"[]", "3", "null", "true", "\"partialSuccess\"", "{", "{\"partialSuccess\":{\"rejectedDataPoints\":",
		"{}{}", "{} x", "<html></html>", "{\"partialSuccess\":[]}", "{\"partialSuccess\":\"no\"}",
		"{\"partialSuccess\":{\"rejectedDataPoints\":\"\"}}", "{\"partialSuccess\":{\"rejectedDataPoints\":\"3x\"}}",
		"{\"partialSuccess\":{\"rejectedDataPoints\":\"9223372036854775808\"}}",
		"{\"partialSuccess\":{\"rejectedDataPoints\":0.5}}", "{\"partialSuccess\":{\"rejectedDataPoints\":1e400}}",
		"{\"partialSuccess\":{\"rejectedDataPoints\":NaN}}", "{\"partialSuccess\":{\"rejectedDataPoints\":[3]}}",
		"{\"partialSuccess\":{\"rejectedDataPoints\":true}}", "{\"partialSuccess\":{\"errorMessage\":3}}",
		"{\"message\":{}}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct json_answer answer = { .rejected = 77, .words = "untouched" };

		assert_int_equal(read_text(rows[i], strlen(rows[i]), &answer), -EPROTO);
		assert_int_equal(answer.rejected, 77);
		assert_string_equal(answer.words, "untouched");
	}
}

/* Arrays in arrays in arrays cost neither stack nor memory; neither does a flood of values past the limit. */
static void answer_is_bounded_in_depth_and_size(void **state)
{
	struct json_answer answer;
	size_t before = __sanitizer_get_current_allocated_bytes();
	char *text = malloc(JSON_ANSWER_MAX + 1);

	(void)state;
	assert_non_null(text);
	memset(text, '[', JSON_ANSWER_MAX + 1);
	assert_int_equal(json_answer_read((uint8_t *)text, JSON_ANSWER_MAX, &answer), -EPROTO);
	assert_int_equal(json_answer_read((uint8_t *)text, JSON_ANSWER_MAX + 1, &answer), -EMSGSIZE);
	memset(text, ' ', JSON_ANSWER_MAX + 1);
	memcpy(text, "{}", 2);
	assert_int_equal(json_answer_read((uint8_t *)text, JSON_ANSWER_MAX, &answer), 0);
	free(text);
	assert_true(__sanitizer_get_current_allocated_bytes() <= before);
}

/* Words of any length are cut to their place. */
static void answer_words_are_cut(void **state)
{
	static const char head[] = "{\"message\":\"";
	char text[4000];
	struct json_answer answer;

	(void)state;
	memset(text, 'w', sizeof(text));
	memcpy(text, head, strlen(head));
	memcpy(text + sizeof(text) - 2, "\"}", 2);
	assert_int_equal(read_text(text, sizeof(text), &answer), 0);
	assert_int_equal(strlen(answer.words), JSON_ANSWER_WORDS - 1);
}

/* Bytes by chance: no crash, no leak, an answer or a refusal. */
static void answer_of_random_bytes_is_survived(void **state)
{
	static const char alphabet[] = "{}[]\",:\\u0 e+-.19tfn\x00\xff\xc3partialSuccess";
	struct json_answer answer;
	uint64_t random = 1;
	char text[64];

	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t size = 0;
		int err;

		do {
			random = random * 6364136223846793005u + 1442695040888963407u;
			text[size++] = alphabet[(random >> 33) % (sizeof(alphabet) - 1)];
		} while (size < sizeof(text) && random >> 59);
		err = read_text(text, size, &answer);
		assert_true(err == 0 || err == -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answer_is_read),
		cmocka_unit_test(answer_of_another_shape_is_refused),
		cmocka_unit_test(answer_is_bounded_in_depth_and_size),
		cmocka_unit_test(answer_words_are_cut),
		cmocka_unit_test(answer_of_random_bytes_is_survived),
	};

	return cmocka_run_group_tests_name("json answer", tests, NULL, NULL);
}
