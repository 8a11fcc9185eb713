/* SPDX-License-Identifier: BSD-2-Clause */
/* ship.h - bytes to a collector, over HTTP or gRPC. */
#ifndef PROBEMETER_SHIP_H
#define PROBEMETER_SHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options;
struct ship;

#define SHIP_MESSAGE_BYTES 512

struct ship_result;

/* How long one export may take, and how it goes about it. */
struct ship_limit {
	uint64_t budget_ms; /* all tries and the waits between them */
	uint64_t answer_ms; /* if more than the budget: an answer to what was sent is waited for so long, as it may be under way */
	uint64_t quiet_ms; /* no try begins later than this, and one ends when nothing has moved for so long; 0: no such limit */
	int stop_fd; /* readable once the agent must end (signalfd, eventfd, pipe); never read here. -1: none */
	unsigned backoff_ms; /* before the second try; it doubles from then on. 0: 500 */
	bool last; /* nothing follows this export: it is sent even while the collector asked to be left alone */
	/* Called once, when the first try has failed and another will follow; @so_far is as after that try. */
	void (*troubled)(void *context, const struct ship_result *so_far);
	void *context;
};

/* What became of one export. */
struct ship_result {
	long status; /* last HTTP status, 0 if no answer came */
	bool retryable; /* it failed in a way that may be better next time */
	bool uncertain; /* a request left whole and its answer was lost: the collector may have the points, and may have
			 * them twice if another try delivered them */
	unsigned attempts;
	unsigned retries; /* attempts after the first */
	uint64_t duration_ms; /* of all tries and the waits between them */
	uint64_t rejected; /* points that the collector said it dropped */
	size_t wire_bytes; /* of the body, as sent, compressed or not */
	char message[SHIP_MESSAGE_BYTES]; /* why it failed, or what the collector said; safe to log */
};

/**
 * ship_new - a sender for the url, headers, timeout, compression and certificates of @options
 * @options: only read here, need not outlive the call
 *
 * Return: NULL with errno: EINVAL without a url, ENOMEM, or EIO if curl will not start.
 */
struct ship *ship_new(const struct options *options);

/**
 * ship_send - send one request and try again where the specification allows it
 * @body, @size: ExportMetricsServiceRequest, not compressed, at most 64 MiB
 * @limit:       budget, stop, and more. When @stop_fd becomes readable a wait ends at once, a request in flight gets
 *               one second more, and nothing is tried again.
 * @ret:         always filled; the caller logs
 *
 * Retried over HTTP: 429, 502, 503, 504, no connection, connection lost without an answer. Over gRPC: CANCELLED,
 * DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS, RESOURCE_EXHAUSTED with RetryInfo, no connection,
 * connection lost. Never after a partial success. When the collector says how long to wait (Retry-After, RetryInfo) it
 * is waited for, also by the exports that follow: one whose budget ends before fails at once, with nothing sent.
 *
 * Return: 0 delivered (also with points rejected, see @ret), -ECANCELED stopped, -EAGAIN not sent, the collector asked
 * to wait; -ETIMEDOUT, -ECONNREFUSED or -ECONNRESET without an answer, -EREMOTEIO for an error status, -EPROTO for an
 * answer that is not OTLP, -EMSGSIZE for a body or an answer past its limit, -EIO for the rest (name not found,
 * certificate refused or not readable), -ENOMEM.
 * Source: OTLP specification 1.x, "OTLP/HTTP" and "OTLP/gRPC".
 */
int ship_send(struct ship *ship, const uint8_t *body, size_t size, const struct ship_limit *limit,
	      struct ship_result *ret);

void ship_free(struct ship *ship);

#endif
