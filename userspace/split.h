/* SPDX-License-Identifier: BSD-2-Clause */
/* split.h - points to requests that a collector will take. Pure. */
#ifndef PROBEMETER_SPLIT_H
#define PROBEMETER_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "encode.h"
#include "points.h"

struct arena;

/*
 * Before compression. The specification's own limit is 64 MiB (OTLP 1.11, "OTLP/gRPC Request" and "OTLP/HTTP Request");
 * but a gRPC server that was told nothing else refuses a message of more than 4 MiB after decompression with
 * RESOURCE_EXHAUSTED, for good, and the OpenTelemetry Collector's receiver is such a one (max_recv_msg_size_mib; over
 * HTTP it takes 20 MiB). Smaller requests cost a collector nothing that can be measured.
 */
#define SPLIT_MAX_BYTES ((size_t)4 << 20)

struct request {
	const uint8_t *body;
	size_t size;
	size_t first, count; /* which points it carries */
};

struct requests {
	struct request *request; /* in the points' order */
	size_t count;
	size_t too_large_count; /* points that are past the limit alone, and in no request */
	const struct point *too_large; /* the first of them, or NULL */
};

/**
 * split_points - encode into as few requests as it takes, or a few more
 * @limit: bytes that no request exceeds
 * @format: of the bytes
 * @arena: owns the requests and their bytes
 * @ret:   every point in one request, but for those too large; none without points. Untouched on failure
 *
 * Return: 0, -ENOMEM, or as encode_otlp().
 */
int split_points(const struct points *points, size_t limit, enum encode_format format, struct arena *arena,
		 struct requests *ret);

#endif
