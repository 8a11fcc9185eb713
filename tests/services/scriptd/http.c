/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

#define BODY_MAX (256 * 1024)
#define MAX_CONNECTIONS 256
#define IDLE_TIMEOUT_S 30

struct http {
	struct http_config config;
	struct MHD_Daemon *daemon;
};

/* A request's body as it comes in. */
struct upload {
	char *data;
	size_t size;
	bool too_large;
};

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned int status, struct MHD_Response *response,
			     const char *content_type)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static struct MHD_Response *json_response(struct json_object *body)
{
	const char *text = json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN);
	struct MHD_Response *response;

	response = MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
	json_object_put(body);
	return response;
}

enum MHD_Result http_reply_json(const struct http_request *request, unsigned int status, struct json_object *body)
{
	return reply(request->connection, status, json_response(body), "application/json");
}

static struct json_object *error_json(const char *why)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "error", json_object_new_string(why));
	return o;
}

enum MHD_Result http_reply_error(const struct http_request *request, unsigned int status, const char *why)
{
	return http_reply_json(request, status, error_json(why));
}

static enum MHD_Result reply_limited(const struct http_request *request, const struct limit_verdict *verdict)
{
	struct MHD_Response *response = json_response(error_json("too many requests; wait as Retry-After says"));
	char number[16];

	snprintf(number, sizeof(number), "%d", verdict->retry_after_s);
	MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, number);
	snprintf(number, sizeof(number), "%d", verdict->limit);
	MHD_add_response_header(response, "X-RateLimit-Limit", number);
	return reply(request->connection, MHD_HTTP_TOO_MANY_REQUESTS, response, "application/json");
}

static ssize_t stream_chunk(void *ctx, uint64_t pos, char *buf, size_t max)
{
	ssize_t n = stream_read(ctx, buf, max);

	(void)pos;
	return n < 0 ? MHD_CONTENT_READER_END_OF_STREAM : n;
}

static void stream_end(void *ctx)
{
	stream_unsubscribe(ctx);
}

enum MHD_Result http_reply_stream(const struct http_request *request, struct subscriber *subscriber)
{
	struct MHD_Response *response;

	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 8192, stream_chunk, subscriber, stream_end);
	if (!response)
		stream_unsubscribe(subscriber);
	return reply(request->connection, MHD_HTTP_OK, response, "text/event-stream");
}

const char *http_argument(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* Does @path fit @pattern? What stands for {id} goes to @id. */
static bool path_fits(const char *pattern, const char *path, char id[JOB_ID_MAX + 1])
{
	const char *hole = strstr(pattern, "{id}");
	size_t before, len;

	if (!hole)
		return !strcmp(pattern, path);
	before = (size_t)(hole - pattern);
	if (strncmp(pattern, path, before))
		return false;
	len = strcspn(path + before, "/");
	if (len == 0 || len > JOB_ID_MAX || strcmp(hole + 4, path + before + len))
		return false;
	memcpy(id, path + before, len);
	id[len] = '\0';
	return true;
}

/* Return: the route; NULL with @status set to 404 or 405. */
static const struct http_route *route_find(const struct http_config *config, const char *method, const char *path,
					   struct http_request *request, unsigned int *status)
{
	*status = MHD_HTTP_NOT_FOUND;
	for (size_t i = 0; i < config->nr_routes; i++) {
		const struct http_route *route = &config->routes[i];

		if (!path_fits(route->pattern, path, request->id))
			continue;
		if (!strcmp(route->method, method))
			return route;
		*status = MHD_HTTP_METHOD_NOT_ALLOWED;
	}
	return NULL;
}

/* Who asks. A malformed name is as good as none. */
static void identify(struct http_request *request)
{
	static const char scheme[] = "Bearer ";
	const char *value = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
							MHD_HTTP_HEADER_AUTHORIZATION);

	snprintf(request->user, sizeof(request->user), "anonymous");
	if (!value || strncmp(value, scheme, strlen(scheme)) || !job_name_valid(value + strlen(scheme), JOB_USER_MAX))
		return;
	snprintf(request->user, sizeof(request->user), "%s", value + strlen(scheme));
	request->authenticated = true;
}

