/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve.h - what the agent says when it is asked: over HTTP, on a TCP port and on a Unix socket.
 *
 * The server has a thread of its own and knows nothing of metrics. What it is asked for is collected and written by the
 * agent's main thread, once for all who wait, and handed over as finished bytes:
 *
 *     server thread                         main thread
 *     request, connection set aside ──────► serve_fd() readable; serve_take(): what is wanted
 *     answers all who wait  ◄────────────── serve_give(): bytes
 */
#ifndef PROBEMETER_SERVE_H
#define PROBEMETER_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What may be asked of the main thread. */
enum serve_what {
	SERVE_PING, /* is it alive? No bytes */
	SERVE_STOP, /* end the agent. No bytes */
	SERVE_SNAPSHOT, /* JSON, see view.h */
	SERVE_HISTORY, /* the same, with what was before */
	SERVE_TEXT, /* of prometheus.h */
	SERVE_OPENMETRICS,
	SERVE_TEXT_PACKED, /* the same two, packed by gzip */
	SERVE_OPENMETRICS_PACKED,
	SERVE_WHATS,
};

struct serve;

/* NULL if memory or descriptors are short. */
struct serve *serve_new(void);

/* Serve on @fd, from listen.h, which is the server's from now on; before serve_start(). Return: 0 or -errno. */
int serve_add(struct serve *serve, int fd);

/* Start the thread; with nothing added there is none. Return: 0 or -errno. */
int serve_start(struct serve *serve);

/* Readable when something is asked of the main thread. */
int serve_fd(const struct serve *serve);

/* When serve_take() has something to give, CLOCK_MONOTONIC: those who ask too often wait. UINT64_MAX: nothing is asked. */
uint64_t serve_due(struct serve *serve);

/* The bits, 1 << SERVE_*, of what to give; 0 before serve_due(). Reads serve_fd() empty. */
unsigned serve_take(struct serve *serve, uint64_t now_ns);

/**
 * serve_give - answer all who asked for @what before the last serve_take()
 * @bytes: malloc()'s, the server's from now on; NULL: it cannot be had, they are told to try again
 */
void serve_give(struct serve *serve, enum serve_what what, uint8_t *bytes, size_t size);

/* From now on /readyz says yes. */
void serve_set_ready(struct serve *serve);

/* Ends the thread; who still waits is told to try again. */
void serve_free(struct serve *serve);

#endif
