/* SPDX-License-Identifier: BSD-2-Clause */
/* test_json.c - each type of field as ProtoJSON wants it; what protobuf-c leaves out is left out. */
#include "unit.h"

#include <float.h>
#include <json-c/json.h>
#include <math.h>

#include "arena.h"
#include "encode.h"
#include "json.h"
#include "otlp.pb-c.h"

/* The JSON of @message, with a NUL behind it. */
static const char *json_of(struct arena *arena, const void *message)
{
	uint8_t *bytes;
	size_t size;

	assert_int_equal(json_write(message, arena, &bytes, &size), 0);
	return arena_strndup(arena, (const char *)bytes, size);
}

/* A message with a field of every type there is, described as protoc-c would: otlp.proto has not all of them yet. */
struct everything {
	ProtobufCMessage base;
	int32_t int32, sint32, sfixed32, an_enum;
	int64_t int64, sint64, sfixed64;
	uint32_t uint32, fixed32;
	uint64_t uint64, fixed64;
	float a_float;
	double a_double;
	protobuf_c_boolean a_bool;
	char *a_string;
	ProtobufCBinaryData some_bytes;
	struct everything *a_message;
	size_t n_many_numbers;
	double *many_numbers;
	uint32_t a_choice_case;
	union {
		int64_t chosen_number;
		char *chosen_string;
		struct everything *chosen_message;
	};
};

#define FIELD(number, words, member, type_) \
	{ .name = words, .id = number, .label = PROTOBUF_C_LABEL_NONE, .type = PROTOBUF_C_TYPE_##type_, \
	  .offset = offsetof(struct everything, member) }
#define CHOICE(number, words, member, type_) \
	{ .name = words, .id = number, .label = PROTOBUF_C_LABEL_NONE, .type = PROTOBUF_C_TYPE_##type_, \
	  .quantifier_offset = offsetof(struct everything, a_choice_case), .flags = PROTOBUF_C_FIELD_FLAG_ONEOF, \
	  .offset = offsetof(struct everything, member) }

static const ProtobufCFieldDescriptor everything_fields[] = {
	FIELD(1, "int32", int32, INT32),
	FIELD(2, "sint32", sint32, SINT32),
	FIELD(3, "sfixed32", sfixed32, SFIXED32),
	FIELD(4, "an_enum", an_enum, ENUM),
	FIELD(5, "int64", int64, INT64),
	FIELD(6, "sint64", sint64, SINT64),
	FIELD(7, "sfixed64", sfixed64, SFIXED64),
	FIELD(8, "uint32", uint32, UINT32),
	FIELD(9, "fixed32", fixed32, FIXED32),
	FIELD(10, "uint64", uint64, UINT64),
	FIELD(11, "fixed64", fixed64, FIXED64),
	FIELD(12, "a_float", a_float, FLOAT),
	FIELD(13, "a_double", a_double, DOUBLE),
	FIELD(14, "a_bool", a_bool, BOOL),
	FIELD(15, "a_string", a_string, STRING),
	FIELD(16, "some_bytes", some_bytes, BYTES),
	FIELD(17, "a_message", a_message, MESSAGE),
	{ .name = "many_numbers", .id = 18, .label = PROTOBUF_C_LABEL_REPEATED, .type = PROTOBUF_C_TYPE_DOUBLE,
	  .quantifier_offset = offsetof(struct everything, n_many_numbers),
	  .offset = offsetof(struct everything, many_numbers) },
	CHOICE(19, "chosen_number", chosen_number, INT64),
	CHOICE(20, "chosen_string", chosen_string, STRING),
	CHOICE(21, "chosen_message", chosen_message, MESSAGE),
};

static const ProtobufCMessageDescriptor everything_descriptor = {
	.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
	.name = "everything",
	.sizeof_message = sizeof(struct everything),
	.n_fields = COUNT(everything_fields),
	.fields = everything_fields,
};

#define EVERYTHING .base = PROTOBUF_C_MESSAGE_INIT(&everything_descriptor)

