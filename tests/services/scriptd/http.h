/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http - listens on loopback, reads requests, asks the limiter, and hands them
 * to the handler of their route. One thread per connection, so that handlers
 * may wait.
 */
#ifndef SCRIPTD_HTTP_H
#define SCRIPTD_HTTP_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#include "job.h"
#include "limiter.h"

struct http;
struct json_object;
struct subscriber;

struct http_request {
	struct MHD_Connection *connection;
	char user[JOB_USER_MAX + 1];	/* of "Authorization: Bearer USER", else "anonymous" */
	bool authenticated;
	char id[JOB_ID_MAX + 1];	/* what stands for {id} in the path */
	const char *body;
	size_t body_size;
};

/** Answers a request by one of the http_reply functions, and returns what that returns. */
typedef enum MHD_Result http_handler_fn(void *ctx, const struct http_request *request);

struct http_route {
	const char *method, *pattern;	/* a pattern may have one {id} */
	enum limit_group group;
	http_handler_fn *handler;
};

/** Routes and what their handlers get; all of it outlives the server. */
struct http_config {
	int port;			/* 0: any free one */
	const struct http_route *routes;
	size_t nr_routes;
	void *ctx;
	struct limiter *limiter;
};

/**
 * http_start - listen and serve
 * @port: set to the port
 * @ret:  stop and free with http_stop()
 *
 * Return: 0 or -errno; -EADDRINUSE if the port is taken.
 */
int http_start(const struct http_config *config, int *port, struct http **ret);

/** http_stop - wait for requests under way; streams must have been shut down; NULL is fine */
void http_stop(struct http *http);

/** http_reply_json - takes @body */
enum MHD_Result http_reply_json(const struct http_request *request, unsigned int status, struct json_object *body);

/** http_reply_error - {"error": @why} */
enum MHD_Result http_reply_error(const struct http_request *request, unsigned int status, const char *why);

/** http_reply_stream - server-sent events; takes @subscriber */
enum MHD_Result http_reply_stream(const struct http_request *request, struct subscriber *subscriber);

/** http_argument - of the query string, or NULL */
const char *http_argument(const struct http_request *request, const char *name);

#endif
