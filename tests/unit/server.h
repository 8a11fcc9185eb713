/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server.h - a scripted HTTP server on loopback, for tests of what a collector may do.
 *
 * One thread, one connection at a time, one scripted step per request. It speaks just enough HTTP/1.1 for a POST, knows
 * where one over HTTP/2 ends, and misbehaves when told to. A header with its code, because a test is one file.
 */
#ifndef PROBEMETER_TEST_SERVER_H
#define PROBEMETER_TEST_SERVER_H

#include "unit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum server_act {
	SERVER_ANSWER, /* status, headers, body */
	SERVER_HANG_UP, /* read the request, close without a word */
	SERVER_TEAR, /* promise one byte more than the body has, then close */
	SERVER_STALL, /* read the request, say nothing */
	SERVER_BABBLE, /* the body alone: no HTTP at all */
	SERVER_SAY, /* the body alone, and listen on: for frames of HTTP/2 */
};

struct server_step {
	enum server_act act;
	int status;
	const char *headers; /* each with its \r\n, or NULL */
	const void *body;
	size_t body_size;
};

struct server_request {
	char head[2048];
	uint8_t *body;
	size_t body_size;
	uint64_t time_ms;
};

#define SERVER_REQUESTS 16

struct server {
	const struct server_step *step;
	size_t steps;
	int listener, connection, stop;
	char url[64];
	pthread_t thread;
	bool running;
	char input[1 << 20]; /* of the connection, so far */
	size_t input_size;
	struct server_request request[SERVER_REQUESTS];
	size_t requests, connections;
};

static uint64_t server_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void server_hang_up(struct server *server)
{
	if (server->connection >= 0)
		(void)close(server->connection);
	server->connection = -1;
	server->input_size = 0;
}

static bool server_put(struct server *server, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t sent = send(server->connection, at, size, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		at += sent;
		size -= (size_t)sent;
	}
	return true;
}

static void server_act(struct server *server, const struct server_step *step)
{
	char head[1024];

	if (step->act == SERVER_STALL)
		return;
	if (step->act == SERVER_ANSWER || step->act == SERVER_TEAR) {
		(void)snprintf(head, sizeof(head), "HTTP/1.1 %d Scripted\r\nContent-Length: %zu\r\n%s\r\n", step->status,
			       step->body_size + (step->act == SERVER_TEAR), step->headers ? step->headers : "");
		if (!server_put(server, head, strlen(head)))
			server_hang_up(server);
	}
	if (server->connection >= 0 && step->body_size && !server_put(server, step->body, step->body_size))
		server_hang_up(server);
	if (step->act != SERVER_ANSWER && step->act != SERVER_SAY)
		server_hang_up(server);
}

#define SERVER_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static bool server_is_http2(const struct server *server)
{
	return server->input_size >= 4 && !memcmp(server->input, SERVER_PREFACE, 4);
}

/* Has the DATA frame come that ends the stream? */
static bool server_http2_whole(const struct server *server)
{
	const uint8_t *frame = (const uint8_t *)server->input + strlen(SERVER_PREFACE);
	const uint8_t *end = (const uint8_t *)server->input + server->input_size;

	while (frame + 9 <= end) {
		const uint8_t *next = frame + 9 + ((size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2]);

		if (next <= end && frame[3] == 0 && frame[4] & 1)
			return true;
		frame = next;
	}
	return false;
}

/* If a whole request is there, note it and answer it. */
static void server_take(struct server *server)
{
	static const struct server_step fine = { .act = SERVER_ANSWER, .status = 200 };
	struct server_request *request = &server->request[server->requests];
	const char *end = memmem(server->input, server->input_size, "\r\n\r\n", 4), *length;
	size_t head, body;

	if (!end || server->requests == SERVER_REQUESTS)
		return;
	head = (size_t)(end - server->input) + 4;
	(void)snprintf(request->head, sizeof(request->head), "%.*s", (int)head, server->input);
	length = strcasestr(request->head, "\r\nContent-Length: ");
	body = length ? strtoul(length + strlen("\r\nContent-Length: "), NULL, 10) : 0;
	if (server_is_http2(server)) {
		if (!server_http2_whole(server))
			return;
		body = server->input_size - head;
	}
	if (server->input_size < head + body)
		return;
	request->body = malloc(body + 1);
	memcpy(request->body, server->input + head, body);
	request->body_size = body;
	request->time_ms = server_now_ms();
	server->input_size -= head + body;
	memmove(server->input, server->input + head + body, server->input_size);
	server_act(server, server->requests < server->steps ? &server->step[server->requests] : &fine);
	(void)__atomic_fetch_add(&server->requests, 1, __ATOMIC_RELEASE);
}

static void *server_run(void *context)
{
	struct server *server = context;

	for (;;) {
		struct pollfd watch[] = {
			{ .fd = server->stop, .events = POLLIN },
			{ .fd = server->listener, .events = POLLIN },
			{ .fd = server->connection, .events = POLLIN },
		};
		ssize_t bytes;

		if (poll(watch, 3, -1) < 0 || watch[0].revents)
			return NULL;
		if (watch[1].revents) {
			server_hang_up(server);
			server->connection = accept(server->listener, NULL, NULL);
			server->connections++;
			continue;
		}
		bytes = recv(server->connection, server->input + server->input_size,
			     sizeof(server->input) - server->input_size, 0);
		if (bytes <= 0) {
			server_hang_up(server);
			continue;
		}
		server->input_size += (size_t)bytes;
		server_take(server);
	}
}

/* Answers request i by @step[i]; behind the last step every request gets 200. */
static struct server *server_start(const struct server_step *step, size_t steps)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(address);
	struct server *server = calloc(1, sizeof(*server));

	assert_non_null(server);
	server->step = step;
	server->steps = steps;
	server->connection = -1;
	server->stop = eventfd(0, EFD_CLOEXEC);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->listener, 8), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
	(void)snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
	assert_int_equal(pthread_create(&server->thread, NULL, server_run, server), 0);
	server->running = true;
	return server;
}

/* "http://127.0.0.1:PORT" */
static const char *server_url(const struct server *server)
{
	return server->url;
}

/* End the thread; what it saw may be read from then on. */
static void server_stop(struct server *server)
{
	uint64_t one = 1;

	if (!server->running)
		return;
	assert_int_equal(write(server->stop, &one, sizeof(one)), sizeof(one));
	(void)pthread_join(server->thread, NULL);
	server->running = false;
}

static size_t server_connections(const struct server *server)
{
	return server->connections;
}

static size_t server_requests(const struct server *server)
{
	return __atomic_load_n(&server->requests, __ATOMIC_ACQUIRE);
}

static const struct server_request *server_request(const struct server *server, size_t index)
{
	assert_true(index < server->requests);
	return &server->request[index];
}

static void server_free(struct server *server)
{
	if (!server)
		return;
	server_stop(server);
	server_hang_up(server);
	(void)close(server->listener);
	(void)close(server->stop);
	for (size_t i = 0; i < server->requests; i++)
		free(server->request[i].body);
	free(server);
}

#endif
