/* SPDX-License-Identifier: BSD-2-Clause */
/* json_answer.h - what a collector answers to OTLP/JSON. */
#ifndef PROBEMETER_JSON_ANSWER_H
#define PROBEMETER_JSON_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#define JSON_ANSWER_MAX ((size_t)256 << 10) /* a number and a sentence: whatever is longer is not read */
#define JSON_ANSWER_DEPTH 16
#define JSON_ANSWER_WORDS 512

struct json_answer {
	int64_t rejected; /* points; 0 where it is not said */
	char words[JSON_ANSWER_WORDS]; /* the collector's own, cut, as they came: make them printable before they are logged */
};

/**
 * json_answer_read - an ExportMetricsServiceResponse, or the google.rpc.Status of an error
 * @body:  @size bytes from the network, trusted in nothing; none at all are an answer that says nothing
 * @ret:   untouched on failure
 *
 * Keys in lowerCamelCase or as the .proto has them, unknown ones skipped; a number may be a string.
 *
 * Return: 0; -EPROTO if it is not JSON, nested deeper than JSON_ANSWER_DEPTH, or not of these shapes; -EMSGSIZE past
 * JSON_ANSWER_MAX; -ENOMEM.
 * Source: metrics_service.proto, "ExportMetricsPartialSuccess"; Protocol Buffers, "ProtoJSON Format".
 */
int json_answer_read(const uint8_t *body, size_t size, struct json_answer *ret);

#endif
