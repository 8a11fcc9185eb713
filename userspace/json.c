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
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "writer.h"

/* A number that JSON's own numbers cannot hold everywhere is a string. */
static void put_integer(struct writer *json, uint64_t magnitude, bool negative)
{
	writer_text(json, negative ? "\"-" : "\"");
	writer_unsigned(json, magnitude);
	writer_byte(json, '"');
}

static void put_real(struct writer *json, double value)
{
	if (isfinite(value))
		writer_real(json, value);
	else
		writer_text(json, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static void put_base64(struct writer *json, const uint8_t *data, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i;

	writer_byte(json, '"');
	for (i = 0; i < size; i += 3) {
		size_t have = size - i < 3 ? size - i : 3;
		uint32_t bits = (uint32_t)data[i] << 16 | (have > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
				(have > 2 ? data[i + 2] : 0);
		char four[4] = { digits[bits >> 18], digits[bits >> 12 & 63], have > 1 ? digits[bits >> 6 & 63] : '=',
				 have > 2 ? digits[bits & 63] : '=' };

		writer_put(json, four, sizeof(four));
	}
	writer_byte(json, '"');
}

static void put_message(struct writer *json, const ProtobufCMessage *message);

/* One value of each type, at its place in the message or in the array of a repeated field. */
static void write_int32(struct writer *json, const void *at)
{
	writer_signed(json, *(const int32_t *)at);
}

static void write_uint32(struct writer *json, const void *at)
{
	writer_unsigned(json, *(const uint32_t *)at);
}

static void write_int64(struct writer *json, const void *at)
{
	int64_t value = *(const int64_t *)at;

	put_integer(json, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

static void write_uint64(struct writer *json, const void *at)
{
	put_integer(json, *(const uint64_t *)at, false);
}

static void write_float(struct writer *json, const void *at)
{
	put_real(json, *(const float *)at);
}

static void write_double(struct writer *json, const void *at)
{
	put_real(json, *(const double *)at);
}

static void write_bool(struct writer *json, const void *at)
{
	bool value = *(const protobuf_c_boolean *)at;

	writer_text(json, value ? "true" : "false");
}

static void write_string(struct writer *json, const void *at)
{
	const char *text = *(const char *const *)at;

	writer_json_text(json, text ? text : "");
}

static void write_bytes(struct writer *json, const void *at)
{
	const ProtobufCBinaryData *data = at;

	put_base64(json, data->data, data->len);
}

static void write_message(struct writer *json, const void *at)
{
	put_message(json, *(const ProtobufCMessage *const *)at);
}

static const struct {
	size_t bytes; /* of one value in memory */
	void (*write)(struct writer *json, const void *at);
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
static void put_key(struct writer *json, const char *name)
{
	uint8_t *start = writer_reserve(json, strlen(name) + 3), *at = start;

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

static void put_message(struct writer *json, const ProtobufCMessage *message)
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
		writer_byte(json, before);
		before = ',';
		put_key(json, field->name);
		if (repeated)
			writer_byte(json, '[');
		for (j = 0; j < count; j++) {
			if (j)
				writer_byte(json, ',');
			types[field->type].write(json, (const char *)value + j * types[field->type].bytes);
		}
		if (repeated)
			writer_byte(json, ']');
	}
	if (before == '{')
		writer_byte(json, '{');
	writer_byte(json, '}');
}

int json_write(const ProtobufCMessage *message, struct arena *arena, uint8_t **ret, size_t *ret_size)
{
	struct writer json = { 0 };
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