static bool admit(struct http *http, const struct http_route *route, const struct http_request *request,
		  struct limit_verdict *verdict)
{
	/* Everybody is on this machine, so that all the anonymous share one quota. */
	struct limit_request limit = {
		.group = route->group,
		.endpoint = route->pattern,
		.client = request->user,
		.authenticated = request->authenticated,
	};

	if (route->group == LIMIT_BYPASS) {
		limiter_bypass(route->pattern);
		return true;
	}
	limiter_check(http->config.limiter, &limit, verdict);
	return verdict->allowed;
}

static enum MHD_Result answer(struct http *http, struct MHD_Connection *connection, const char *method,
			      const char *path, const struct upload *upload)
{
	struct http_request request = {
		.connection = connection,
		.body = upload->data ? upload->data : "",
		.body_size = upload->size,
	};
	const struct http_route *route;
	struct limit_verdict verdict;
	unsigned int status;

	route = route_find(&http->config, method, path, &request, &status);
	if (!route)
		return http_reply_error(&request, status, status == MHD_HTTP_NOT_FOUND ?
					"no such path" : "this path does not have that method");
	identify(&request);
	if (!admit(http, route, &request, &verdict))
		return reply_limited(&request, &verdict);
	if (upload->too_large)
		return http_reply_error(&request, MHD_HTTP_CONTENT_TOO_LARGE, "the body exceeds 262144 bytes");
	return route->handler(http->config.ctx, &request);
}

/* What is too large is read and dropped, so that the client gets its answer. */
static void upload_add(struct upload *upload, const char *data, size_t size)
{
	char *grown;

	if (upload->size + size > BODY_MAX)
		upload->too_large = true;
	if (upload->too_large)
		return;
	grown = realloc(upload->data, upload->size + size + 1);
	if (!grown) {
		upload->too_large = true;
		return;
	}
	memcpy(grown + upload->size, data, size);
	upload->data = grown;
	upload->size += size;
	upload->data[upload->size] = '\0';
}

/* Called by the library: once with the headers, once per piece of body, once at its end. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *path, const char *method,
				  const char *version, const char *data, size_t *size, void **state)
{
	struct upload *upload = *state;

	(void)version;
	if (!upload) {
		*state = calloc(1, sizeof(struct upload));
		return *state ? MHD_YES : MHD_NO;
	}
	if (*size) {
		upload_add(upload, data, *size);
		*size = 0;
		return MHD_YES;
	}
	return answer(ctx, connection, method, path, upload);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct upload *upload = *state;

	(void)ctx;
	(void)connection;
	(void)code;
	if (!upload)
		return;
	free(upload->data);
	free(upload);
	*state = NULL;
}

static int listen_on(int *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)*port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);
	int fd, err;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&address, &size)) {
		err = -errno;
		close(fd);
		return err;
	}
	*port = ntohs(address.sin_port);
	return fd;
}

int http_start(const struct http_config *config, int *port, struct http **ret)
{
	struct http *http = calloc(1, sizeof(*http));
	int fd, bound = config->port;

	if (!http)
		return -ENOMEM;
	http->config = *config;
	fd = listen_on(&bound);
	if (fd < 0) {
		free(http);
		return fd;
	}
	http->daemon = MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL,
					on_request, http,
					MHD_OPTION_LISTEN_SOCKET, fd,
					MHD_OPTION_CONNECTION_LIMIT, (unsigned int)MAX_CONNECTIONS,
					MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_TIMEOUT_S,
					MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
					MHD_OPTION_END);
	if (!http->daemon) {
		close(fd);
		free(http);
		return -EIO;
	}
	*port = bound;
	*ret = http;
	return 0;
}

void http_stop(struct http *http)
{
	if (!http)
		return;
	MHD_stop_daemon(http->daemon);
	free(http);
}
