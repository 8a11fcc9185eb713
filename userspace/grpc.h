/* SPDX-License-Identifier: BSD-2-Clause */
/* grpc.h - gRPC's framing and status for one unary call, over whatever carries HTTP/2. */
#ifndef PROBEMETER_GRPC_H
#define PROBEMETER_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GRPC_HEAD_BYTES 5
#define GRPC_MESSAGE_MAX ((size_t)4 << 20) /* of an answer */
#define GRPC_WORDS_BYTES 512

/* Status codes; the numbers are the wire's. */
enum grpc_code {
	GRPC_OK,
	GRPC_CANCELLED,
	GRPC_UNKNOWN,
	GRPC_INVALID_ARGUMENT,
	GRPC_DEADLINE_EXCEEDED,
	GRPC_NOT_FOUND,
	GRPC_ALREADY_EXISTS,
	GRPC_PERMISSION_DENIED,
	GRPC_RESOURCE_EXHAUSTED,
	GRPC_FAILED_PRECONDITION,
	GRPC_ABORTED,
	GRPC_OUT_OF_RANGE,
	GRPC_UNIMPLEMENTED,
	GRPC_INTERNAL,
	GRPC_UNAVAILABLE,
	GRPC_DATA_LOSS,
	GRPC_UNAUTHENTICATED,
	GRPC_CODES,
};

/* What came back. */
struct grpc_answer {
	long http_status;
	const char *type; /* Content-Type without parameters, in lower case */
	const char *fields; /* headers and trailers that begin with grpc-, as "name: value\n"; of equals the last counts */
	const uint8_t *body;
	size_t size;
};

/* What it means. */
struct grpc_status {
	enum grpc_code code;
	bool stated; /* the server said so; else it follows from the HTTP status, or from what is missing */
	bool retryable; /* as OTLP has it */
	int64_t retry_ms; /* RetryInfo's delay; 0: none */
	const uint8_t *message; /* GRPC_OK: the reply, inside of the answer's body */
	size_t size;
	const char *problem; /* the answer is not as gRPC has it, or NULL. Static */
	char words[GRPC_WORDS_BYTES]; /* the server's own, or empty; any bytes but NUL */
};

/* The head that goes before a message of @size bytes, compressed with what grpc-encoding names or not. */
void grpc_head(bool compressed, size_t size, uint8_t ret[GRPC_HEAD_BYTES]);

/**
 * grpc_read - from an answer to its status
 * @ret: always filled
 *
 * Return: 0 delivered, with a whole message; -EREMOTEIO for any other status; -EPROTO for an answer that breaks the
 * protocol, -EMSGSIZE for a message past GRPC_MESSAGE_MAX, both with @ret->problem.
 * Source: gRPC, "PROTOCOL-HTTP2" and "HTTP to gRPC Status Code Mapping"; OTLP specification, "OTLP/gRPC Response".
 */
int grpc_read(const struct grpc_answer *answer, struct grpc_status *ret);

/* The code that HTTP/2's RST_STREAM with @error stands for. Source: gRPC, "PROTOCOL-HTTP2", "Errors". */
enum grpc_code grpc_code_of_reset(int error);

/* Does OTLP try again after this one? RESOURCE_EXHAUSTED: only with RetryInfo, so not here. */
bool grpc_code_retryable(enum grpc_code code);

/* Such as "UNAVAILABLE". */
const char *grpc_code_name(enum grpc_code code);

#endif
