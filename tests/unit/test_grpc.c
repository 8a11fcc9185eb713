/* SPDX-License-Identifier: BSD-2-Clause */
/* test_grpc.c - framing and status, as servers send them and as they should not. */
#include "unit.h"

#include <errno.h>

#include "grpc.h"

#define GRPC "application/grpc"
/* A frame with 2 bytes of message: an empty partial_success. */
#define FRAME "\x00\x00\x00\x00\x02\x0a\x00"

static int read_answer(long http, const char *type, const char *fields, const char *body, size_t size,
		       struct grpc_status *ret)
{
	/* On the heap, so that the sanitizer sees a byte too many. */
	uint8_t *copy = malloc(size ? size : 1);
	char *text = strdup(fields);
	struct grpc_answer answer = { .http_status = http, .type = type, .fields = text, .body = size ? copy : NULL,
				      .size = size };
	int err;

	memcpy(copy, body, size);
	err = grpc_read(&answer, ret);
	if (ret->message)
		ret->message = (const uint8_t *)body + (ret->message - copy);
	free(text);
	free(copy);
	return err;
}

/* The head is the flag and the size, most significant byte first. */
static void grpc_head_is_flag_and_size(void **state)
{
	uint8_t head[GRPC_HEAD_BYTES];

	(void)state;
	grpc_head(false, 0, head);
	assert_memory_equal(head, "\x00\x00\x00\x00\x00", 5);
	grpc_head(true, 0x1234567, head);
	assert_memory_equal(head, "\x01\x01\x23\x45\x67", 5);
}

/* A whole message and status 0 is a delivery, wherever the blanks and the case; the last status counts. */
static void grpc_reads_a_delivery(void **state)
{
	static const char *const fields[] = {
		"grpc-status: 0\n", "grpc-status:0\n", "Grpc-Status: 00 \n", "grpc-statusx: 9\ngrpc-status:\t0\ngrpc-x: 1\n",
		"grpc-status: 14\ngrpc-status: 0\n", "grpc-status: 0",
	};
	struct grpc_status status;

	(void)state;
	for (size_t i = 0; i < COUNT(fields); i++) {
		assert_int_equal(read_answer(200, GRPC "+proto", fields[i], FRAME, 7, &status), 0);
		assert_int_equal(status.code, GRPC_OK);
		assert_true(status.stated);
		assert_false(status.retryable);
		assert_int_equal(status.size, 2);
		assert_memory_equal(status.message, "\x0a\x00", 2);
	}
	assert_int_equal(read_answer(200, GRPC, "grpc-status: 0\n", "\0\0\0\0\0", 5, &status), 0);
	assert_int_equal(status.size, 0);
}

/* Each code has its name, and OTLP tries again after just these. */
static void grpc_retries_what_otlp_does(void **state)
{
	static const struct {
		const char *name;
		bool retryable;
	} rows[] = {
		{ "OK", false }, { "CANCELLED", true }, { "UNKNOWN", false }, { "INVALID_ARGUMENT", false },
		{ "DEADLINE_EXCEEDED", true }, { "NOT_FOUND", false }, { "ALREADY_EXISTS", false },
		{ "PERMISSION_DENIED", false }, { "RESOURCE_EXHAUSTED", false }, { "FAILED_PRECONDITION", false },
		{ "ABORTED", true }, { "OUT_OF_RANGE", true }, { "UNIMPLEMENTED", false }, { "INTERNAL", false },
		{ "UNAVAILABLE", true }, { "DATA_LOSS", true }, { "UNAUTHENTICATED", false },
	};
	struct grpc_status status;

	(void)state;
	assert_int_equal(COUNT(rows), GRPC_CODES);
	for (unsigned i = 1; i < GRPC_CODES; i++) {
		char fields[64];

		/* In an answer of headers only: no body. */
		(void)snprintf(fields, sizeof(fields), "grpc-status: %u\ngrpc-message: so\n", i);
		assert_int_equal(read_answer(200, GRPC, fields, "", 0, &status), -EREMOTEIO);
		assert_int_equal(status.code, i);
		assert_string_equal(grpc_code_name(status.code), rows[i].name);
		assert_int_equal(status.retryable, rows[i].retryable);
		assert_string_equal(status.words, "so");
		assert_null(status.problem);
	}
}

