/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ship.c - get one request to the collector, as the OTLP specification wants it.
 *
 * Consumes encoded bytes and a budget; produces a verdict: delivered, partly rejected, or why not. It compresses,
 * tries again where that is allowed, and reads what the collector answers. HTTP itself is http.c's; logging, and what
 * a failure means for the next export, is the caller's.
 */
#include "ship.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <zlib.h>

#include "http.h"
#include "options.h"
#include "otlp.pb-c.h"
#include "utf8.h"

#define SHIP_REQUEST_MAX ((size_t)64 << 20)
/* A receiver that dies of what we send looks like a lost connection: do not kill it more often than this. */
#define SHIP_ATTEMPTS 5
#define SHIP_BACKOFF_MS 500 /* doubles from try to try */
#define SHIP_BACKOFF_MAX_MS 16000
#define SHIP_GZIP 16 /* zlib's way to say: gzip's header, not zlib's */

struct ship {
	struct http *http;
	unsigned timeout_ms;
	bool gzip;
};

/* What a status means, and the remedy. */
static const struct ship_status {
	long status;
	bool retryable;
	const char *remedy;
} ship_statuses[] = {
	{ .status = 401, .remedy = "OTEL_EXPORTER_OTLP_HEADERS can carry credentials" },
	{ .status = 403, .remedy = "OTEL_EXPORTER_OTLP_HEADERS can carry credentials" },
	{ .status = 404, .remedy = "check OTEL_EXPORTER_OTLP_ENDPOINT, to which /v1/metrics is added" },
	{ .status = 405, .remedy = "is this an OTLP/HTTP endpoint?" },
	{ .status = 415, .remedy = "is this an OTLP/HTTP endpoint that takes protobuf?" },
	{ .status = 429, .retryable = true },
	{ .status = 502, .retryable = true },
	{ .status = 503, .retryable = true },
	{ .status = 504, .retryable = true },
};

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct ship *ship_new(const struct options *options)
{
	struct ship *ship = calloc(1, sizeof(*ship));

	if (!ship) {
		errno = ENOMEM;
		return NULL;
	}
	ship->timeout_ms = options->timeout_ms;
	ship->gzip = options->compression == COMPRESSION_GZIP;
	ship->http = http_new(options);
	if (!ship->http) {
		int saved = errno;

		ship_free(ship);
		errno = saved;
		return NULL;
	}
	return ship;
}

void ship_free(struct ship *ship)
{
	if (!ship)
		return;
	http_free(ship->http);
	free(ship);
}

static int gzip_pack(const uint8_t *body, size_t size, uint8_t **ret, size_t *ret_size)
{
	z_stream stream = { 0 };
	uint8_t *packed = NULL;
	uLong bound;
	int err = -ENOMEM;

	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + SHIP_GZIP, 8, Z_DEFAULT_STRATEGY))
		return -ENOMEM;
	bound = deflateBound(&stream, size);
	packed = malloc(bound);
	if (!packed)
		goto out;
	stream.next_in = (Bytef *)body;
	stream.avail_in = (uInt)size;
	stream.next_out = packed;
	stream.avail_out = (uInt)bound;
	err = -EIO;
	if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
		goto out;
	*ret = packed;
	*ret_size = stream.total_out;
	packed = NULL;
	err = 0;
out:
	free(packed);
	(void)deflateEnd(&stream);
	return err;
}

/* The caller names the collector in front of it. */
static void __attribute__((format(printf, 2, 3))) say(struct ship_result *result, const char *format, ...)
{
	char text[2 * SHIP_MESSAGE_BYTES];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)utf8_printable(text, strlen(text), result->message, sizeof(result->message));
}

/* A success: what does the collector say about our points? Others than collectors answer 200 as well, to anything. */
static int read_success(const struct http_answer *answer, struct ship_result *result)
{
	Otlp__ExportMetricsServiceResponse *response;
	Otlp__ExportMetricsPartialSuccess *partial;

	if (!strcmp(answer->type, "application/json"))
		return 0;
	response = otlp__export_metrics_service_response__unpack(NULL, answer->size, answer->body);
	if (!response || !strcmp(answer->type, "text/html")) {
		say(result, "answered %ld, but not in OTLP (%s); is this an OTLP/HTTP endpoint?", answer->status,
		    *answer->type ? answer->type : "no content type");
		if (response)
			otlp__export_metrics_service_response__free_unpacked(response, NULL);
		return -EPROTO;
	}
	partial = response->partial_success;
	if (partial && partial->rejected_data_points > 0)
		result->rejected = (uint64_t)partial->rejected_data_points;
	if (partial && (result->rejected || *partial->error_message))
		say(result, "%s", partial->error_message);
	otlp__export_metrics_service_response__free_unpacked(response, NULL);
	return 0;
}

