/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json.c - OTLP/JSON, from the message that protobuf-c would pack.
 *
 * Consumes the tree that encode.c makes, produces text. protobuf-c's descriptor of a message says what its fields are
 * called, of which type they are and where they lie, so that this walk is the only mechanism: it knows no message by
 * name, and a field that is added to otlp.proto is written without a change here.
 */
#include "json.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

#define JSON_FIRST_BYTES ((size_t)64 << 10)
#define REAL_BYTES 28 /* "-1.7976931348623157e+308" and its NUL */
#define REAL_MEMO 256

/* Bounds come again with each point of a histogram, and are the dearest to print. */
struct real {
	double value;
	uint32_t length; /* 0: not used yet */
	char text[REAL_BYTES];
};

struct json {
	uint8_t *bytes;
	size_t size, room;
	bool failed; /* memory is short: nothing is written any more */
	struct real memo[REAL_MEMO];
};

/* Room for @more bytes at the end, or NULL. */
static uint8_t *json_reserve(struct json *json, size_t more)
{
	size_t room = json->room ? json->room : JSON_FIRST_BYTES;
	uint8_t *grown;

	if (json->failed)
		return NULL;
	if (json->room - json->size < more) {
		while (room - json->size < more)
			room *= 2;
		grown = realloc(json->bytes, room);
		if (!grown) {
			json->failed = true;
			return NULL;
		}
		json->bytes = grown;
		json->room = room;
	}
	return json->bytes + json->size;
}

static void put(struct json *json, const void *bytes, size_t size)
{
	uint8_t *at = json_reserve(json, size);

	if (!at)
		return;
	memcpy(at, bytes, size);
	json->size += size;
}

static void put_byte(struct json *json, char byte)
{
	put(json, &byte, 1);
}

/* A number that JSON's own numbers cannot hold everywhere is a string. */
static void put_integer(struct json *json, uint64_t magnitude, bool negative, bool quoted)
{
	char text[24], *at = text + sizeof(text);

	if (quoted)
		*--at = '"';
	do
		*--at = (char)('0' + magnitude % 10);
	while (magnitude /= 10);
	if (negative)
		*--at = '-';
	if (quoted)
		*--at = '"';
	put(json, at, (size_t)(text + sizeof(text) - at));
}

static void put_signed(struct json *json, int64_t value, bool quoted)
{
	put_integer(json, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0, quoted);
}

/* The fewest digits that read back as @value. Fifteen always do where a text of that length exists at all, but for
 * subnormal numbers, which have fewer. */
static uint32_t real_print(double value, char text[REAL_BYTES])
{
	int digits = fabs(value) < 2.2250738585072014e-308 ? 1 : 15, length;

	do
		length = snprintf(text, REAL_BYTES, "%.*g", digits++, value);
	while (digits <= 17 && strtod(text, NULL) != value);
	return (uint32_t)length;
}

static void put_real(struct json *json, double value)
{
	struct real *real;
	uint64_t bits;

	if (!isfinite(value)) {
		const char *word = isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";

		put(json, word, strlen(word));
		return;
	}
	if (fabs(value) < 1e15 && value == trunc(value) && !(value == 0 && signbit(value))) {
		put_signed(json, (int64_t)value, false);
		return;
	}
	memcpy(&bits, &value, sizeof(bits));
	real = &json->memo[bits * 0x9e3779b97f4a7c15ull >> 56];
	if (!real->length || real->value != value) {
		real->value = value;
		/* "-0" would be read as an integer, which has no sign there. */
		real->length = value == 0 ? (uint32_t)snprintf(real->text, REAL_BYTES, "-0.0") : real_print(value, real->text);
	}
	put(json, real->text, real->length);
}

/* What must not stand in a string as it is. Everything else, DEL and all of UTF-8 included, may. */
static bool is_special(unsigned char c)
{
	return c < ' ' || c == '"' || c == '\\';
}

