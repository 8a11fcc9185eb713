/* SPDX-License-Identifier: BSD-2-Clause */
/* endpoint.h - what the user wrote as endpoint, taken apart, and the URL that is made of it. */
#ifndef PROBEMETER_ENDPOINT_H
#define PROBEMETER_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

struct arena;

#define ENDPOINT_GRPC_PATH "opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
#define ENDPOINT_HTTP_PATH "v1/metrics"

enum endpoint_kind {
	ENDPOINT_URL, /* http://host or https://host, with port, path and query or without */
	ENDPOINT_TARGET, /* host:port, a name as gRPC has them */
	ENDPOINT_SOCKET, /* unix:/path or unix:///path */
};

/* Points into the text it was made of. */
struct endpoint {
	enum endpoint_kind kind;
	const char *text;
	size_t scheme; /* bytes of "http://" or "https://"; 0 for the others */
	const char *authority; /* behind the scheme: user, host and port */
	const char *path; /* where the authority ends: "/...", "?...", "#..." or ""; of a socket its file */
	unsigned port; /* 0: not given */
};

/* Where requests go. Strings live in the arena. */
struct endpoint_url {
	const char *url; /* may hold a password: do not log it */
	const char *where; /* the same as messages may show it: without user, password and query */
	const char *socket; /* the file to connect to, in place of the URL's host; or NULL */
};

/* Return: 0, or -EINVAL if it is none of the kinds, or its port not one from 1 to 65535. */
int endpoint_parse(const char *text, struct endpoint *ret);

/**
 * endpoint_url - where to POST
 * @path: behind the endpoint's own path; NULL: the endpoint is used as it is
 *
 * Return: 0, -ENOMEM.
 */
int endpoint_url(const struct endpoint *endpoint, const char *path, struct arena *arena, struct endpoint_url *ret);

/* The same for gRPC: the service's path at the authority, over TLS or not. Return: 0, -ENOMEM. */
int endpoint_url_grpc(const struct endpoint *endpoint, bool insecure, struct arena *arena, struct endpoint_url *ret);

#endif
