/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * endpoint.c - from what the user wrote as endpoint to the URL that requests go to.
 *
 * Consumes text, produces its parts and strings in the caller's arena. Pure. Whether an endpoint fits the protocol is
 * for options.c to judge.
 */
#include "endpoint.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "arena.h"

#define PORT_MAX 65535

/* Behind the host stands nothing, or a colon and a port. */
static bool port_parse(const char *text, size_t size, unsigned *ret)
{
	unsigned port = 0;

	*ret = 0;
	if (!size)
		return true;
	if (*text != ':' || size < 2)
		return false;
	for (size_t i = 1; i < size; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		port = port * 10 + (unsigned)(text[i] - '0');
		if (port > PORT_MAX)
			return false;
	}
	*ret = port;
	return port > 0;
}

static bool authority_parse(struct endpoint *endpoint)
{
	const char *host = endpoint->authority, *end = endpoint->path, *host_end;

	for (const char *c = host; c < end; c++)
		if (*c == '@')
			host = c + 1;
	if (*host == '[') {
		host_end = memchr(host, ']', (size_t)(end - host));
		if (!host_end || host_end == host + 1)
			return false;
		host_end++;
	} else {
		host_end = memchr(host, ':', (size_t)(end - host));
		if (!host_end)
			host_end = end;
		if (host_end == host)
			return false;
	}
	return port_parse(host_end, (size_t)(end - host_end), &endpoint->port);
}

int endpoint_parse(const char *text, struct endpoint *ret)
{
	struct endpoint endpoint = { .text = text };

	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return -EINVAL;
	if (!strncmp(text, "unix:", 5)) {
		endpoint.kind = ENDPOINT_SOCKET;
		endpoint.path = text + (!strncmp(text + 5, "///", 3) ? 7 : 5);
		if (endpoint.path[0] != '/' || !endpoint.path[1] || endpoint.path[1] == '/')
			return -EINVAL;
		*ret = endpoint;
		return 0;
	}
	endpoint.scheme = !strncasecmp(text, "http://", 7) ? 7 : !strncasecmp(text, "https://", 8) ? 8 : 0;
	endpoint.kind = endpoint.scheme ? ENDPOINT_URL : ENDPOINT_TARGET;
	endpoint.authority = text + endpoint.scheme;
	endpoint.path = endpoint.authority + strcspn(endpoint.authority, "/?#");
	if (!authority_parse(&endpoint))
		return -EINVAL;
	/* Without a scheme only the port tells a target from a slip of the pen. */
	if (endpoint.kind == ENDPOINT_TARGET && (!endpoint.port || *endpoint.path))
		return -EINVAL;
	*ret = endpoint;
	return 0;
}

/* scheme://host:port/path */
static const char *url_public(struct arena *arena, const char *url)
{
	const char *host = strstr(url, "://") + 3, *scheme_end = host, *end = host + strcspn(host, "/?#");

	for (const char *c = host; c < end; c++)
		if (*c == '@')
			host = c + 1;
	return arena_printf(arena, "%.*s%.*s", (int)(scheme_end - url), url, (int)strcspn(host, "?#"), host);
}

static int socket_url(const struct endpoint *endpoint, const char *path, struct arena *arena, struct endpoint_url *ret)
{
	ret->socket = arena_strdup(arena, endpoint->path);
	ret->url = arena_printf(arena, "http://localhost/%s", path);
	ret->where = arena_strdup(arena, endpoint->text);
	return ret->socket && ret->url && ret->where ? 0 : -ENOMEM;
}

int endpoint_url(const struct endpoint *endpoint, const char *path, struct arena *arena, struct endpoint_url *ret)
{
	size_t base = strcspn(endpoint->text, "?#");

	*ret = (struct endpoint_url){ 0 };
	if (endpoint->kind == ENDPOINT_SOCKET)
		return socket_url(endpoint, ENDPOINT_HTTP_PATH, arena, ret);
	if (!path)
		ret->url = arena_strdup(arena, endpoint->text);
	else
		ret->url = arena_printf(arena, "%.*s%s%s%s", (int)base, endpoint->text,
					endpoint->text[base - 1] == '/' ? "" : "/", path, endpoint->text + base);
	ret->where = ret->url ? url_public(arena, ret->url) : NULL;
	return ret->where ? 0 : -ENOMEM;
}

int endpoint_url_grpc(const struct endpoint *endpoint, bool insecure, struct arena *arena, struct endpoint_url *ret)
{
	const char *scheme = insecure ? "http://" : "https://";
	int scheme_size = (int)strlen(scheme);

	*ret = (struct endpoint_url){ 0 };
	if (endpoint->kind == ENDPOINT_SOCKET)
		return socket_url(endpoint, ENDPOINT_GRPC_PATH, arena, ret);
	if (endpoint->kind == ENDPOINT_URL) {
		scheme = endpoint->text;
		scheme_size = (int)endpoint->scheme;
	}
	ret->url = arena_printf(arena, "%.*s%.*s/" ENDPOINT_GRPC_PATH, scheme_size, scheme,
				(int)(endpoint->path - endpoint->authority), endpoint->authority);
	if (!ret->url)
		return -ENOMEM;
	/* The path is always the same: it would only make messages long. */
	ret->where = url_public(arena, ret->url);
	if (!ret->where)
		return -ENOMEM;
	ret->where = arena_printf(arena, "%.*s", (int)(strlen(ret->where) - strlen("/" ENDPOINT_GRPC_PATH)), ret->where);
	return ret->where ? 0 : -ENOMEM;
}