/* What is no code is UNKNOWN. */
static void grpc_takes_odd_codes_as_unknown(void **state)
{
	static const char *const odd[] = { "", "17", "99", "100", "-1", "0x0", "a", "1 4", "4294967296", "\xff" };
	struct grpc_status status;

	(void)state;
	for (size_t i = 0; i < COUNT(odd); i++) {
		char fields[64];

		(void)snprintf(fields, sizeof(fields), "grpc-status: %s\n", odd[i]);
		assert_int_equal(read_answer(200, GRPC, fields, FRAME, 7, &status), -EREMOTEIO);
		assert_int_equal(status.code, GRPC_UNKNOWN);
		assert_false(status.retryable);
	}
}

/* Words are percent-decoded; what is wrong in that stays as it is. */
static void grpc_decodes_the_message(void **state)
{
	static const struct {
		const char *encoded, *words;
	} rows[] = {
		{ "plain words", "plain words" }, { "a%20b%0Ac", "a b\nc" }, { "%e2%82%AC", "\xe2\x82\xac" },
		{ "100%", "100%" }, { "%4", "%4" }, { "%zz%41", "%zzA" }, { "%%41", "%A" }, { "a%00b", "a" }, { "", "" },
	};
	struct grpc_status status;
	char fields[2048], longest[1024];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		(void)snprintf(fields, sizeof(fields), "grpc-message: %s\ngrpc-status: 3\n", rows[i].encoded);
		assert_int_equal(read_answer(200, GRPC, fields, "", 0, &status), -EREMOTEIO);
		assert_string_equal(status.words, rows[i].words);
	}
	memset(longest, 'w', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	(void)snprintf(fields, sizeof(fields), "grpc-status: 3\ngrpc-message: %s\n", longest);
	assert_int_equal(read_answer(200, GRPC, fields, "", 0, &status), -EREMOTEIO);
	assert_int_equal(strlen(status.words), GRPC_WORDS_BYTES - 1);
}

/*
 * google.rpc.Status by the standard's numbers: { code: 8, message: "full", details: [Any { type_url:
 * "type.googleapis.com/google.rpc.RetryInfo", value: RetryInfo { retry_delay { seconds: 1, nanos: 500000000 } } }] },
 * and others.
 */
static void grpc_reads_retry_info(void **state)
{
	static const struct {
		const char *what, *details;
		unsigned code;
		bool retryable;
		int64_t retry_ms;
	} rows[] = {
		{ "1.5 s, padded", "CAgSBGZ1bGwaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIARCAyrXuAQ==",
		  8, true, 1500 },
		{ "the same, not padded",
		  "CAgSBGZ1bGwaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIARCAyrXuAQ", 8, true, 1500 },
		{ "no delay in it", "CAgaKgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbw==", 8, true, 0 },
		{ "no details", "CAgSBGZ1bGw=", 8, false, 0 },
		{ "another detail", "CAgaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLkRlYnVnSW5mbxIKCggIARCAyrXuAQ==", 8, false, 0 },
		{ "one digit too few", "CAgSBGZ1bGwaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIARCAyrXuA",
		  8, false, 0 },
		{ "one = of two", "CAgSBGZ1bGwaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIARCAyrXuAQ=",
		  8, false, 0 },
		{ "no base64", "CAg*BGZ1bGw=", 8, false, 0 },
		{ "nothing", "", 8, false, 0 },
		{ "padding alone", "====", 8, false, 0 },
		{ "not protobuf", "/////w==", 8, false, 0 },
		{ "beside a code that is tried again anyway",
		  "CA4aNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIARCAyrXuAQ==", 14, true, 1500 },
		{ "beside a code that is not",
		  "CAMaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIARCAyrXuAQ==", 3, false, 1500 },
		{ "a negative delay",
		  "CAgaOQoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxINCgsI////////////AQ==", 8, true, 0 },
		{ "a delay of ages", "CAgaNwoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxILCgkIgICAgICAgAI=", 8, true, 86400000 },
	};
	struct grpc_status status;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char fields[512];

		(void)snprintf(fields, sizeof(fields), "grpc-status: %u\ngrpc-status-details-bin: %s\n", rows[i].code,
			       rows[i].details);
		assert_int_equal(read_answer(200, GRPC, fields, "", 0, &status), -EREMOTEIO);
		if (status.retryable != rows[i].retryable || status.retry_ms != rows[i].retry_ms)
			fail_msg("%s: retryable %d after %lld ms", rows[i].what, status.retryable,
				 (long long)status.retry_ms);
	}
}

