/* SPDX-License-Identifier: BSD-2-Clause */
/* encode.h - points to OTLP's bytes. */
#ifndef PROBEMETER_ENCODE_H
#define PROBEMETER_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "points.h"

struct arena;

/* The scope of the agent's own metrics: the only one whose version is known. */
#define ENCODE_AGENT_SCOPE "probemeter.agent"

enum encode_format { ENCODE_PROTOBUF, ENCODE_JSON };

/**
 * encode_otlp - one ExportMetricsServiceRequest
 * @points: ordered as points.h says; equal resources, scopes and metrics become one message each
 * @format: of the bytes
 * @arena:  owns the bytes, and the tree they are made from
 * @ret, @ret_size: the request; no points give a valid request (@ret not NULL)
 *
 * Pure and linear. Built with PROBEMETER_DEBUG it asserts encode_check() first.
 *
 * Return: 0, -ENOMEM, or -EINVAL if a point's type is unknown.
 * Source: opentelemetry-proto 1.x, metrics.proto; for JSON see json.h.
 */
int encode_otlp(const struct points *points, enum encode_format format, struct arena *arena, uint8_t **ret,
		size_t *ret_size);

/**
 * encode_check - does every point obey the metrics data model?
 * @error: says which metric breaks what rule; may be NULL if @error_size is 0
 *
 * Checked: time not 0, start not 0 (but for gauges) and not after time (of a delta: before it), temporality given,
 * monotonic not negative, counts add up, bounds ascending and finite, at most 160 exponential buckets, sum finite, no value where a series has ended,
 * strings valid UTF-8, names and keys not empty, keys unique, no two points of one metric with the same attributes.
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int encode_check(const struct points *points, char *error, size_t error_size);

#endif