static void put_text(struct json *json, const char *text)
{
	static const char names[] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\',
	};

	put_byte(json, '"');
	for (;;) {
		size_t plain = 0;
		unsigned char c;

		while (!is_special((unsigned char)text[plain]))
			plain++;
		put(json, text, plain);
		text += plain;
		c = (unsigned char)*text++;
		if (!c)
			break;
		if (names[c]) {
			put_byte(json, '\\');
			put_byte(json, names[c]);
		} else {
			char code[8];

			put(json, code, (size_t)snprintf(code, sizeof(code), "\\u%04x", c));
		}
	}
	put_byte(json, '"');
}

static void put_base64(struct json *json, const uint8_t *data, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i;

	put_byte(json, '"');
	for (i = 0; i < size; i += 3) {
		size_t have = size - i < 3 ? size - i : 3;
		uint32_t bits = (uint32_t)data[i] << 16 | (have > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
				(have > 2 ? data[i + 2] : 0);
		char four[4] = { digits[bits >> 18], digits[bits >> 12 & 63], have > 1 ? digits[bits >> 6 & 63] : '=',
				 have > 2 ? digits[bits & 63] : '=' };

		put(json, four, sizeof(four));
	}
	put_byte(json, '"');
}

static void put_message(struct json *json, const ProtobufCMessage *message);

/* One value of each type, at its place in the message or in the array of a repeated field. */
static void write_int32(struct json *json, const void *at)
{
	put_signed(json, *(const int32_t *)at, false);
}

static void write_uint32(struct json *json, const void *at)
{
	put_integer(json, *(const uint32_t *)at, false, false);
}

static void write_int64(struct json *json, const void *at)
{
	put_signed(json, *(const int64_t *)at, true);
}

static void write_uint64(struct json *json, const void *at)
{
	put_integer(json, *(const uint64_t *)at, false, true);
}

static void write_float(struct json *json, const void *at)
{
	put_real(json, *(const float *)at);
}

static void write_double(struct json *json, const void *at)
{
	put_real(json, *(const double *)at);
}

static void write_bool(struct json *json, const void *at)
{
	bool value = *(const protobuf_c_boolean *)at;

	put(json, value ? "true" : "false", value ? 4 : 5);
}

static void write_string(struct json *json, const void *at)
{
	const char *text = *(const char *const *)at;

	put_text(json, text ? text : "");
}

static void write_bytes(struct json *json, const void *at)
{
	const ProtobufCBinaryData *data = at;

	put_base64(json, data->data, data->len);
}

static void write_message(struct json *json, const void *at)
{
	put_message(json, *(const ProtobufCMessage *const *)at);
}

static const struct {
	size_t bytes; /* of one value in memory */
	void (*write)(struct json *json, const void *at);
} types[] = {
	[PROTOBUF_C_TYPE_INT32] = { sizeof(int32_t), write_int32 },
	[PROTOBUF_C_TYPE_SINT32] = { sizeof(int32_t), write_int32 },
	[PROTOBUF_C_TYPE_SFIXED32] = { sizeof(int32_t), write_int32 },
	[PROTOBUF_C_TYPE_INT64] = { sizeof(int64_t), write_int64 },
	[PROTOBUF_C_TYPE_SINT64] = { sizeof(int64_t), write_int64 },
	[PROTOBUF_C_TYPE_SFIXED64] = { sizeof(int64_t), write_int64 },
	[PROTOBUF_C_TYPE_UINT32] = { sizeof(uint32_t), write_uint32 },
	[PROTOBUF_C_TYPE_FIXED32] = { sizeof(uint32_t), write_uint32 },
	[PROTOBUF_C_TYPE_UINT64] = { sizeof(uint64_t), write_uint64 },
	[PROTOBUF_C_TYPE_FIXED64] = { sizeof(uint64_t), write_uint64 },
	[PROTOBUF_C_TYPE_FLOAT] = { sizeof(float), write_float },
	[PROTOBUF_C_TYPE_DOUBLE] = { sizeof(double), write_double },
	[PROTOBUF_C_TYPE_BOOL] = { sizeof(protobuf_c_boolean), write_bool },
	[PROTOBUF_C_TYPE_ENUM] = { sizeof(int32_t), write_int32 },
	[PROTOBUF_C_TYPE_STRING] = { sizeof(char *), write_string },
	[PROTOBUF_C_TYPE_BYTES] = { sizeof(ProtobufCBinaryData), write_bytes },
	[PROTOBUF_C_TYPE_MESSAGE] = { sizeof(ProtobufCMessage *), write_message },
};

/* Is there anything behind the pointer? protobuf-c takes its own empty string for "not set". */
static bool is_set(const ProtobufCFieldDescriptor *field, const void *at)
{
	const void *pointer = *(const void *const *)at;

	return pointer && pointer != field->default_value;
}

static bool is_zero(const ProtobufCFieldDescriptor *field, const void *at)
{
	static const char zeros[sizeof(uint64_t)];

	switch (field->type) {
	case PROTOBUF_C_TYPE_FLOAT:
		return *(const float *)at == 0;
	case PROTOBUF_C_TYPE_DOUBLE:
		return *(const double *)at == 0;
	case PROTOBUF_C_TYPE_STRING:
		return !is_set(field, at) || !**(const char *const *)at;
	case PROTOBUF_C_TYPE_MESSAGE:
		return !is_set(field, at);
	case PROTOBUF_C_TYPE_BYTES:
		return !((const ProtobufCBinaryData *)at)->len;
	default:
		return !memcmp(at, zeros, types[field->type].bytes);
	}
}

/* How many values of @field protobuf-c would pack; @ret: where the first one is. */
static size_t field_values(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, const void **ret)
{
	const char *at = (const char *)message + field->offset, *quantifier = (const char *)message + field->quantifier_offset;
	bool pointer = field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE;

	*ret = at;
	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		*ret = *(const void *const *)at;
		return *(const size_t *)quantifier;
	}
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)quantifier == field->id && (!pointer || is_set(field, at));
	return !is_zero(field, at);
}