/* Without a status of gRPC's own, HTTP's stands for one. */
static void grpc_maps_http_statuses(void **state)
{
	static const struct {
		long http;
		enum grpc_code code;
	} rows[] = {
		{ 400, GRPC_INTERNAL }, { 401, GRPC_UNAUTHENTICATED }, { 403, GRPC_PERMISSION_DENIED },
		{ 404, GRPC_UNIMPLEMENTED }, { 429, GRPC_UNAVAILABLE }, { 502, GRPC_UNAVAILABLE }, { 503, GRPC_UNAVAILABLE },
		{ 504, GRPC_UNAVAILABLE }, { 500, GRPC_UNKNOWN }, { 302, GRPC_UNKNOWN }, { 204, GRPC_UNKNOWN }, { 0, GRPC_UNKNOWN },
	};
	struct grpc_status status;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(read_answer(rows[i].http, "text/html", "", "<html>", 6, &status), -EREMOTEIO);
		assert_int_equal(status.code, rows[i].code);
		assert_int_equal(status.retryable, rows[i].code == GRPC_UNAVAILABLE);
		assert_false(status.stated);
	}
	/* gRPC's own counts more. */
	assert_int_equal(read_answer(503, GRPC, "grpc-status: 3\n", "", 0, &status), -EREMOTEIO);
	assert_int_equal(status.code, GRPC_INVALID_ARGUMENT);
}

/* An answer that breaks the protocol is an error that says how, and is not tried again. */
static void grpc_names_broken_answers(void **state)
{
	static const struct {
		const char *type, *fields, *body;
		size_t size;
		int err;
		const char *problem;
	} rows[] = {
		{ GRPC, "", FRAME, 7, -EPROTO, "the answer ended without a grpc-status" },
		{ GRPC, "grpc-message: torn", "", 0, -EPROTO, "the answer ended without a grpc-status" },
		{ GRPC, "grpc-stat", "", 0, -EPROTO, "the answer ended without a grpc-status" },
		{ "text/html", "", "<html>", 6, -EPROTO, "the answer is not gRPC" },
		{ "", "", "", 0, -EPROTO, "the answer is not gRPC" },
		{ GRPC, "grpc-status: 0\n", "", 0, -EPROTO, "the answer has no message" },
		{ GRPC, "grpc-status: 0\n", FRAME, 4, -EPROTO, "the answer's message is cut off" },
		{ GRPC, "grpc-status: 0\n", FRAME, 6, -EPROTO, "the answer's message is cut off" },
		{ GRPC, "grpc-status: 0\n", FRAME FRAME, 14, -EPROTO, "the answer has more than one message" },
		{ GRPC, "grpc-status: 0\n", FRAME "x", 8, -EPROTO, "the answer has more than one message" },
		{ GRPC, "grpc-status: 0\n", "\x01" "\0\0\0\x02\x0a\0", 7, -EPROTO,
		  "the answer is compressed, which nobody asked for" },
		{ GRPC, "grpc-status: 0\n", "<html>", 6, -EPROTO, "the answer's message does not begin as gRPC has it" },
		{ GRPC, "grpc-status: 0\n", "\x00\x00\x40\x00\x01", 5, -EMSGSIZE, "the answer is larger than 4 MiB" },
		{ GRPC, "grpc-status: 0\n", "\x00\xff\xff\xff\xff\x0a", 6, -EMSGSIZE, "the answer is larger than 4 MiB" },
		{ GRPC, "grpc-status: 0\n", "\x00\x00\x40\x00\x00", 5, -EPROTO, "the answer's message is cut off" },
	};
	struct grpc_status status;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(read_answer(200, rows[i].type, rows[i].fields, rows[i].body, rows[i].size, &status),
				 rows[i].err);
		assert_string_equal(status.problem, rows[i].problem);
		assert_false(status.retryable);
		assert_null(status.message);
	}
}

