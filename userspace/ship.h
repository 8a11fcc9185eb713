/* SPDX-License-Identifier: BSD-2-Clause */
/* ship.h - bytes to a collector, over HTTP. */
#ifndef PROBEMETER_SHIP_H
#define PROBEMETER_SHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options;
struct ship;

#define SHIP_MESSAGE_BYTES 512

/* How long one export may take. */
struct ship_limit {
	uint64_t budget_ms; /* all tries and the waits between them */
	int stop_fd; /* readable once the agent must end (signalfd, eventfd, pipe); never read here. -1: none */
};

/* What became of one export. */
struct ship_result {
	long status; /* last HTTP status, 0 if no answer came */
	bool retryable; /* it failed in a way that may be better next time */
	unsigned attempts;
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
 * ship_send - POST one request and try again where the specification allows it
 * @body, @size: ExportMetricsServiceRequest, not compressed, at most 64 MiB
 * @limit:       budget and stop. When @stop_fd becomes readable a wait ends at once, a request in flight gets
 *               one second more, and nothing is tried again.
 * @ret:         always filled; the caller logs
 *
 * Retried: 429, 502, 503, 504, no connection, connection lost without an answer. Never after a partial success.
 *
 * Return: 0 delivered (also with points rejected, see @ret), -ECANCELED stopped, -ETIMEDOUT, -ECONNREFUSED or
 * -ECONNRESET without an answer, -EREMOTEIO for an error status, -EPROTO for an answer that is not OTLP, -EMSGSIZE for
 * a body or an answer past its limit, -EIO for the rest (name not found, certificate refused), -ENOMEM.
 * Source: OTLP specification 1.x, "OTLP/HTTP".
 */
int ship_send(struct ship *ship, const uint8_t *body, size_t size, const struct ship_limit *limit,
	      struct ship_result *ret);

void ship_free(struct ship *ship);

#endif