/* snake_case to lowerCamelCase. */
static void put_key(struct json *json, const char *name)
{
	uint8_t *start = json_reserve(json, strlen(name) + 3), *at = start;

	if (!at)
		return;
	*at++ = '"';
	for (; *name; name++) {
		if (*name == '_' && name[1])
			*at++ = (uint8_t)toupper((unsigned char)*++name);
		else
			*at++ = (uint8_t)*name;
	}
	*at++ = '"';
	*at++ = ':';
	json->size += (size_t)(at - start);
}

static void put_message(struct json *json, const ProtobufCMessage *message)
{
	char before = '{';
	unsigned i;

	for (i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
		const void *value;
		size_t count = field_values(message, field, &value), j;

		if (!count)
			continue;
		put_byte(json, before);
		before = ',';
		put_key(json, field->name);
		if (repeated)
			put_byte(json, '[');
		for (j = 0; j < count; j++) {
			if (j)
				put_byte(json, ',');
			types[field->type].write(json, (const char *)value + j * types[field->type].bytes);
		}
		if (repeated)
			put_byte(json, ']');
	}
	if (before == '{')
		put_byte(json, '{');
	put_byte(json, '}');
}

int json_write(const ProtobufCMessage *message, struct arena *arena, uint8_t **ret, size_t *ret_size)
{
	struct json json = { 0 };
	uint8_t *bytes = NULL;

	put_message(&json, message);
	if (!json.failed)
		bytes = arena_alloc(arena, json.size, 1);
	if (bytes) {
		*ret = memcpy(bytes, json.bytes, json.size);
		*ret_size = json.size;
	}
	free(json.bytes);
	return bytes ? 0 : -ENOMEM;
}
