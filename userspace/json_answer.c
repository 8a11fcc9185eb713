/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_answer.c - a collector's JSON, read with json-c.
 *
 * Consumes the body of an answer, produces the two things it can say: how many points were rejected, and in which
 * words. What that means for the export is ship's.
 */
#include "json_answer.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* @value of either key of @object, or NULL; JSON's null is a field that is not set. */
static json_object *field(json_object *object, const char *camel, const char *snake)
{
	json_object *value;

	if (json_object_object_get_ex(object, camel, &value) || json_object_object_get_ex(object, snake, &value))
		return value;
	return NULL;
}

static int read_count(json_object *value, int64_t *ret)
{
	const char *text;
	char *end;

	switch (json_object_get_type(value)) {
	case json_type_null:
		return 0;
	case json_type_int:
		*ret = json_object_get_int64(value);
		return 0;
	case json_type_double: {
		double real = json_object_get_double(value);

		if (!(real >= -0x1p63 && real < 0x1p63) || real != (double)(int64_t)real)
			return -EPROTO;
		*ret = (int64_t)real;
		return 0;
	}
	case json_type_string:
		text = json_object_get_string(value);
		errno = 0;
		*ret = strtoll(text, &end, 10);
		return end == text || *end || errno ? -EPROTO : 0;
	default:
		return -EPROTO;
	}
}

static int read_words(json_object *value, char *ret, size_t size)
{
	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_string))
		return -EPROTO;
	(void)snprintf(ret, size, "%s", json_object_get_string(value));
	return 0;
}

/* One shape of both: a Status has its message at the top, a response its words inside of partialSuccess. */
static int read_shape(json_object *root, struct json_answer *answer)
{
	json_object *partial;
	int err;

	if (!json_object_is_type(root, json_type_object))
		return -EPROTO;
	err = read_words(field(root, "message", "message"), answer->words, sizeof(answer->words));
	partial = field(root, "partialSuccess", "partial_success");
	if (err || !partial)
		return err;
	if (!json_object_is_type(partial, json_type_object))
		return -EPROTO;
	err = read_count(field(partial, "rejectedDataPoints", "rejected_data_points"), &answer->rejected);
	if (!err)
		err = read_words(field(partial, "errorMessage", "error_message"), answer->words, sizeof(answer->words));
	return err;
}

int json_answer_read(const uint8_t *body, size_t size, struct json_answer *ret)
{
	struct json_answer answer = { 0 };
	json_tokener *tokener = NULL;
	json_object *root = NULL;
	int err = 0;

	if (!size)
		goto out;
	err = -EMSGSIZE;
	if (size > JSON_ANSWER_MAX)
		goto out;
	err = -ENOMEM;
	tokener = json_tokener_new_ex(JSON_ANSWER_DEPTH);
	if (!tokener)
		goto out;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	root = json_tokener_parse_ex(tokener, (const char *)body, (int)size);
	err = -EPROTO;
	/* What ends in the middle "continues". */
	if (json_tokener_get_error(tokener) == json_tokener_success)
		err = read_shape(root, &answer);
out:
	if (!err)
		*ret = answer;
	json_object_put(root);
	if (tokener)
		json_tokener_free(tokener);
	return err;
}