/* Extremes of each type; 64 bits as strings, 32 bits and enums as numbers, bytes in base64. */
static void json_writes_every_type(void **state)
{
	static uint8_t four[] = { 0xfb, 0xff, 0, 'a' };
	static double numbers[] = { 0, -1, 0.5 };
	struct everything inner = { EVERYTHING };
	const struct everything message = {
		EVERYTHING,
		.int32 = INT32_MIN, .sint32 = INT32_MAX, .sfixed32 = -1, .an_enum = 2,
		.int64 = INT64_MIN, .sint64 = INT64_MAX, .sfixed64 = -1,
		.uint32 = UINT32_MAX, .fixed32 = 1, .uint64 = UINT64_MAX, .fixed64 = 9007199254740993u,
		.a_float = 0.5f, .a_double = 0.1, .a_bool = true, .a_string = (char *)"x",
		.some_bytes = { .data = four, .len = sizeof(four) }, .a_message = &inner,
		.n_many_numbers = COUNT(numbers), .many_numbers = numbers,
		.a_choice_case = 19, .chosen_number = -5,
	};
	struct arena *arena = arena_new();

	(void)state;
	assert_string_equal(json_of(arena, &message),
			    "{\"int32\":-2147483648,\"sint32\":2147483647,\"sfixed32\":-1,\"anEnum\":2,"
			    "\"int64\":\"-9223372036854775808\",\"sint64\":\"9223372036854775807\",\"sfixed64\":\"-1\","
			    "\"uint32\":4294967295,\"fixed32\":1,\"uint64\":\"18446744073709551615\","
			    "\"fixed64\":\"9007199254740993\",\"aFloat\":0.5,\"aDouble\":0.1,\"aBool\":true,"
			    "\"aString\":\"x\",\"someBytes\":\"+/8AYQ==\",\"aMessage\":{},"
			    "\"manyNumbers\":[0,-1,0.5],\"chosenNumber\":\"-5\"}");
	arena_free(arena);
}

/* Defaults are left out; a member of a oneof that is chosen is not, whatever its value. */
static void json_leaves_out_defaults_but_not_what_is_chosen(void **state)
{
	static const struct {
		struct everything message;
		const char *json;
	} rows[] = {
		{ { EVERYTHING }, "{}" },
		{ { EVERYTHING, .a_string = (char *)"" }, "{}" },
		{ { EVERYTHING, .a_double = -0.0 }, "{}" }, /* as protobuf-c packs it */
		{ { EVERYTHING, .chosen_number = 7 }, "{}" },
		{ { EVERYTHING, .a_choice_case = 19 }, "{\"chosenNumber\":\"0\"}" },
		{ { EVERYTHING, .a_choice_case = 20, .chosen_string = (char *)"" }, "{\"chosenString\":\"\"}" },
		{ { EVERYTHING, .a_choice_case = 20 }, "{}" },
		{ { EVERYTHING, .a_choice_case = 21 }, "{}" },
	};
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(json_of(arena, &rows[i].message), rows[i].json);
	arena_free(arena);
}

/* RFC 8259: quotation mark, backslash and control characters are escaped; the rest is UTF-8 as it came. */
static void json_escapes_strings(void **state)
{
	static const struct {
		const char *text, *json;
	} rows[] = {
		{ "plain / text", "{\"aString\":\"plain / text\"}" },
		{ "\"\\", "{\"aString\":\"\\\"\\\\\"}" },
		{ "\b\f\n\r\t", "{\"aString\":\"\\b\\f\\n\\r\\t\"}" },
		{ "\x01\x0b\x1f\x7f", "{\"aString\":\"\\u0001\\u000b\\u001f\x7f\"}" },
		{ "K\xc3\xb6ln \xf0\x9f\x98\x80 \xe2\x80\xa8", "{\"aString\":\"K\xc3\xb6ln \xf0\x9f\x98\x80 \xe2\x80\xa8\"}" },
	};
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct everything message = { EVERYTHING, .a_string = (char *)rows[i].text };

		assert_string_equal(json_of(arena, &message), rows[i].json);
	}
	arena_free(arena);
}

/* Every byte but NUL, read back by another program's parser. */
static void json_strings_read_back(void **state)
{
	struct arena *arena = arena_new();
	json_object *root, *value;
	char text[128];

	(void)state;
	for (int i = 0; i < 127; i++)
		text[i] = (char)(i + 1);
	text[127] = '\0';
	const struct everything message = { EVERYTHING, .a_string = text };

	root = json_tokener_parse(json_of(arena, &message));
	assert_non_null(root);
	assert_true(json_object_object_get_ex(root, "aString", &value));
	assert_string_equal(json_object_get_string(value), text);
	json_object_put(root);
	arena_free(arena);
}

