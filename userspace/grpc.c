/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grpc.c - what gRPC adds to HTTP/2: five bytes before each message, and a status in the trailers.
 *
 * Consumes the bytes and fields of an answer, produces a status and whether OTLP tries again after it. Pure: no I/O, no
 * logging; anything may be in the answer. The connection is http.c's, and waiting is ship.c's.
 */
#include "grpc.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "otlp.pb-c.h"

#define RETRY_INFO "/google.rpc.RetryInfo"
#define DETAILS_MAX 16384
#define RETRY_MAX_S (24 * 3600)

/* By code: its name, and whether it may be better next time. */
static const struct {
	const char *name;
	bool retryable;
} codes[GRPC_CODES] = {
	[GRPC_OK] = { "OK", false },
	[GRPC_CANCELLED] = { "CANCELLED", true },
	[GRPC_UNKNOWN] = { "UNKNOWN", false },
	[GRPC_INVALID_ARGUMENT] = { "INVALID_ARGUMENT", false },
	[GRPC_DEADLINE_EXCEEDED] = { "DEADLINE_EXCEEDED", true },
	[GRPC_NOT_FOUND] = { "NOT_FOUND", false },
	[GRPC_ALREADY_EXISTS] = { "ALREADY_EXISTS", false },
	[GRPC_PERMISSION_DENIED] = { "PERMISSION_DENIED", false },
	[GRPC_RESOURCE_EXHAUSTED] = { "RESOURCE_EXHAUSTED", false },
	[GRPC_FAILED_PRECONDITION] = { "FAILED_PRECONDITION", false },
	[GRPC_ABORTED] = { "ABORTED", true },
	[GRPC_OUT_OF_RANGE] = { "OUT_OF_RANGE", true },
	[GRPC_UNIMPLEMENTED] = { "UNIMPLEMENTED", false },
	[GRPC_INTERNAL] = { "INTERNAL", false },
	[GRPC_UNAVAILABLE] = { "UNAVAILABLE", true },
	[GRPC_DATA_LOSS] = { "DATA_LOSS", true },
	[GRPC_UNAUTHENTICATED] = { "UNAUTHENTICATED", false },
};

/* For answers of something in between that knows only HTTP. All others are UNKNOWN. */
static const struct {
	long http;
	enum grpc_code code;
} from_http[] = {
	{ 400, GRPC_INTERNAL },	   { 401, GRPC_UNAUTHENTICATED }, { 403, GRPC_PERMISSION_DENIED },
	{ 404, GRPC_UNIMPLEMENTED }, { 429, GRPC_UNAVAILABLE },	    { 502, GRPC_UNAVAILABLE },
	{ 503, GRPC_UNAVAILABLE },   { 504, GRPC_UNAVAILABLE },
};

/* By HTTP/2's error code; those not listed are INTERNAL. */
static const enum grpc_code from_reset[] = {
	[7] = GRPC_UNAVAILABLE, /* REFUSED_STREAM: not begun */
	[8] = GRPC_CANCELLED, /* CANCEL */
	[11] = GRPC_RESOURCE_EXHAUSTED, /* ENHANCE_YOUR_CALM */
	[12] = GRPC_PERMISSION_DENIED, /* INADEQUATE_SECURITY */
};

const char *grpc_code_name(enum grpc_code code)
{
	return codes[code].name;
}

bool grpc_code_retryable(enum grpc_code code)
{
	return codes[code].retryable;
}

enum grpc_code grpc_code_of_reset(int error)
{
	if (error < 0 || (size_t)error >= sizeof(from_reset) / sizeof(from_reset[0]) || !from_reset[error])
		return GRPC_INTERNAL;
	return from_reset[error];
}

static enum grpc_code code_of_http(long status)
{
	for (size_t i = 0; i < sizeof(from_http) / sizeof(from_http[0]); i++)
		if (from_http[i].http == status)
			return from_http[i].code;
	return GRPC_UNKNOWN;
}

void grpc_head(bool compressed, size_t size, uint8_t ret[GRPC_HEAD_BYTES])
{
	ret[0] = compressed;
	for (int i = 0; i < 4; i++)
		ret[1 + i] = (uint8_t)(size >> (24 - 8 * i));
}

/* The value of the last field of this name, without the blanks around it. NULL: there is none. */
static const char *field_find(const char *fields, const char *name, size_t *ret_size)
{
	size_t name_size = strlen(name);
	const char *found = NULL;

	for (const char *line = fields, *end; *line; line = *end ? end + 1 : end) {
		const char *value = line + name_size + 1, *last;

		end = line + strcspn(line, "\n");
		if ((size_t)(end - line) <= name_size || line[name_size] != ':' || strncasecmp(line, name, name_size))
			continue;
		while (value < end && (*value == ' ' || *value == '\t'))
			value++;
		for (last = end; last > value && (last[-1] == ' ' || last[-1] == '\t'); last--)
			;
		found = value;
		*ret_size = (size_t)(last - value);
	}
	return found;
}

/* What is no number from 0 to 16 is UNKNOWN, as gRPC has it. */
static enum grpc_code code_parse(const char *text, size_t size)
{
	unsigned code = 0;

