/* SPDX-License-Identifier: BSD-2-Clause */
/* test_ship.c - what is sent, what is tried again and when, and what is said about it. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "options.h"
#include "ship.h"
#include "server.h"

static const uint8_t body[] = "\x0a\x00 not decoded by anyone here";

/* ExportMetricsServiceResponse { partial_success { rejected_data_points: 3 error_message: "too\nold" } } */
static const char partial[] = "\x0a\x0b\x08\x03\x12\x07too\nold";
/* The same with 0 rejected: a warning. */
static const char warning[] = "\x0a\x08\x12\x06gently";
/* google.rpc.Status { code: 3 message: "bad bounds" } */
static const char status[] = "\x08\x03\x12\x0a" "bad bounds";

#define PROTOBUF "Content-Type: application/x-protobuf\r\n"
#define JSON "Content-Type: application/json; charset=utf-8\r\n"
#define ANSWER(status_, headers_, text) \
	{ .act = SERVER_ANSWER, .status = status_, .headers = headers_, .body = text, .body_size = sizeof(text) - 1 }

static struct attribute extra[] = {
	{ .key = "authorization", .value = "Bearer x" },
	{ .key = "X-Empty", .value = "" },
	{ .key = "content-type", .value = "text/evil" },
};

/* One export against a script. */
struct trial {
	struct options options;
	struct ship_limit limit;
	struct ship_result result;
	struct server *server;
	struct ship *ship;
	char url[128];
	uint64_t took_ms;
	int err;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void trial_start(struct trial *trial, const struct server_step *step, size_t steps)
{
	trial->server = server_start(step, steps);
	(void)snprintf(trial->url, sizeof(trial->url), "%s/v1/metrics", server_url(trial->server));
	trial->options.url = trial->url;
	if (!trial->options.timeout_ms)
		trial->options.timeout_ms = 5000;
	if (!trial->limit.budget_ms)
		trial->limit = (struct ship_limit){ .budget_ms = 10000, .stop_fd = -1 };
	trial->ship = ship_new(&trial->options);
	assert_non_null(trial->ship);
}

static void trial_send(struct trial *trial)
{
	uint64_t begin = now_ms();

	trial->err = ship_send(trial->ship, body, sizeof(body), &trial->limit, &trial->result);
	trial->took_ms = now_ms() - begin;
}

static void trial_run(struct trial *trial, const struct server_step *step, size_t steps)
{
	trial_start(trial, step, steps);
	trial_send(trial);
	server_stop(trial->server);
}

static void trial_end(struct trial *trial)
{
	ship_free(trial->ship);
	server_free(trial->server);
}

/* The request is what OTLP/HTTP asks for, the user's headers are in it, and the second one uses the same connection. */
static void ship_posts_protobuf_and_keeps_the_connection(void **state)
{
	struct trial trial = { .options.headers = { .pair = extra, .count = COUNT(extra) } };
	const struct server_request *request;

	(void)state;
	trial_start(&trial, NULL, 0);
	for (int i = 0; i < 3; i++) {
		trial_send(&trial);
		assert_int_equal(trial.err, 0);
		assert_int_equal(trial.result.status, 200);
		assert_int_equal(trial.result.attempts, 1);
		assert_int_equal(trial.result.wire_bytes, sizeof(body));
		assert_string_equal(trial.result.message, "");
	}
	server_stop(trial.server);
	assert_int_equal(server_connections(trial.server), 1);
	assert_int_equal(server_requests(trial.server), 3);
	request = server_request(trial.server, 2);
	assert_ptr_equal(strstr(request->head, "POST /v1/metrics HTTP/1.1\r\n"), request->head);
	assert_non_null(strstr(request->head, "\r\nContent-Type: application/x-protobuf\r\n"));
	assert_non_null(strstr(request->head, "\r\nUser-Agent: probemeter/"));
	assert_non_null(strstr(request->head, " OTel-OTLP-Exporter-C/"));
	assert_non_null(strstr(request->head, "\r\nauthorization: Bearer x\r\n"));
	assert_non_null(strstr(request->head, "\r\nX-Empty:"));
	assert_null(strstr(request->head, "evil"));
	assert_null(strstr(request->head, "Expect:"));
	assert_null(strstr(request->head, "Content-Encoding"));
	assert_int_equal(request->body_size, sizeof(body));
	assert_memory_equal(request->body, body, sizeof(body));
	trial_end(&trial);
}

/* With gzip the same bytes come out at the other end. */
static void ship_compresses_with_gzip(void **state)
{
	struct trial trial = { .options.compression = COMPRESSION_GZIP };
	const struct server_request *request;
	z_stream stream = { 0 };
	uint8_t out[256];

	(void)state;
	trial_run(&trial, NULL, 0);
	assert_int_equal(trial.err, 0);
	request = server_request(trial.server, 0);
	assert_non_null(strstr(request->head, "\r\nContent-Encoding: gzip\r\n"));
	assert_int_equal(request->body_size, trial.result.wire_bytes);
	assert_int_equal(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
	stream.next_in = request->body;
	stream.avail_in = (uInt)request->body_size;
	stream.next_out = out;
	stream.avail_out = sizeof(out);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.total_out, sizeof(body));
	assert_memory_equal(out, body, sizeof(body));
	(void)inflateEnd(&stream);
	trial_end(&trial);
}

/* Points that the collector rejects are counted, its words kept on one line, and nothing is sent again. */
static void ship_counts_partial_success(void **state)
{
	static const struct server_step steps[] = { ANSWER(200, PROTOBUF, partial), ANSWER(200, PROTOBUF, warning),
						    ANSWER(200, PROTOBUF, "\x0a\x00") };
	struct trial trial = { 0 };

	(void)state;
	trial_start(&trial, steps, COUNT(steps));
	trial_send(&trial);
	assert_int_equal(trial.err, 0);
	assert_int_equal(trial.result.rejected, 3);
	assert_int_equal(trial.result.attempts, 1);
	assert_string_equal(trial.result.message, "too\\nold");
	trial_send(&trial);
	assert_int_equal(trial.err, 0);
	assert_int_equal(trial.result.rejected, 0);
	assert_string_equal(trial.result.message, "gently");
	trial_send(&trial);
	assert_int_equal(trial.err, 0);
	assert_string_equal(trial.result.message, "");
	server_stop(trial.server);
	assert_int_equal(server_requests(trial.server), 3);
	trial_end(&trial);
}

/* The same in JSON, whose numbers may be strings; a 200 whose JSON says something else was not from a collector. */
static void ship_reads_answers_in_json(void **state)
{
	static const struct server_step steps[] = {
		ANSWER(200, JSON, "{\"partialSuccess\":{\"rejectedDataPoints\":\"3\",\"errorMessage\":\"too\\nold\"}}"),
		ANSWER(200, JSON, "{\"partialSuccess\":{\"rejectedDataPoints\":0,\"errorMessage\":\"gently\"}}"),
		ANSWER(200, JSON, "{}"),
		ANSWER(200, JSON, ""),
		ANSWER(200, JSON, "[\"hello\"]"),
		ANSWER(400, JSON, "{\"code\":3,\"message\":\"bad bounds\"}"),
	};
	static const struct {
		int err;
		unsigned rejected;
		const char *message;
	} rows[COUNT(steps)] = {
		{ 0, 3, "too\\nold" },
		{ 0, 0, "gently" },
		{ 0, 0, "" },
		{ 0, 0, "" },
		{ -EPROTO, 0, "answered 200, but not in OTLP (application/json); is this an OTLP/HTTP endpoint?" },
		{ -EREMOTEIO, 0, "answered 400: bad bounds" },
	};
	struct trial trial = { .options.protocol = PROTOCOL_HTTP_JSON };

	(void)state;
	trial_start(&trial, steps, COUNT(steps));
	for (size_t i = 0; i < COUNT(rows); i++) {
		trial_send(&trial);
		assert_int_equal(trial.err, rows[i].err);
		assert_int_equal(trial.result.rejected, rows[i].rejected);
		assert_int_equal(trial.result.attempts, 1);
		assert_string_equal(trial.result.message, rows[i].message);
	}
	assert_non_null(strstr(server_request(trial.server, 0)->head, "Content-Type: application/json\r\n"));
	server_stop(trial.server);
	trial_end(&trial);
}

/* 429, 502, 503 and 504 are tried again, after a wait, and then arrive. */
static void ship_retries_on_retryable_statuses(void **state)
{
	static const int statuses[] = { 429, 502, 503, 504 };

	(void)state;
	for (size_t i = 0; i < COUNT(statuses); i++) {
		const struct server_step steps[] = { { .status = statuses[i] } };
		struct trial trial = { 0 };

		trial_run(&trial, steps, COUNT(steps));
		assert_int_equal(trial.err, 0);
		assert_int_equal(trial.result.attempts, 2);
		assert_int_equal(trial.result.status, 200);
		assert_string_equal(trial.result.message, "");
		assert_true(trial.took_ms >= 250 && trial.took_ms < 2000);
		trial_end(&trial);
	}
}

/* No other status is tried again, 500 and 408 neither; the collector's words and a remedy are in the message. */
static void ship_gives_up_on_other_statuses(void **state)
{
	static const struct {
		struct server_step step;
		const char *message;
	} rows[] = {
		{ ANSWER(400, PROTOBUF, status), "answered 400: bad bounds" },
		{ ANSWER(500, "Content-Type: text/plain; charset=utf-8\r\n", "no\x1b" "disk\n"), "answered 500: no\\x1bdisk" },
		{ ANSWER(408, NULL, ""), "answered 408; its own log may say why" },
		{ ANSWER(401, NULL, ""), "answered 401; OTEL_EXPORTER_OTLP_HEADERS can carry credentials" },
		{ ANSWER(404, "Content-Type: text/html\r\n", "<html>"),
		  "answered 404; check OTEL_EXPORTER_OTLP_ENDPOINT, to which /v1/metrics is added" },
		{ ANSWER(302, "Location: http://127.0.0.1:1/elsewhere\r\n", ""),
		  "answered 302: redirects are not followed; it points to http://127.0.0.1:1/elsewhere" },
		{ ANSWER(400, PROTOBUF, "\xff\xff"), "answered 400; its own log may say why" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct trial trial = { 0 };

		trial_run(&trial, &rows[i].step, 1);
		assert_int_equal(trial.err, -EREMOTEIO);
		assert_false(trial.result.retryable);
		assert_int_equal(trial.result.status, rows[i].step.status);
		assert_string_equal(trial.result.message, rows[i].message);
		assert_int_equal(server_requests(trial.server), 1);
		trial_end(&trial);
	}
}

/* Retry-After is waited for, as seconds and as a date. */
static void ship_honours_retry_after(void **state)
{
	char date[96];
	time_t then = time(NULL) + 3;
	struct tm tm;

	(void)state;
	(void)strftime(date, sizeof(date), "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&then, &tm));
	for (int form = 0; form < 2; form++) {
		const struct server_step steps[] = { { .status = 503,
						       .headers = form ? date : "Retry-After: 1\r\n" } };
		struct trial trial = { 0 };
		uint64_t waited;

		trial_run(&trial, steps, COUNT(steps));
		assert_int_equal(trial.err, 0);
		assert_int_equal(trial.result.attempts, 2);
		waited = server_request(trial.server, 1)->time_ms - server_request(trial.server, 0)->time_ms;
		assert_true(waited >= 1000 && waited < 4000);
		trial_end(&trial);
	}
}

/* A wait that the budget cannot hold is not begun; the failure is known at once. */
static void ship_does_not_wait_past_its_budget(void **state)
{
	static const struct server_step steps[] = { { .status = 503, .headers = "Retry-After: 30\r\n" } };
	struct trial trial = { .limit = { .budget_ms = 2000, .stop_fd = -1 } };

	(void)state;
	trial_run(&trial, steps, COUNT(steps));
	assert_int_equal(trial.err, -EREMOTEIO);
	assert_true(trial.result.retryable);
	assert_int_equal(trial.result.attempts, 1);
	assert_true(trial.took_ms < 1000);
	trial_end(&trial);
}

/* Tries end with the budget, and the waits between them grow. */
static void ship_backs_off_within_its_budget(void **state)
{
	static const struct server_step steps[] = { { .status = 503 }, { .status = 503 }, { .status = 503 },
						    { .status = 503 }, { .status = 503 }, { .status = 503 } };
	struct trial trial = { .limit = { .budget_ms = 2500, .stop_fd = -1 } };

	(void)state;
	trial_run(&trial, steps, COUNT(steps));
	assert_int_equal(trial.err, -EREMOTEIO);
	assert_true(trial.result.attempts >= 2 && trial.result.attempts <= 4);
	assert_true(trial.took_ms <= 2600);
	trial_end(&trial);
}

/* A connection lost before any answer is tried again, but not for ever: the receiver may die of what we send. */
static void ship_retries_lost_connections_a_few_times(void **state)
{
	static const struct server_step once[] = { { .act = SERVER_HANG_UP } };
	static const struct server_step always[] = { { .act = SERVER_HANG_UP }, { .act = SERVER_HANG_UP },
						     { .act = SERVER_HANG_UP }, { .act = SERVER_HANG_UP },
						     { .act = SERVER_HANG_UP }, { .act = SERVER_HANG_UP } };
	struct trial trial = { 0 }, stubborn = { .limit = { .budget_ms = 60000, .stop_fd = -1 } };

	(void)state;
	trial_run(&trial, once, COUNT(once));
	assert_int_equal(trial.err, 0);
	assert_int_equal(trial.result.attempts, 2);
	trial_end(&trial);
	trial_run(&stubborn, always, COUNT(always));
	assert_int_equal(stubborn.err, -ECONNRESET);
	assert_true(stubborn.result.retryable);
	assert_int_equal(stubborn.result.status, 0);
	assert_int_equal(stubborn.result.attempts, 5);
	assert_true(*stubborn.result.message);
	trial_end(&stubborn);
}

/* An answer torn in its body had a status: the collector has the points, so nothing is sent twice. */
static void ship_does_not_repeat_after_a_torn_success(void **state)
{
	static const struct server_step steps[] = { { .act = SERVER_TEAR, .status = 200, .headers = PROTOBUF,
						      .body = partial, .body_size = 4 } };
	struct trial trial = { 0 };

	(void)state;
	trial_run(&trial, steps, COUNT(steps));
	assert_int_equal(trial.err, -ECONNRESET);
	assert_false(trial.result.retryable);
	assert_int_equal(trial.result.status, 200);
	assert_int_equal(server_requests(trial.server), 1);
	trial_end(&trial);
}

/* An answer of 5 MiB is refused, sent plainly or as 5 KiB of gzip; neither is tried again. */
static void ship_refuses_oversized_answers(void **state)
{
	size_t size = (size_t)5 << 20;
	uint8_t *big = calloc(1, size), *packed = malloc(size);
	z_stream stream = { .next_in = big, .avail_in = (uInt)size, .next_out = packed, .avail_out = (uInt)size };

	(void)state;
	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	for (int bomb = 0; bomb < 2; bomb++) {
		const struct server_step steps[] = { {
			.status = 503,
			.headers = bomb ? PROTOBUF "Content-Encoding: gzip\r\n" : PROTOBUF,
			.body = bomb ? packed : big,
			.body_size = bomb ? stream.total_out : size,
		} };
		struct trial trial = { 0 };

		trial_run(&trial, steps, COUNT(steps));
		assert_int_equal(trial.err, -EMSGSIZE);
		assert_false(trial.result.retryable);
		assert_string_equal(trial.result.message, "the answer is larger than 4 MiB");
		assert_int_equal(server_requests(trial.server), 1);
		trial_end(&trial);
	}
	(void)deflateEnd(&stream);
	free(packed);
	free(big);
}

/* Nobody listening is a failure that may be better next time, and says so in words. */
static void ship_reports_a_refused_connection(void **state)
{
	struct trial trial = { .limit = { .budget_ms = 1500, .stop_fd = -1 } };

	(void)state;
	trial_start(&trial, NULL, 0);
	server_free(trial.server);
	trial.server = NULL;
	trial_send(&trial);
	assert_int_equal(trial.err, -ECONNREFUSED);
	assert_true(trial.result.retryable);
	assert_true(trial.result.attempts >= 2);
	assert_true(trial.took_ms <= 1600);
	assert_non_null(strstr(trial.result.message, "127.0.0.1"));
	trial_end(&trial);
}

/* Something that answers, but not as a collector does, is named as such: a web page, and no HTTP at all. */
static void ship_recognises_what_is_not_otlp(void **state)
{
	static const struct server_step steps[] = {
		ANSWER(200, "Content-Type: text/html; charset=utf-8\r\n", ""),
		ANSWER(200, "Content-Type: text/plain\r\n", "OK"),
		{ .act = SERVER_BABBLE, .body = "SSH-2.0-OpenSSH\r\n", .body_size = 17 },
	};
	struct trial trial = { 0 };

	(void)state;
	trial_start(&trial, steps, COUNT(steps));
	trial_send(&trial);
	assert_int_equal(trial.err, -EPROTO);
	assert_string_equal(trial.result.message,
			    "answered 200, but not in OTLP (text/html); is this an OTLP/HTTP endpoint?");
	trial_send(&trial);
	assert_int_equal(trial.err, -EPROTO);
	trial_send(&trial);
	assert_int_equal(trial.err, -EPROTO);
	assert_false(trial.result.retryable);
	assert_int_equal(trial.result.attempts, 1);
	trial_end(&trial);
}

/* A collector that takes the request and says nothing costs the timeout, once: it may have the points. */
static void ship_times_out_on_a_stall(void **state)
{
	static const struct server_step steps[] = { { .act = SERVER_STALL }, { .act = SERVER_STALL } };
	struct trial trial = { .options.timeout_ms = 300 };

	(void)state;
	trial_run(&trial, steps, COUNT(steps));
	assert_int_equal(trial.err, -ETIMEDOUT);
	assert_int_equal(trial.result.attempts, 1);
	assert_true(trial.took_ms >= 290 && trial.took_ms < 1000);
	trial_end(&trial);
}

struct raiser {
	const struct server *server;
	int stop;
	uint64_t raised_ms;
};

/* Once the server has the request, and a moment later. */
static void *raise_later(void *context)
{
	const struct timespec moment = { .tv_nsec = 100000000 };
	struct raiser *raiser = context;
	uint64_t one = 1;

	do
		(void)nanosleep(&moment, NULL);
	while (!server_requests(raiser->server));
	(void)nanosleep(&moment, NULL);
	raiser->raised_ms = now_ms();
	assert_int_equal(write(raiser->stop, &one, sizeof(one)), sizeof(one));
	return NULL;
}

/* The end of the agent cuts a wait short at once, and a request in flight after a second. */
static void ship_stops_when_told(void **state)
{
	static const struct {
		struct server_step step;
		uint64_t least_ms, most_ms; /* from being told */
	} rows[] = {
		{ { .status = 503, .headers = "Retry-After: 20\r\n" }, 0, 900 },
		{ { .act = SERVER_STALL }, 990, 1900 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct raiser raiser = { .stop = eventfd(0, EFD_CLOEXEC) };
		struct trial trial = { .limit = { .budget_ms = 30000, .stop_fd = raiser.stop },
				       .options.timeout_ms = 30000 };
		pthread_t thread;
		uint64_t end;

		trial_start(&trial, &rows[i].step, 1);
		raiser.server = trial.server;
		assert_int_equal(pthread_create(&thread, NULL, raise_later, &raiser), 0);
		trial_send(&trial);
		end = now_ms();
		(void)pthread_join(thread, NULL);
		assert_int_equal(trial.err, -ECANCELED);
		assert_int_equal(trial.result.attempts, 1);
		assert_in_range(end - raiser.raised_ms, rows[i].least_ms, rows[i].most_ms);
		trial_end(&trial);
		(void)close(raiser.stop);
	}
}

/* Told before it began, one request still goes out, and a failure is not tried again. */
static void ship_tries_once_when_already_told(void **state)
{
	static const struct server_step steps[] = { { .status = 503 } };
	struct trial trial = { .limit = { .budget_ms = 30000, .stop_fd = eventfd(1, EFD_CLOEXEC) } };

	(void)state;
	trial_run(&trial, steps, COUNT(steps));
	assert_int_equal(trial.err, -ECANCELED);
	assert_int_equal(trial.result.status, 503);
	assert_int_equal(trial.result.attempts, 1);
	trial_end(&trial);
	(void)close(trial.limit.stop_fd);
}

/* What the collector asked for outlives the export: the next one does not go out, but for the last of all. */
static void ship_remembers_retry_after(void **state)
{
	static const struct server_step steps[] = { { .status = 429, .headers = "Retry-After: 30\r\n" }, { .status = 503 } };
	struct trial trial = { .limit = { .budget_ms = 3000, .stop_fd = -1 } };

	(void)state;
	trial_start(&trial, steps, COUNT(steps));
	trial_send(&trial);
	assert_int_equal(trial.err, -EREMOTEIO);
	for (int i = 0; i < 3; i++) {
		trial_send(&trial);
		assert_int_equal(trial.err, -EAGAIN);
		assert_true(trial.result.retryable);
		assert_false(trial.result.uncertain);
		assert_int_equal(trial.result.attempts, 0);
		assert_true(trial.took_ms < 1000);
		assert_ptr_equal(strstr(trial.result.message, "not sent: the collector asked to be left alone for another "),
				 trial.result.message);
	}
	/* The last one is refused again, this time without a word about when: then it is the usual backoff. */
	trial.limit.last = true;
	trial_send(&trial);
	assert_int_equal(trial.err, 0);
	assert_int_equal(trial.result.attempts, 2);
	trial.limit.last = false;
	trial_send(&trial);
	assert_int_equal(trial.err, 0);
	assert_int_equal(trial.result.attempts, 1);
	server_stop(trial.server);
	assert_int_equal(server_requests(trial.server), 4);
	trial_end(&trial);
}

/* Where the next export's budget holds what is left of the wait, it is waited for. */
static void ship_waits_for_what_an_earlier_export_was_told(void **state)
{
	static const struct server_step steps[] = { { .status = 503, .headers = "Retry-After: 2\r\n" } };
	struct trial trial = { .limit = { .budget_ms = 1000, .stop_fd = -1 } };
	uint64_t waited;

	(void)state;
	trial_start(&trial, steps, COUNT(steps));
	trial_send(&trial);
	assert_int_equal(trial.err, -EREMOTEIO);
	trial.limit.budget_ms = 10000;
	trial_send(&trial);
	assert_int_equal(trial.err, 0);
	server_stop(trial.server);
	waited = server_request(trial.server, 1)->time_ms - server_request(trial.server, 0)->time_ms;
	assert_in_range(waited, 1990, 6000);
	trial_end(&trial);
}

/* Lost answers are marked, also when a later try delivers; what was refused, or never left, is not. */
static void ship_marks_what_may_have_arrived(void **state)
{
	static const struct {
		struct server_step step;
		int err;
		bool uncertain;
	} rows[] = {
		{ { .act = SERVER_HANG_UP }, 0, true },
		{ { .act = SERVER_STALL }, -ETIMEDOUT, true },
		{ { .act = SERVER_TEAR, .status = 200, .headers = PROTOBUF, .body = partial, .body_size = 4 }, -ECONNRESET, true },
		{ { .act = SERVER_TEAR, .status = 503, .body = "x", .body_size = 1 }, 0, false },
		{ { .act = SERVER_TEAR, .status = 400, .body = "x", .body_size = 1 }, -ECONNRESET, false },
		{ { .act = SERVER_BABBLE, .body = "SSH-2.0-OpenSSH\r\n", .body_size = 17 }, -EPROTO, false },
		{ { .status = 503 }, 0, false },
		{ { .status = 400 }, -EREMOTEIO, false },
		{ ANSWER(200, "Content-Type: text/html\r\n", "<html>"), -EPROTO, false },
		{ { .status = 200 }, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct trial trial = { .options.timeout_ms = 700,
				       .limit = { .budget_ms = 5000, .stop_fd = -1, .backoff_ms = 20 } };

		trial_run(&trial, &rows[i].step, 1);
		if (trial.err != rows[i].err || trial.result.uncertain != rows[i].uncertain)
			fail_msg("row %zu: err %d, uncertain %d: %s", i, trial.err, trial.result.uncertain,
				 trial.result.message);
		assert_int_equal(trial.result.retries, trial.result.attempts - 1);
		assert_in_range(trial.result.duration_ms, 0, trial.took_ms);
		assert_true(trial.result.duration_ms + 50 >= trial.took_ms);
		trial_end(&trial);
	}
}

/* The first wait is what the caller says. */
static void ship_backs_off_from_where_it_is_told(void **state)
{
	static const struct server_step steps[] = { { .status = 503 }, { .status = 503 }, { .status = 503 }, { .status = 503 } };
	struct trial trial = { .limit = { .budget_ms = 30000, .stop_fd = -1, .backoff_ms = 4 } };

	(void)state;
	trial_run(&trial, steps, COUNT(steps));
	assert_int_equal(trial.err, 0);
	assert_int_equal(trial.result.attempts, 5);
	/* 60 ms in the mean; 7500 ms by default, and never less than half of that. */
	assert_in_range(trial.took_ms, 28, 2500);
	trial_end(&trial);
}

struct trouble {
	unsigned calls;
	uint64_t time_ms;
	struct ship_result result;
};

static void note_trouble(void *context, const struct ship_result *so_far)
{
	struct trouble *trouble = context;

	trouble->calls++;
	trouble->time_ms = now_ms();
	trouble->result = *so_far;
}

/* The first failed try is told at once, if it is not the last one; the others are not. */
static void ship_tells_of_the_first_failed_try(void **state)
{
	static const struct server_step steps[] = { { .status = 503 }, { .status = 502 } };
	static const struct server_step final = { .status = 400 };
	struct trouble trouble = { 0 }, none = { 0 };
	struct trial trial = { .limit = { .budget_ms = 20000, .stop_fd = -1, .troubled = note_trouble, .context = &trouble } };
	struct trial other = { .limit = { .budget_ms = 20000, .stop_fd = -1, .troubled = note_trouble, .context = &none } };

	(void)state;
	trial_run(&trial, steps, COUNT(steps));
	assert_int_equal(trial.err, 0);
	assert_int_equal(trouble.calls, 1);
	assert_int_equal(trouble.result.status, 503);
	assert_string_equal(trouble.result.message, "answered 503; its own log may say why");
	assert_true(trouble.time_ms < server_request(trial.server, 1)->time_ms);
	trial_end(&trial);
	trial_run(&other, &final, 1);
	assert_int_equal(other.err, -EREMOTEIO);
	trial_send(&other);
	assert_int_equal(none.calls, 0);
	trial_end(&other);
}

/* A success needs no words, whatever they would have been in; a web page and plain text are no collector's. */
static void ship_takes_a_quiet_success(void **state)
{
	static const struct {
		struct server_step step;
		int err;
	} rows[] = {
		{ ANSWER(200, NULL, ""), 0 },
		{ ANSWER(200, "Content-Type: text/plain; charset=utf-8\r\n", ""), 0 },
		{ ANSWER(200, "Content-Type: application/octet-stream\r\n", ""), 0 },
		{ ANSWER(202, PROTOBUF, ""), 0 },
		{ { .status = 204 }, 0 },
		{ ANSWER(200, "Content-Type: application/json\r\n", "{}"), 0 },
		{ ANSWER(200, "Content-Type: text/html\r\n", ""), -EPROTO },
		/* Valid protobuf, by accident. */
		{ ANSWER(200, "Content-Type: text/plain\r\n", "\x0a\x00"), -EPROTO },
		{ ANSWER(200, NULL, "OK"), -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct trial trial = { 0 };

		trial_run(&trial, &rows[i].step, 1);
		if (trial.err != rows[i].err)
			fail_msg("row %zu: err %d: %s", i, trial.err, trial.result.message);
		assert_false(trial.result.retryable);
		trial_end(&trial);
	}
}

/* A certificate that cannot be read is named with its variable, before anything is sent; without TLS nobody looks. */
static void ship_names_certificates_it_cannot_read(void **state)
{
	struct options options = { .url = "https://127.0.0.1:1/", .certificate = "/no/such/ca.pem",
				   .source[OPTION_CERTIFICATE] = "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE" };
	struct ship_limit limit = { .budget_ms = 5000, .stop_fd = -1 };
	struct trial trial = { .options.certificate = "/no/such/ca.pem" };
	struct ship_result result;
	struct ship *ship = ship_new(&options);

	(void)state;
	assert_non_null(ship);
	assert_int_equal(ship_send(ship, body, sizeof(body), &limit, &result), -EIO);
	assert_string_equal(result.message, "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE: '/no/such/ca.pem' cannot be read: No such "
			    "file or directory");
	assert_false(result.retryable);
	assert_false(result.uncertain);
	ship_free(ship);
	trial_run(&trial, NULL, 0);
	assert_int_equal(trial.err, 0);
	trial_end(&trial);
}

/* With a limit on silence a stall costs that much and not the timeout, and nobody is asked again after it. */
static void ship_gives_up_on_silence(void **state)
{
	static const struct server_step steps[] = { { .act = SERVER_STALL } };

	(void)state;
	for (int refused = 0; refused < 2; refused++) {
		struct trial trial = { .limit = { .budget_ms = 20000, .quiet_ms = 400, .stop_fd = -1 },
				       .options.timeout_ms = 20000 };

		trial_start(&trial, steps, COUNT(steps));
		if (refused) {
			server_free(trial.server);
			trial.server = NULL;
		}
		trial_send(&trial);
		assert_int_equal(trial.err, refused ? -ECONNREFUSED : -ETIMEDOUT);
		assert_in_range(trial.result.attempts, 1, 2);
		assert_true(trial.took_ms < 1500);
		assert_true(refused || trial.took_ms >= 390);
		trial_end(&trial);
	}
}

/* HTTP/2 frames for stream 1, field names and values as plain literals. */
#define FRAME(type_, flags, stream, size, payload) "\0\0" size type_ flags "\0\0\0" stream payload
#define SETTINGS FRAME("\4", "\0", "\0", "\0", "") FRAME("\4", "\1", "\0", "\0", "")
#define IS_GRPC "\x88\x0f\x10\x10" "application/grpc"
#define HEADERS SETTINGS FRAME("\1", "\4", "\1", "\x14", IS_GRPC)
#define REPLY FRAME("\0", "\0", "\1", "\7", "\0\0\0\0\2\x0a\0")
#define REPLY_LAST FRAME("\0", "\1", "\1", "\7", "\0\0\0\0\2\x0a\0")
#define TRAILERS FRAME("\1", "\5", "\1", "\x0f", "\0\x0b" "grpc-status" "\1" "0")
#define HEADERS_ONLY(code) SETTINGS FRAME("\1", "\5", "\1", "\x24", IS_GRPC "\0\x0b" "grpc-status" "\2" code)
#define RESET(code) SETTINGS FRAME("\3", "\0", "\1", "\4", "\0\0\0" code)
#define SAY(act_, text) { .act = act_, .body = text, .body_size = sizeof(text) - 1 }
#define DELIVERED SAY(SERVER_SAY, HEADERS REPLY TRAILERS)

/* Over gRPC: what each kind of answer leads to, whole, torn and reset. Behind the first one all is delivered. */
static void ship_judges_grpc(void **state)
{
	static const struct {
		struct server_step step[2];
		int err;
		unsigned attempts;
		bool retryable, uncertain;
		const char *message;
	} rows[] = {
		{ { DELIVERED }, 0, 1, false, false, "" },
		{ { SAY(SERVER_SAY, HEADERS_ONLY("14")), DELIVERED }, 0, 2, false, false, "" },
		{ { SAY(SERVER_SAY, HEADERS_ONLY("13")), DELIVERED }, -EREMOTEIO, 1, false, false, "answered INTERNAL" },
		{ { SAY(SERVER_SAY, HEADERS_ONLY("12")), DELIVERED }, -EREMOTEIO, 1, false, false,
		  "answered UNIMPLEMENTED; does this endpoint take metrics over gRPC? OTEL_EXPORTER_OTLP_PROTOCOL can choose "
		  "another" },
		{ { SAY(SERVER_SAY, HEADERS_ONLY("16")), DELIVERED }, -EREMOTEIO, 1, false, false,
		  "answered UNAUTHENTICATED; OTEL_EXPORTER_OTLP_HEADERS can carry credentials" },
		{ { SAY(SERVER_SAY, HEADERS REPLY_LAST), DELIVERED }, -EPROTO, 1, false, true,
		  "answered 200, but the answer ended without a grpc-status (application/grpc); is this an OTLP/gRPC endpoint?" },
		/* Torn in the trailers, in the reply, before the headers: the connection was lost. */
		{ { SAY(SERVER_BABBLE, HEADERS REPLY "\0\0\x0e\1\5\0\0\0\1\0\x0b" "grpc-st"), DELIVERED }, 0, 2, false, true, "" },
		{ { SAY(SERVER_BABBLE, SETTINGS), DELIVERED }, 0, 2, false, true, "" },
		{ { SAY(SERVER_SAY, RESET("\x08")), DELIVERED }, 0, 2, false, true, "" },
		{ { SAY(SERVER_SAY, RESET("\x02")), DELIVERED }, -ECONNRESET, 1, false, true,
		  "HTTP/2 stream 1 was not closed cleanly: INTERNAL_ERROR (err 2); is this an OTLP/gRPC endpoint? "
		  "OTEL_EXPORTER_OTLP_PROTOCOL can choose http/protobuf" },
		{ { { .act = SERVER_STALL }, DELIVERED }, 0, 2, false, true, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct trial trial = { .options = { .protocol = PROTOCOL_GRPC, .timeout_ms = 1000 },
				       .limit = { .budget_ms = 20000, .stop_fd = -1, .backoff_ms = 20 } };

		trial_run(&trial, rows[i].step, 2);
		if (trial.err != rows[i].err || trial.result.attempts != rows[i].attempts ||
		    trial.result.retryable != rows[i].retryable || trial.result.uncertain != rows[i].uncertain ||
		    strcmp(trial.result.message, rows[i].message))
			fail_msg("row %zu: err %d, attempts %u, retryable %d, uncertain %d: %s", i, trial.err,
				 trial.result.attempts, trial.result.retryable, trial.result.uncertain, trial.result.message);
		trial_end(&trial);
	}
}

/* What cannot be sent is refused before anything is tried. */
static void ship_refuses_what_it_cannot_send(void **state)
{
	struct options options = { 0 };
	struct trial trial = { 0 };

	(void)state;
	assert_null(ship_new(&options));
	assert_int_equal(errno, EINVAL);
	trial_start(&trial, NULL, 0);
	assert_int_equal(ship_send(trial.ship, body, ((size_t)64 << 20) + 1, &trial.limit, &trial.result), -EMSGSIZE);
	assert_int_equal(trial.result.attempts, 0);
	trial_end(&trial);
	ship_free(NULL);
}

int main(void)
{
	/* These wait as long as a real backoff does, so the others run beside them. */
	const struct CMUnitTest waiting[] = {
		cmocka_unit_test(ship_honours_retry_after),
		cmocka_unit_test(ship_remembers_retry_after),
		cmocka_unit_test(ship_waits_for_what_an_earlier_export_was_told),
		cmocka_unit_test(ship_backs_off_within_its_budget),
		cmocka_unit_test(ship_retries_lost_connections_a_few_times),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ship_posts_protobuf_and_keeps_the_connection),
		cmocka_unit_test(ship_compresses_with_gzip),
		cmocka_unit_test(ship_counts_partial_success),
		cmocka_unit_test(ship_reads_answers_in_json),
		cmocka_unit_test(ship_retries_on_retryable_statuses),
		cmocka_unit_test(ship_gives_up_on_other_statuses),
		cmocka_unit_test(ship_does_not_wait_past_its_budget),
		cmocka_unit_test(ship_does_not_repeat_after_a_torn_success),
		cmocka_unit_test(ship_refuses_oversized_answers),
		cmocka_unit_test(ship_reports_a_refused_connection),
		cmocka_unit_test(ship_recognises_what_is_not_otlp),
		cmocka_unit_test(ship_times_out_on_a_stall),
		cmocka_unit_test(ship_stops_when_told),
		cmocka_unit_test(ship_tries_once_when_already_told),
		cmocka_unit_test(ship_marks_what_may_have_arrived),
		cmocka_unit_test(ship_backs_off_from_where_it_is_told),
		cmocka_unit_test(ship_tells_of_the_first_failed_try),
		cmocka_unit_test(ship_takes_a_quiet_success),
		cmocka_unit_test(ship_judges_grpc),
		cmocka_unit_test(ship_names_certificates_it_cannot_read),
		cmocka_unit_test(ship_gives_up_on_silence),
		cmocka_unit_test(ship_refuses_what_it_cannot_send),
	};
	int failed, ended;
	pid_t pid;

	/* A proxy of the user's would stand between us and our own server. */
	(void)setenv("no_proxy", "*", 1);
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid)
		_exit(cmocka_run_group_tests_name("ship, waiting", waiting, NULL, NULL));
	failed = cmocka_run_group_tests_name("ship", tests, NULL, NULL);
	if (waitpid(pid, &ended, 0) != pid || ended)
		failed++;
	return failed;
}