/* Few digits, and never one too few. */
static void json_numbers_are_short_and_exact(void **state)
{
	static const struct {
		double value;
		const char *json;
	} rows[] = {
		{ 1e6, "1000000" },
		{ -3, "-3" },
		{ 0.1, "0.1" },
		{ 1e15, "1e+15" },
		{ 999999999999999, "999999999999999" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 2.5e-7, "2.5e-07" },
		{ -0.0, "-0.0" },
		{ DBL_MAX, "1.7976931348623157e+308" },
		{ DBL_MIN, "2.2250738585072014e-308" },
		{ 5e-324, "5e-324" },
		{ -2.2250738585072011e-308, "-2.225073858507201e-308" },
		{ INFINITY, "\"Infinity\"" },
		{ -INFINITY, "\"-Infinity\"" },
		{ NAN, "\"NaN\"" },
	};
	struct arena *arena = arena_new();
	uint64_t random = 1;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		double number = rows[i].value;
		const struct everything message = { EVERYTHING, .n_many_numbers = 1, .many_numbers = &number };

		assert_string_equal(json_of(arena, &message), arena_printf(arena, "{\"manyNumbers\":[%s]}", rows[i].json));
	}
	/* More different ones than are remembered, so that places are used again; all read back bit by bit. */
	for (int round = 0; round < 20; round++) {
		double numbers[500];
		const struct everything message = { EVERYTHING, .n_many_numbers = COUNT(numbers), .many_numbers = numbers };
		const char *at;

		for (size_t i = 0; i < COUNT(numbers); i++)
			do {
				random = random * 6364136223846793005u + 1442695040888963407u;
				memcpy(&numbers[i], &random, sizeof(random));
			} while (!isfinite(numbers[i]));
		at = strchr(json_of(arena, &message), '[');
		for (size_t i = 0; i < COUNT(numbers); i++) {
			char *end;
			double back = strtod(at + 1, &end);

			assert_memory_equal(&back, &numbers[i], sizeof(back));
			at = end;
		}
		assert_string_equal(at, "]}");
	}
	arena_free(arena);
}

/* A message that was packed and read again by protobuf-c is the same JSON: both leave out the same. */
static void json_says_what_the_packed_message_says(void **state)
{
	static struct attribute attributes[] = { { "service.name", "a\"b" } };
	static const struct resource resource = { .attribute = attributes, .attribute_count = 1 };
	static const double bounds[] = { 0.5, 2 };
	static const struct metric latency = { .kind = PROBEMETER_KIND_HISTOGRAM, .scope = "s", .name = "latency", .unit = "s",
					       .description = "", .label_count = 1, .label = { "route" } };
	static uint64_t bucket[] = { 1, 0, 2 };
	struct point point = { .resource = &resource, .metric = &latency, .value = { "" }, .type = POINT_HISTOGRAM,
			       .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = 1, .count = 3, .sum = 0, .has_sum = true,
			       .bound = bounds, .bound_count = 2, .bucket = bucket };
	const struct points points = { .time_unix_ns = 2, .point = &point, .count = 1 };
	struct arena *arena = arena_new();
	Otlp__ExportMetricsServiceRequest *request;
	uint8_t *bytes;
	size_t size;
	const char *json;

	(void)state;
	assert_int_equal(encode_otlp(&points, ENCODE_JSON, arena, &bytes, &size), 0);
	json = arena_strndup(arena, (const char *)bytes, size);
	assert_string_equal(json,
			    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\","
			    "\"value\":{\"stringValue\":\"a\\\"b\"}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"s\"},"
			    "\"metrics\":[{\"name\":\"latency\",\"unit\":\"s\",\"histogram\":{\"dataPoints\":["
			    "{\"startTimeUnixNano\":\"1\",\"timeUnixNano\":\"2\",\"count\":\"3\",\"sum\":0,"
			    "\"bucketCounts\":[\"1\",\"0\",\"2\"],\"explicitBounds\":[0.5,2],"
			    "\"attributes\":[{\"key\":\"route\",\"value\":{\"stringValue\":\"\"}}]}],"
			    "\"aggregationTemporality\":2}}]}]}]}");
	assert_int_equal(encode_otlp(&points, ENCODE_PROTOBUF, arena, &bytes, &size), 0);
	request = otlp__export_metrics_service_request__unpack(NULL, size, bytes);
	assert_string_equal(json_of(arena, request), json);
	otlp__export_metrics_service_request__free_unpacked(request, NULL);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_writes_every_type),
		cmocka_unit_test(json_leaves_out_defaults_but_not_what_is_chosen),
		cmocka_unit_test(json_escapes_strings),
		cmocka_unit_test(json_strings_read_back),
		cmocka_unit_test(json_numbers_are_short_and_exact),
		cmocka_unit_test(json_says_what_the_packed_message_says),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