	if (!size || size > 2)
		return GRPC_UNKNOWN;
	for (size_t i = 0; i < size; i++) {
		if (!isdigit((unsigned char)text[i]))
			return GRPC_UNKNOWN;
		code = code * 10 + (unsigned)(text[i] - '0');
	}
	return code < GRPC_CODES ? (enum grpc_code)code : GRPC_UNKNOWN;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is wrong in the encoding stays as it is. A NUL ends the words. */
static void percent_decode(const char *text, size_t size, char *out, size_t out_size)
{
	size_t used = 0;

	for (size_t i = 0; i < size && used + 1 < out_size; i++) {
		int high = text[i] == '%' && size - i > 2 ? hex_digit(text[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(text[i + 2]) : -1;

		out[used] = low >= 0 ? (char)(high * 16 + low) : text[i];
		if (!out[used])
			break;
		used++;
		i += low >= 0 ? 2 : 0;
	}
	out[used] = '\0';
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) : -1;
}

/* With padding or without. Return: bytes, or -EINVAL. */
static long base64_decode(const char *text, size_t size, uint8_t *out, size_t out_size)
{
	size_t used = 0, padding = 0, digits;
	uint32_t bits = 0;

	while (padding < 2 && padding < size && text[size - 1 - padding] == '=')
		padding++;
	if (padding && size % 4)
		return -EINVAL;
	size -= padding;
	for (digits = 0; digits < size; digits++) {
		int digit = base64_digit(text[digits]);

		if (digit < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)digit;
		/* The 2nd, 3rd and 4th of each four complete a byte. */
		if (digits % 4 == 0)
			continue;
		if (used == out_size)
			return -EINVAL;
		out[used++] = (uint8_t)(bits >> (6 - 2 * (digits % 4)));
	}
	return digits % 4 == 1 ? -EINVAL : (long)used;
}

/* In milliseconds, rounded up; 0 for what makes no sense. */
static int64_t duration_ms(const Otlp__Duration *duration)
{
	if (!duration || duration->seconds < 0 || duration->nanos < 0 || duration->nanos > 999999999)
		return 0;
	if (duration->seconds >= RETRY_MAX_S)
		return RETRY_MAX_S * INT64_C(1000);
	return duration->seconds * 1000 + (duration->nanos + 999999) / 1000000;
}

/* Return: is there a RetryInfo? A detail that cannot be read is none. */
static bool retry_info(const char *text, size_t size, int64_t *ret_ms)
{
	Otlp__Status *status = NULL;
	uint8_t bytes[DETAILS_MAX];
	bool found = false;
	long used = base64_decode(text, size, bytes, sizeof(bytes));

	if (used >= 0)
		status = otlp__status__unpack(NULL, (size_t)used, bytes);
	for (size_t i = 0; status && !found && i < status->n_details; i++) {
		const Otlp__Any *any = status->details[i];
		size_t length = strlen(any->type_url);
		Otlp__RetryInfo *info;

		if (length < strlen(RETRY_INFO) || strcmp(any->type_url + length - strlen(RETRY_INFO), RETRY_INFO))
			continue;
		info = otlp__retry_info__unpack(NULL, any->value.len, any->value.data);
		found = info;
		if (info)
			*ret_ms = duration_ms(info->retry_delay);
		if (info)
			otlp__retry_info__free_unpacked(info, NULL);
	}
	if (status)
		otlp__status__free_unpacked(status, NULL);
	return found;
}

static int broken(struct grpc_status *status, enum grpc_code code, const char *problem, int err)
{
	status->code = code;
	status->retryable = false;
	status->problem = problem;
	return err;
}

/* Exactly one whole message, as it is. */
static int message_read(const struct grpc_answer *answer, struct grpc_status *status)
{
	const uint8_t *head = answer->body;
	size_t size;

	if (answer->size < GRPC_HEAD_BYTES)
		return broken(status, GRPC_INTERNAL, answer->size ? "the answer's message is cut off" :
								    "the answer has no message", -EPROTO);
	size = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
	if (head[0] > 1)
		return broken(status, GRPC_INTERNAL, "the answer's message does not begin as gRPC has it", -EPROTO);
	if (size > GRPC_MESSAGE_MAX)
		return broken(status, GRPC_RESOURCE_EXHAUSTED, "the answer is larger than 4 MiB", -EMSGSIZE);
	if (size > answer->size - GRPC_HEAD_BYTES)
		return broken(status, GRPC_INTERNAL, "the answer's message is cut off", -EPROTO);
	if (size < answer->size - GRPC_HEAD_BYTES)
		return broken(status, GRPC_INTERNAL, "the answer has more than one message", -EPROTO);
	if (head[0])
		return broken(status, GRPC_INTERNAL, "the answer is compressed, which nobody asked for", -EPROTO);
	status->message = head + GRPC_HEAD_BYTES;
	status->size = size;
	return 0;
}

int grpc_read(const struct grpc_answer *answer, struct grpc_status *ret)
{
	size_t size = 0, words_size = 0, details_size = 0;
	const char *code = field_find(answer->fields, "grpc-status", &size);
	const char *words = field_find(answer->fields, "grpc-message", &words_size);
	const char *details = field_find(answer->fields, "grpc-status-details-bin", &details_size);
	bool grpc = !strncmp(answer->type, "application/grpc", strlen("application/grpc"));

	*ret = (struct grpc_status){ .stated = code };
	if (!code && answer->http_status == 200)
		return broken(ret, GRPC_UNKNOWN, grpc ? "the answer ended without a grpc-status" : "the answer is not gRPC",
			      -EPROTO);
	ret->code = code ? code_parse(code, size) : code_of_http(answer->http_status);
	ret->retryable = codes[ret->code].retryable;
	if (code && words)
		percent_decode(words, words_size, ret->words, sizeof(ret->words));
	if (ret->code == GRPC_OK)
		return message_read(answer, ret);
	if (details && retry_info(details, details_size, &ret->retry_ms) && ret->code == GRPC_RESOURCE_EXHAUSTED)
		ret->retryable = true;
	return -EREMOTEIO;
}
