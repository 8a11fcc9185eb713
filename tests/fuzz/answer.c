/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * answer.c - what comes back from something that may be no collector: HTTP status, fields, trailers, gRPC frames, bodies.
 *
 * Input: protocol and status, the content type's number, Retry-After, then header lines and trailers up to an empty line,
 * then the body. libcurl is left out: its callbacks in http.c are called as libcurl calls them. Promised: a verdict with words
 * that a log can show, a wait of at most a day, and nothing read past the answer's end.
 *
 * reaches: ship_send http_field http_take grpc_read field_find message_read percent_decode base64_decode retry_info
 * reaches: duration_ms json_answer_read read_shape read_count read_success read_error read_response
 */
#define http_post http_post_over_network
#define http_new http_new_over_network
#define http_free http_free_over_network
#include "../../userspace/http.c"
#undef http_post
#undef http_new
#undef http_free

#include <sys/mman.h>

#include "fuzz.h"
#include "ship.h"

#define BODY_MAX 16384

int http_post(struct http *http, const uint8_t *body, size_t size, const struct http_limit *limit, struct http_answer *ret);
struct http *http_new(const struct options *options);
void http_free(struct http *http);

static const char *const types[] = { "application/grpc", "application/json", "application/x-protobuf", "text/plain",
				     "text/html", "", "application/grpc+proto", "application/octet-stream" };
static const long statuses[] = { 200, 0, 202, 301, 308, 400, 401, 404, 413, 429, 500, 502, 503, 504, 100, 999 };

static struct input answer;
static uint8_t status, type;
static int64_t retry_after_ms;

struct http *http_new(const struct options *options)
{
	struct http *http = calloc(1, sizeof(*http));

	REQUIRE(http);
	http->grpc = options->protocol == PROTOCOL_GRPC;
	return http;
}

void http_free(struct http *http)
{
	if (http)
		free(http->body);
	free(http);
}

static void fields_give(struct http *http, struct input *input)
{
	while (input->size && *input->at != '\n') {
		const uint8_t *end = memchr(input->at, '\n', input->size);
		size_t length = end ? (size_t)(end - input->at) + 1 : input->size;
		char *line = malloc(length);

		/* Without a NUL behind it, as libcurl has it. */
		REQUIRE(line);
		memcpy(line, input->at, length);
		REQUIRE(http_field(line, 1, length, http) == length);
		free(line);
		input->at += length;
		input->size -= length;
	}
	if (input->size)
		(void)take(input, 1);
}

/* A copy that ends where memory does, so that a look past its end is seen in libraries too, which have no sanitizer. */
static uint8_t *body_guard(const uint8_t *body, size_t size)
{
	static uint8_t *room;

	if (!room) {
		room = mmap(NULL, 2 * BODY_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		REQUIRE(room != MAP_FAILED && !mprotect(room + BODY_MAX, BODY_MAX, PROT_NONE));
	}
	REQUIRE(size <= BODY_MAX);
	return size ? memcpy(room + BODY_MAX - size, body, size) : NULL;
}

int http_post(struct http *http, const uint8_t *body, size_t size, const struct http_limit *limit, struct http_answer *ret)
{
	struct input input = answer;

	(void)body;
	(void)size;
	(void)limit;
	*ret = (struct http_answer){ .reset = -1, .status = statuses[status % COUNT(statuses)], .sent = true,
				     .retry_after_ms = retry_after_ms };
	(void)snprintf(ret->type, sizeof(ret->type), "%s", types[type % COUNT(types)]);
	if (ret->status == 301 || ret->status == 308)
		(void)snprintf(ret->location, sizeof(ret->location), "%.*s", (int)(input.size < 200 ? input.size : 200),
			       input.size ? (const char *)input.at : "");
	fields_give(http, &input);
	while (input.size) {
		size_t piece = input.size < 64 ? input.size : 64;

		REQUIRE(http_take((char *)input.at, 1, piece, http) == piece);
		input.at += piece;
		input.size -= piece;
	}
	REQUIRE(!memchr(http->fields, '\0', http->fields_size) && strlen(http->fields) == http->fields_size);
	ret->fields = http->fields;
	ret->body = body_guard(http->body, http->size);
	ret->size = http->size;
	if (ret->status)
		return 0;
	ret->retryable = status & 0x40;
	ret->reset = status & 0x20 ? type : -1;
	(void)snprintf(ret->problem, sizeof(ret->problem), "no answer");
	return -ECONNRESET;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned protocols[] = { PROTOCOL_GRPC, PROTOCOL_GRPC, PROTOCOL_HTTP_JSON, PROTOCOL_HTTP_PROTOBUF };
	struct input input = { data, size };
	const struct options options = { .protocol = protocols[take(&input, 1) % COUNT(protocols)], .url = "http://localhost" };
	const struct ship_limit limit = { .budget_ms = 1, .stop_fd = -1, .last = true };
	struct ship_result result;
	struct ship *ship;
	int err;

	status = (uint8_t)take(&input, 1);
	type = (uint8_t)take(&input, 1);
	retry_after_ms = (int64_t)take(&input, 5);
	answer = input;
	ship = ship_new(&options);
	REQUIRE(ship);
	err = ship_send(ship, (const uint8_t *)"", 0, &limit, &result);
	REQUIRE(err <= 0 && text_safe(result.message, ""));
	REQUIRE(!err || *result.message);
	REQUIRE(result.attempts == 1 && !result.retries);
	REQUIRE(err || !result.retryable);
	ship_free(ship);
	return 0;
}
