/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pairs.c - "key=value,key2=value2" to attributes.
 *
 * Consumes the text of OTEL_RESOURCE_ATTRIBUTES or OTEL_EXPORTER_OTLP_HEADERS, the agent's own or, read from
 * /proc/PID/environ, a stranger's. Produces decoded pairs, or none: a variable with one error counts as not set.
 * Saying so is left to callers, which know whose variable it was.
 */
#include "pairs.h"

#include <errno.h>
#include <string.h>

#include "arena.h"
#include "utf8.h"

/* A variable is at most some 100 KiB, but a list of thousands of keys is no resource; and looking for a key that
 * comes twice takes quadratic time. */
#define PAIRS_MAX 256

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static int pairs_decode(const char *text, size_t length, struct arena *arena, const char **ret)
{
	size_t used = 0;
	char *out;

	while (length && (*text == ' ' || *text == '\t')) {
		text++;
		length--;
	}
	while (length && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	out = arena_alloc(arena, length + 1, 1);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < length; i++) {
		int high, low;

		if (text[i] != '%') {
			out[used++] = text[i];
			continue;
		}
		if (length - i < 3)
			return -EINVAL;
		high = hex_digit(text[i + 1]);
		low = hex_digit(text[i + 2]);
		if (high < 0 || low < 0 || !(high | low))
			return -EINVAL;
		out[used++] = (char)(high << 4 | low);
		i += 2;
	}
	if (!utf8_valid(out, used))
		return -EILSEQ;
	*ret = out;
	return 0;
}

static struct attribute *pairs_slot(struct attribute *pair, size_t *count, const char *key)
{
	for (size_t i = 0; i < *count; i++)
		if (!strcmp(pair[i].key, key))
			return &pair[i];
	return &pair[(*count)++];
}

int pairs_parse(const char *text, struct arena *arena, struct attribute **ret, size_t *ret_count)
{
	struct attribute *pair, one;
	size_t members = 1, count = 0;
	int err;

	for (const char *c = text; *c; c++)
		members += *c == ',';
	if (members > PAIRS_MAX)
		return -EINVAL;
	pair = arena_array(arena, members, sizeof(*pair));
	if (!pair)
		return -ENOMEM;
	while (*text) {
		size_t length = strcspn(text, ",");
		const char *equals = memchr(text, '=', length);

		if (!equals && strspn(text, " \t") < length)
			return -EINVAL;
		if (equals) {
			err = pairs_decode(text, (size_t)(equals - text), arena, &one.key);
			if (err)
				return err;
			err = pairs_decode(equals + 1, length - (size_t)(equals - text) - 1, arena, &one.value);
			if (err)
				return err;
			if (!*one.key)
				return -EINVAL;
			*pairs_slot(pair, &count, one.key) = one;
		}
		text += length;
		text += *text == ',';
	}
	*ret = pair;
	*ret_count = count;
	return 0;
}

const char *pairs_find(const struct attribute *pair, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(pair[i].key, key))
			return pair[i].value;
	return NULL;
}
