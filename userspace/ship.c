/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ship.c - get one request to the collector, as the OTLP specification wants it.
 *
 * Consumes encoded bytes and a budget; produces a verdict: delivered, partly rejected, or why not. It compresses,
 * tries again where that is allowed, and reads what the collector answers. HTTP itself is http.c's, gRPC's framing and
 * status grpc.c's; logging, and what a failure means for the next export, is the caller's.
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

#include "grpc.h"
#include "gzip.h"
#include "http.h"
#include "json_answer.h"
#include "options.h"
#include "otlp.pb-c.h"
#include "utf8.h"

#define SHIP_REQUEST_MAX ((size_t)64 << 20)
/* A receiver that dies of what we send looks like a lost connection: do not kill it more often than this. */
#define SHIP_ATTEMPTS 5
#define SHIP_BACKOFF_MS 500 /* doubles from try to try */
#define SHIP_ASKED_MAX_MS (INT64_C(24) * 3600 * 1000) /* a collector that asks for more is taken not to mean it */
#define SHIP_BACKOFF_MAX_MS 16000

struct ship {
	struct http *http;
	unsigned timeout_ms;
	bool gzip, grpc;
	uint64_t not_before_ms; /* CLOCK_MONOTONIC: until then the collector asked to be left alone */
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
	{ .status = 413, .remedy = "OTEL_EXPORTER_OTLP_COMPRESSION=gzip makes requests smaller" },
	{ .status = 415, .remedy = "does this endpoint take what OTEL_EXPORTER_OTLP_PROTOCOL says?" },
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
	ship->grpc = options->protocol == PROTOCOL_GRPC;
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

/* The body as it goes out, if that differs from @body; else @ret stays NULL. */
static int ship_pack(const struct ship *ship, const uint8_t *body, size_t size, uint8_t **ret, size_t *ret_size)
{
	size_t head = ship->grpc ? GRPC_HEAD_BYTES : 0;
	int err = 0;

	*ret_size = head + size;
	if (ship->gzip) {
		err = gzip_pack(body, size, Z_DEFAULT_COMPRESSION, head, ret, ret_size);
	} else if (ship->grpc) {
		*ret = malloc(head + size);
		if (!*ret)
			return -ENOMEM;
		memcpy(*ret + head, body, size);
	}
	if (!err && ship->grpc)
		grpc_head(ship->gzip, *ret_size - head, *ret);
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

/* ExportMetricsServiceResponse in JSON: what does the collector say about our points? */
static int read_response_json(const uint8_t *body, size_t size, struct ship_result *result)
{
	struct json_answer said;

	if (json_answer_read(body, size, &said))
		return -EPROTO;
	if (said.rejected > 0)
		result->rejected = (uint64_t)said.rejected;
	if (result->rejected || *said.words)
		say(result, "%s", said.words);
	return 0;
}

/* The same in protobuf. */
static int read_response(const uint8_t *body, size_t size, struct ship_result *result)
{
	Otlp__ExportMetricsServiceResponse *response = otlp__export_metrics_service_response__unpack(NULL, size, body);
	Otlp__ExportMetricsPartialSuccess *partial;

	if (!response)
		return -EPROTO;
	partial = response->partial_success;
	if (partial && partial->rejected_data_points > 0)
		result->rejected = (uint64_t)partial->rejected_data_points;
	if (partial && (result->rejected || *partial->error_message))
		say(result, "%s", partial->error_message);
	otlp__export_metrics_service_response__free_unpacked(response, NULL);
	return 0;
}

/* Others than collectors answer 200 as well, to anything. Nothing at all is a success with nothing to say, but for a
 * web page. */
static int read_success(const struct http_answer *answer, struct ship_result *result)
{
	bool json = !strcmp(answer->type, "application/json"), html = !strcmp(answer->type, "text/html");
	bool text = !strncmp(answer->type, "text/", 5);
	int err = html || (text && answer->size) ? -EPROTO : 0;

	if (!err && answer->size)
		err = (json ? read_response_json : read_response)(answer->body, answer->size, result);
	/* A web page comes from no collector; of anything else that is not understood nobody can tell. */
	result->uncertain = result->uncertain || (err && !html);
	if (err)
		say(result, "answered %ld, but not in OTLP (%s); is this an OTLP/HTTP endpoint?", answer->status,
		    *answer->type ? answer->type : "no content type");
	return err;
}

/* The collector's own words in an error: a google.rpc.Status in either encoding, or text. */
static void read_error(const struct http_answer *answer, const char *remedy, struct ship_result *result)
{
	bool json = !strcmp(answer->type, "application/json"), text = json || !strcmp(answer->type, "text/plain");
	Otlp__Status *status = NULL;
	struct json_answer said;
	const char *words = "";
	int length = 0;

	if (!strcmp(answer->type, "application/x-protobuf"))
		status = otlp__status__unpack(NULL, answer->size, answer->body);
	if (status) {
		words = status->message;
		length = (int)strnlen(words, SHIP_MESSAGE_BYTES / 2);
	} else if (json && !json_answer_read(answer->body, answer->size, &said) && *said.words) {
		words = said.words;
		length = (int)strnlen(words, SHIP_MESSAGE_BYTES / 2);
	} else if (text && answer->size) {
		words = (const char *)answer->body;
		length = (int)strnlen(words, answer->size < SHIP_MESSAGE_BYTES / 2 ? answer->size :
										     SHIP_MESSAGE_BYTES / 2);
		while (length && (words[length - 1] == '\n' || words[length - 1] == '\r'))
			length--;
	}
	if (!remedy && !length)
		remedy = "its own log may say why";
	if (*answer->location)
		say(result, "answered %ld: redirects are not followed; it points to %s", answer->status,
		    answer->location);
	else
		say(result, "answered %ld%s%.*s%s%s", answer->status, length ? ": " : "", length, words,
		    remedy ? "; " : "", remedy ? remedy : "");
	if (status)
		otlp__status__free_unpacked(status, NULL);
}

/* From one answer over HTTP to a verdict. */
static int judge_http(int err, const struct http_answer *answer, struct ship_result *result)
{
	const char *remedy = NULL;

	result->retryable = answer->retryable;
	for (size_t i = 0; i < sizeof(ship_statuses) / sizeof(ship_statuses[0]); i++) {
		if (ship_statuses[i].status != answer->status)
			continue;
		result->retryable = ship_statuses[i].retryable;
		remedy = ship_statuses[i].remedy;
	}
	if (err == -EMSGSIZE)
		result->retryable = false;
	if (err) {
		/* An error is an answer, even if not all of its words came. */
		result->uncertain = result->uncertain || (answer->sent && answer->status < 300 && err != -EPROTO);
		say(result, "%s", answer->problem);
		return err;
	}
	if (answer->status >= 200 && answer->status < 300)
		return read_success(answer, result);
	read_error(answer, remedy, result);
	return -EREMOTEIO;
}

/* What a gRPC code calls for. */
static const char *const grpc_remedies[GRPC_CODES] = {
	[GRPC_PERMISSION_DENIED] = "; OTEL_EXPORTER_OTLP_HEADERS can carry credentials",
	[GRPC_UNAUTHENTICATED] = "; OTEL_EXPORTER_OTLP_HEADERS can carry credentials",
	[GRPC_UNIMPLEMENTED] = "; does this endpoint take metrics over gRPC? OTEL_EXPORTER_OTLP_PROTOCOL can choose another",
};

/* The connection failed before a status was there: gRPC would call it UNAVAILABLE, or what the reset stands for. */
static int judge_grpc_failure(int err, const struct http_answer *answer, struct ship_result *result)
{
	bool lost = err == -ECONNREFUSED || err == -ECONNRESET || err == -ETIMEDOUT;
	enum grpc_code code = grpc_code_of_reset(answer->reset);

	result->retryable = answer->reset >= 0 ? grpc_code_retryable(code) : lost || answer->retryable;
	if (err == -EMSGSIZE)
		result->retryable = false;
	/* A stream that is refused was not looked at. */
	result->uncertain = result->uncertain || (answer->sent && code != GRPC_UNAVAILABLE);
	say(result, "%s", answer->problem);
	return err;
}

/* From one answer over gRPC to a verdict. */
static int judge_grpc(int err, const struct http_answer *answer, struct ship_result *result, int64_t *ret_asked_ms)
{
	const struct grpc_answer in = { .http_status = answer->status, .type = answer->type, .fields = answer->fields,
					.body = answer->body, .size = answer->size };
	struct grpc_status status;
	int verdict = grpc_read(&in, &status);

	/* A status that came counts more than how the connection ended. */
	if (err && (!status.stated || status.code == GRPC_OK))
		return judge_grpc_failure(err, answer, result);
	result->retryable = status.retryable;
	if (status.retry_ms)
		*ret_asked_ms = status.retry_ms;
	if (!verdict)
		verdict = read_response(status.message, status.size, result);
	if (!verdict)
		return 0;
	if (verdict == -EREMOTEIO) {
		say(result, "answered %s%s%s%s", grpc_code_name(status.code), *status.words ? ": " : "", status.words,
		    grpc_remedies[status.code] ? grpc_remedies[status.code] : "");
		return verdict;
	}
	/* It spoke gRPC and did not deny, so that it may well have the points. */
	result->uncertain = result->uncertain || status.stated || !strncmp(answer->type, "application/grpc", 16);
	say(result, "answered %ld, but %s (%s); is this an OTLP/gRPC endpoint?", answer->status,
	    status.problem ? status.problem : "not in OTLP", *answer->type ? answer->type : "no content type");
	return verdict;
}

static int ship_judge(const struct ship *ship, int err, const struct http_answer *answer, struct ship_result *result,
		      int64_t *ret_asked_ms)
{
	result->status = answer->status;
	*result->message = '\0';
	*ret_asked_ms = answer->retry_after_ms;
	err = ship->grpc ? judge_grpc(err, answer, result, ret_asked_ms) : judge_http(err, answer, result);
	if (*ret_asked_ms > SHIP_ASKED_MAX_MS)
		*ret_asked_ms = SHIP_ASKED_MAX_MS;
	if (!err || !result->retryable)
		*ret_asked_ms = 0;
	return err;
}

/* Somewhere from half to one and a half of the backoff, so that the agents of a fleet do not come back together; but
 * not before the collector said. */
static uint64_t ship_wait_ms(unsigned backoff_ms, unsigned attempt, int64_t asked_ms)
{
	uint64_t base = (uint64_t)(backoff_ms ? backoff_ms : SHIP_BACKOFF_MS) << (attempt - 1), random = 0;

	if (base > SHIP_BACKOFF_MAX_MS)
		base = SHIP_BACKOFF_MAX_MS;
	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	base = base / 2 + random % base;
	return asked_ms > 0 ? (uint64_t)asked_ms + base / 4 : base;
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

/* The collector asked an earlier export to wait. Return: 0 when that time is over, -EAGAIN, -ECANCELED. */
static int ship_hold(const struct ship *ship, uint64_t deadline_ms, const struct ship_limit *limit,
		     struct ship_result *result)
{
	uint64_t now = now_ms(), left_ms = ship->not_before_ms > now ? ship->not_before_ms - now : 0;

	if (!left_ms || limit->last)
		return 0;
	result->retryable = true;
	say(result, "not sent: the collector asked to be left alone for another %llu s",
	    (unsigned long long)(left_ms + 999) / 1000);
	if (now + left_ms >= deadline_ms)
		return -EAGAIN;
	return ship_wait(left_ms, limit->stop_fd) ? 0 : -ECANCELED;
}

static int ship_tries(struct ship *ship, const uint8_t *body, size_t size, const struct ship_limit *limit,
		      struct ship_result *result)
{
	uint64_t start = now_ms(), deadline = start + limit->budget_ms;
	uint64_t last_try = limit->quiet_ms && limit->quiet_ms < limit->budget_ms ? start + limit->quiet_ms : deadline;
	uint64_t patience = start + (limit->answer_ms > limit->budget_ms ? limit->answer_ms : limit->budget_ms);
	struct http_answer answer = { 0 };
	int err = ship_hold(ship, deadline, limit, result);

	if (err)
		return err;
	for (;;) {
		struct http_limit one = { .quiet_ms = limit->quiet_ms, .stop_fd = limit->stop_fd };
		uint64_t now = now_ms(), wait_ms;
		int64_t asked_ms;

		one.timeout_ms = patience > now ? patience - now : 1;
		if (ship->timeout_ms && ship->timeout_ms < one.timeout_ms)
			one.timeout_ms = ship->timeout_ms;
		result->retries = result->attempts++;
		err = http_post(ship->http, body, size, &one, &answer);
		err = ship_judge(ship, err, &answer, result, &asked_ms);
		ship->not_before_ms = asked_ms ? now_ms() + (uint64_t)asked_ms : 0;
		if (!err || !result->retryable || result->attempts == SHIP_ATTEMPTS)
			return err;
		wait_ms = ship_wait_ms(limit->backoff_ms, result->attempts, asked_ms);
		if (now_ms() + wait_ms >= last_try)
			return err;
		if (limit->troubled && result->attempts == 1)
			limit->troubled(limit->context, result);
		if (!ship_wait(wait_ms, limit->stop_fd))
			return -ECANCELED;
	}
}

int ship_send(struct ship *ship, const uint8_t *body, size_t size, const struct ship_limit *limit,
	      struct ship_result *ret)
{
	uint64_t begin_ms = now_ms();
	uint8_t *packed = NULL;
	int err;

	*ret = (struct ship_result){ 0 };
	if (size > SHIP_REQUEST_MAX) {
		say(ret, "the request of %zu bytes is larger than 64 MiB", size);
		return -EMSGSIZE;
	}
	err = ship_pack(ship, body, size, &packed, &size);
	if (err)
		return err;
	ret->wire_bytes = size;
	err = ship_tries(ship, packed ? packed : body, size, limit, ret);
	ret->duration_ms = now_ms() - begin_ms;
	free(packed);
	return err;
}
