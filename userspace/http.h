/* SPDX-License-Identifier: BSD-2-Clause */
/* http.h - one POST and its answer. */
#ifndef PROBEMETER_HTTP_H
#define PROBEMETER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options;
struct http;

#define HTTP_ANSWER_MAX ((size_t)4 << 20)
#define HTTP_GRACE_MS 1000 /* for a request in flight, once the agent must end */

struct http_limit {
	uint64_t timeout_ms;
	uint64_t quiet_ms; /* give up when no byte has gone either way for so long; 0: @timeout_ms alone counts */
	int stop_fd; /* -1: none */
};

/* What came back. */
struct http_answer {
	long status; /* 0: nothing that looks like HTTP */
	bool retryable; /* without a status: no connection, or lost before the answer */
	bool sent; /* the whole request had left */
	int reset; /* the code with which an HTTP/2 server gave up the request; -1: it did not */
	int64_t retry_after_ms; /* 0: not said */
	char type[64]; /* Content-Type without its parameters, in lower case */
	char location[256]; /* of a redirect */
	const char *fields; /* headers and trailers that begin with grpc-, as "name: value\n"; as long as @body */
	uint8_t *body; /* decompressed, owned by the http until the next http_post() */
	size_t size;
	char problem[384]; /* after a failure: curl's words, and the remedy */
};

/* A connection to the url of @options, with its headers and certificates. NULL with errno: EINVAL, ENOMEM, EIO. */
struct http *http_new(const struct options *options);

/**
 * http_post - one request, tried once; redirects are not followed
 * @ret: always filled
 *
 * Under protocol grpc this is HTTP/2, and the time limit is told to the server. Files with certificates that have
 * changed since the last request are read again, over a new connection.
 *
 * Return: 0 when a whole answer came, whatever its status; -EMSGSIZE if it is past HTTP_ANSWER_MAX; -ECONNREFUSED,
 * -ECONNRESET, -ETIMEDOUT, -EPROTO (not HTTP), -ECANCELED (stopped, and the grace is over), -EIO, -ENOMEM.
 */
int http_post(struct http *http, const uint8_t *body, size_t size, const struct http_limit *limit,
	      struct http_answer *ret);

void http_free(struct http *http);

#endif