/* HTTP/2's own errors stand for codes too. */
static void grpc_maps_resets(void **state)
{
	(void)state;
	assert_int_equal(grpc_code_of_reset(7), GRPC_UNAVAILABLE);
	assert_int_equal(grpc_code_of_reset(8), GRPC_CANCELLED);
	assert_int_equal(grpc_code_of_reset(11), GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(grpc_code_of_reset(12), GRPC_PERMISSION_DENIED);
	for (int i = 0; i < 7; i++)
		assert_int_equal(grpc_code_of_reset(i), GRPC_INTERNAL);
	assert_int_equal(grpc_code_of_reset(-1), GRPC_INTERNAL);
	assert_int_equal(grpc_code_of_reset(13), GRPC_INTERNAL);
	assert_int_equal(grpc_code_of_reset(0x7fffffff), GRPC_INTERNAL);
}

/* Bytes without sense, and good ones spoilt, end in a verdict and touch nothing outside: the sanitizers watch. */
static void grpc_survives_hostile_answers(void **state)
{
	static const char good[] = "grpc-status: 8\ngrpc-message: %41\ngrpc-status-details-bin: "
		"CAgSBGZ1bGwaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIARCAyrXuAQ==\n";
	static const char letters[] = "grpc-status: \n%=+/09azAZ\xff\x01";
	struct grpc_status status;
	unsigned seed = 4711;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char fields[sizeof(good)], body[16];
		size_t size;

		memcpy(fields, good, sizeof(good));
		if (round % 4 == 0)
			for (size_t i = 0; i < sizeof(good) - 1; i++)
				fields[i] = letters[(size_t)rand_r(&seed) % (sizeof(letters) - 1)];
		for (int i = rand_r(&seed) % 4; i >= 0; i--)
			fields[(size_t)rand_r(&seed) % (sizeof(good) - 1)] =
				letters[(size_t)rand_r(&seed) % (sizeof(letters) - 1)];
		fields[(size_t)rand_r(&seed) % sizeof(good)] = '\0';
		for (size_t i = 0; i < sizeof(body); i++)
			body[i] = (char)(rand_r(&seed) % 3 ? rand_r(&seed) % 2 : rand_r(&seed));
		size = (size_t)rand_r(&seed) % (sizeof(body) + 1);
		assert_true(read_answer(round % 2 ? 200 : 503, GRPC, fields, body, size, &status) <= 0);
		assert_true(status.code < GRPC_CODES);
		assert_true(status.retry_ms >= 0 && status.retry_ms <= INT64_C(86400000));
		assert_true(strlen(status.words) < sizeof(status.words));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grpc_head_is_flag_and_size),
		cmocka_unit_test(grpc_reads_a_delivery),
		cmocka_unit_test(grpc_retries_what_otlp_does),
		cmocka_unit_test(grpc_takes_odd_codes_as_unknown),
		cmocka_unit_test(grpc_decodes_the_message),
		cmocka_unit_test(grpc_reads_retry_info),
		cmocka_unit_test(grpc_maps_http_statuses),
		cmocka_unit_test(grpc_names_broken_answers),
		cmocka_unit_test(grpc_maps_resets),
		cmocka_unit_test(grpc_survives_hostile_answers),
	};

	return cmocka_run_group_tests_name("grpc", tests, NULL, NULL);
}
