/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * request.h - bytes that a stranger sends to the agent's socket.
 *
 * serve.c is here whole, and driven by hand in one thread: a client connects, says what it has to say, hears what it is
 * told and hangs up, while the main thread answers whatever is asked. The parsing of HTTP is libmicrohttpd's; what is
 * fuzzed is what we make of it.
 * Promised: an answer has a status that we give; who is not root over the Unix socket commands nothing; and when the client
 * has gone nothing of it is left.
 */
#ifndef PROBEMETER_FUZZ_REQUEST_H
#define PROBEMETER_FUZZ_REQUEST_H

#include "../../userspace/serve.c"

#include <sys/un.h>

#include "fuzz.h"

#define REQUEST_ROUNDS 8 /* in which nothing comes: then nothing will */
#define REQUEST_PAGE 4000

static struct serve *serve;
static struct sockaddr_un serve_address;
static socklen_t serve_length = sizeof(sa_family_t); /* and a name of the kernel's choice */

static void serve_begin(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	serve_address.sun_family = AF_UNIX;
	REQUIRE(fd >= 0 && !bind(fd, (struct sockaddr *)&serve_address, serve_length));
	serve_length = sizeof(serve_address);
	REQUIRE(!getsockname(fd, (struct sockaddr *)&serve_address, &serve_length) && !listen(fd, 8));
	serve = serve_new();
	REQUIRE(serve && !serve_add(serve, fd));
	serve_set_ready(serve);
}

/* As the agent's main loop does. Return: was it told to stop? */
static bool main_thread(void)
{
	unsigned asked;

	serve->next_ns = 0; /* no pause between two collections */
	asked = serve_take(serve, now());
	for (int what = 0; what < SERVE_WHATS; what++) {
		uint8_t *page = types[what] ? malloc(REQUEST_PAGE) : NULL;

		if (page)
			memset(page, 'x', REQUEST_PAGE);
		if (asked & 1u << what)
			serve_give(serve, (enum serve_what)what, page, REQUEST_PAGE);
		else
			free(page);
	}
	return asked & 1u << SERVE_STOP;
}

static void check_status(const char *answer, size_t size)
{
	static const char *const statuses[] = { "200", "400", "403", "404", "405", "411", "413", "414", "421", "431", "500",
						"501", "503", "505" };
	bool known = false;

	REQUIRE(size >= 12 && !memcmp(answer, "HTTP/1.", 7));
	for (size_t i = 0; i < COUNT(statuses); i++)
		known |= !memcmp(answer + 9, statuses[i], 3);
	REQUIRE(known);
}

static void check_request(const uint8_t *data, size_t size, bool is_unix)
{
	char answer[16384];
	size_t answered = 0;
	int fd, silent;

	if (!serve)
		serve_begin();
	serve->side[0].is_unix = is_unix;
	serve->side[0].is_loopback = !is_unix;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	REQUIRE(fd >= 0 && !connect(fd, (struct sockaddr *)&serve_address, serve_length));
	REQUIRE(!size || send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
	for (silent = 0; silent < REQUEST_ROUNDS; silent++) {
		ssize_t got;

		(void)MHD_run(serve->side[0].daemon);
		REQUIRE(!main_thread() || is_unix);
		(void)distribute(serve);
		got = recv(fd, answer, sizeof(answer), 0);
		if (got > 0 && !answered)
			check_status(answer, (size_t)got);
		if (!got || (got < 0 && errno != EAGAIN))
			break;
		if (got > 0) {
			answered += (size_t)got;
			silent = 0;
		}
	}
	(void)close(fd);
	for (int round = 0; round < REQUEST_ROUNDS && (serve->clients || serve->waiting); round++) {
		(void)MHD_run(serve->side[0].daemon);
		(void)main_thread();
		(void)distribute(serve);
	}
	REQUIRE(!serve->clients && !serve->waiting && !serve->held_bytes);
}

#endif
