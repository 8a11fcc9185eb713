/* SPDX-License-Identifier: BSD-2-Clause */
/* pairs.h - "key=value,key2=value2" with percent-encoding, as OpenTelemetry's environment variables have it. */
#ifndef PROBEMETER_PAIRS_H
#define PROBEMETER_PAIRS_H

#include <stddef.h>

#include "points.h"

struct arena;

/**
 * pairs_parse - the pairs of one variable, in their order
 * @text:  the variable's value; keys and values are percent-decoded, blanks around both dropped. A key that comes
 *         twice keeps its first place and its last value. Empty members ("a=1,,b=2") are skipped.
 * @arena: owns the result
 *
 * Return: 0; -EINVAL for a member without '=', an empty key, a broken or zero percent sequence, or more than 256
 * members; -EILSEQ if something decodes to invalid UTF-8; -ENOMEM. On failure nothing of the variable may be used.
 * Source: OpenTelemetry resource SDK, "Specifying resource information via an environment variable".
 */
int pairs_parse(const char *text, struct arena *arena, struct attribute **ret, size_t *ret_count);

/* The value of @key, or NULL. */
const char *pairs_find(const struct attribute *pair, size_t count, const char *key);

#endif