/* The collector's own words in an error: a google.rpc.Status, or text. */
static void read_error(const struct http_answer *answer, const char *remedy, struct ship_result *result)
{
	bool text = !strcmp(answer->type, "text/plain") || !strcmp(answer->type, "application/json");
	Otlp__Status *status = NULL;
	const char *words = "";
	int length = 0;

	if (!strcmp(answer->type, "application/x-protobuf"))
		status = otlp__status__unpack(NULL, answer->size, answer->body);
	if (status) {
		words = status->message;
		length = (int)strnlen(words, SHIP_MESSAGE_BYTES / 2);
	} else if (text && answer->size) {
		words = (const char *)answer->body;
		length = (int)strnlen(words, answer->size < SHIP_MESSAGE_BYTES / 2 ? answer->size :
										     SHIP_MESSAGE_BYTES / 2);
		while (length && (words[length - 1] == '\n' || words[length - 1] == '\r'))
			length--;
	}
	if (*answer->location)
		say(result, "answered %ld: redirects are not followed; it points to %s", answer->status,
		    answer->location);
	else
		say(result, "answered %ld%s%.*s%s%s", answer->status, length ? ": " : "", length, words,
		    remedy ? "; " : "", remedy ? remedy : "");
	if (status)
		otlp__status__free_unpacked(status, NULL);
}

/* From one answer to a verdict. */
static int ship_judge(int err, const struct http_answer *answer, struct ship_result *result)
{
	const char *remedy = NULL;

	result->status = answer->status;
	result->retryable = answer->retryable;
	*result->message = '\0';
	for (size_t i = 0; i < sizeof(ship_statuses) / sizeof(ship_statuses[0]); i++) {
		if (ship_statuses[i].status != answer->status)
			continue;
		result->retryable = ship_statuses[i].retryable;
		remedy = ship_statuses[i].remedy;
	}
	if (err == -EMSGSIZE)
		result->retryable = false;
	if (err) {
		say(result, "%s", answer->problem);
		return err;
	}
	if (answer->status >= 200 && answer->status < 300)
		return read_success(answer, result);
	read_error(answer, remedy, result);
	return -EREMOTEIO;
}

/* Somewhere from half to one and a half of the backoff, so that the agents of a fleet do not come back together; but
 * not before the collector said. */
static uint64_t ship_wait_ms(unsigned attempt, int64_t retry_after_ms)
{
	uint64_t base = (uint64_t)SHIP_BACKOFF_MS << (attempt - 1), random = 0;

	if (base > SHIP_BACKOFF_MAX_MS)
		base = SHIP_BACKOFF_MAX_MS;
	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	base = base / 2 + random % base;
	return retry_after_ms > 0 ? (uint64_t)retry_after_ms + base / 4 : base;
}

/* Return: true when the time is over, false when the agent must end. */
static bool ship_wait(uint64_t wait_ms, int stop_fd)
{
	struct pollfd stop = { .fd = stop_fd, .events = POLLIN };
	uint64_t end = now_ms() + wait_ms;

	for (uint64_t now = now_ms(); now < end; now = now_ms())
		if (poll(&stop, 1, (int)(end - now)) > 0)
			return false;
	return true;
}

static int ship_tries(struct ship *ship, const uint8_t *body, size_t size, const struct ship_limit *limit,
		      struct ship_result *result)
{
	uint64_t deadline = now_ms() + limit->budget_ms;
	struct http_answer answer = { 0 };
	int err = -ETIMEDOUT;

	for (;;) {
		struct http_limit one = { .stop_fd = limit->stop_fd };
		uint64_t now = now_ms(), wait_ms;

		one.timeout_ms = deadline > now ? deadline - now : 1;
		if (ship->timeout_ms && ship->timeout_ms < one.timeout_ms)
			one.timeout_ms = ship->timeout_ms;
		result->attempts++;
		err = http_post(ship->http, body, size, &one, &answer);
		err = ship_judge(err, &answer, result);
		if (!err || !result->retryable || result->attempts == SHIP_ATTEMPTS)
			return err;
		wait_ms = ship_wait_ms(result->attempts, answer.retry_after_ms);
		if (now_ms() + wait_ms >= deadline)
			return err;
		if (!ship_wait(wait_ms, limit->stop_fd))
			return -ECANCELED;
	}
}

int ship_send(struct ship *ship, const uint8_t *body, size_t size, const struct ship_limit *limit,
	      struct ship_result *ret)
{
	uint8_t *packed = NULL;
	int err;

	*ret = (struct ship_result){ 0 };
	if (size > SHIP_REQUEST_MAX) {
		say(ret, "the request of %zu bytes is larger than 64 MiB", size);
		return -EMSGSIZE;
	}
	if (ship->gzip) {
		err = gzip_pack(body, size, &packed, &size);
		if (err)
			return err;
		body = packed;
	}
	ret->wire_bytes = size;
	err = ship_tries(ship, body, size, limit, ret);
	free(packed);
	return err;
}
