/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http.c - libcurl, and all that is known about it here.
 *
 * Consumes bytes and a time limit, produces an answer. What an answer means for OTLP, and whether to try again, is
 * ship's. The multi interface is used for one transfer, because it lets poll() watch the descriptor that ends the
 * agent together with curl's own; it keeps the connection open from post to post.
 *
 * gRPC is HTTP/2: by ALPN under TLS, by prior knowledge without. Its status comes in trailers, which curl hands to the
 * header callback like headers. Without TLS each call has a connection of its own: with libcurl 7.88 the second request
 * on a connection fails for good. Through a proxy it is a tunnel, because proxies forward HTTP/1.
 */
#include "http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "certs.h"
#include "options.h"
#include <probemeter/version.h>

#define HTTP_FIELDS_MAX 16384
#define GRPC_TIMEOUT_MAX 99999999 /* 8 digits */

struct http {
	CURL *easy;
	CURLM *multi;
	struct curl_slist *headers;
	bool grpc, tls;
	char *socket; /* NULL: a host and a port */
	struct certs certs;
	char fields[HTTP_FIELDS_MAX];
	size_t fields_size;
	uint8_t *body;
	size_t size;
	bool too_big;
	bool answered; /* once: whatever is there does speak the protocol */
	const uint8_t *post; /* what of the request has not left yet */
	size_t post_size;
	char error[CURL_ERROR_SIZE];
};

#define OTHER_NAME "; OTEL_EXPORTER_OTLP_ENDPOINT must have a name that the certificate is for, or the collector one for this name"
#define ASK_GRPC "; is this an OTLP/gRPC endpoint? OTEL_EXPORTER_OTLP_PROTOCOL can choose http/protobuf"

/* What went wrong on the way to an answer. Whatever is not here is -EIO and not tried again. */
static const struct http_failure {
	CURLcode code;
	int err;
	bool retryable;
	const char *remedy, *grpc_remedy;
} http_failures[] = {
	{ .code = CURLE_COULDNT_RESOLVE_PROXY, .err = -EIO, .retryable = true },
	{ .code = CURLE_COULDNT_RESOLVE_HOST, .err = -EIO, .retryable = true },
	{ .code = CURLE_COULDNT_CONNECT, .err = -ECONNREFUSED, .retryable = true,
	  .remedy = "; does a collector listen there? OTEL_EXPORTER_OTLP_ENDPOINT says where" },
	{ .code = CURLE_SSL_CONNECT_ERROR, .err = -EIO, .retryable = true },
	{ .code = CURLE_GOT_NOTHING, .err = -ECONNRESET, .retryable = true, .grpc_remedy = ASK_GRPC },
	{ .code = CURLE_SEND_ERROR, .err = -ECONNRESET, .retryable = true, .grpc_remedy = ASK_GRPC },
	{ .code = CURLE_SEND_FAIL_REWIND, .err = -ECONNRESET, .retryable = true, .grpc_remedy = ASK_GRPC },
	{ .code = CURLE_RECV_ERROR, .err = -ECONNRESET, .retryable = true, .grpc_remedy = ASK_GRPC },
	{ .code = CURLE_HTTP2, .err = -ECONNRESET, .retryable = true, .grpc_remedy = ASK_GRPC },
	{ .code = CURLE_HTTP2_STREAM, .err = -ECONNRESET, .retryable = true, .grpc_remedy = ASK_GRPC },
	{ .code = CURLE_PARTIAL_FILE, .err = -ECONNRESET },
	{ .code = CURLE_OPERATION_TIMEDOUT, .err = -ETIMEDOUT,
	  .remedy = "; OTEL_EXPORTER_OTLP_TIMEOUT is how long one request may take" },
	/* HTTP/0.9, that is: no status line. */
	{ .code = CURLE_UNSUPPORTED_PROTOCOL, .err = -EPROTO,
	  .remedy = "; is this an OTLP/HTTP endpoint? OTEL_EXPORTER_OTLP_PROTOCOL can choose grpc" },
	{ .code = CURLE_WEIRD_SERVER_REPLY, .err = -EPROTO, .grpc_remedy = ASK_GRPC },
	{ .code = CURLE_PEER_FAILED_VERIFICATION, .err = -EIO,
	  .remedy = "; OTEL_EXPORTER_OTLP_CERTIFICATE can name the authority that signed it" },
	{ .code = CURLE_SSL_CACERT_BADFILE, .err = -EIO },
	{ .code = CURLE_SSL_CERTPROBLEM, .err = -EIO },
	{ .code = CURLE_OUT_OF_MEMORY, .err = -ENOMEM },
};

static size_t http_take(char *data, size_t one, size_t bytes, void *context)
{
	struct http *http = context;
	uint8_t *grown;

	(void)one;
	http->too_big = http->too_big || bytes > HTTP_ANSWER_MAX - http->size;
	if (http->too_big)
		return 0;
	grown = realloc(http->body, http->size + bytes + 1);
	if (!grown)
		return 0;
	memcpy(grown + http->size, data, bytes);
	http->body = grown;
	http->size += bytes;
	return bytes;
}

/* Status lines, headers, trailers: what belongs to gRPC is kept, of the last answer; what does not fit is left out. */
static size_t http_field(char *data, size_t one, size_t bytes, void *context)
{
	static const char prefix[] = "grpc-";
	struct http *http = context;
	size_t length = bytes;

	(void)one;
	if (bytes > 5 && !strncmp(data, "HTTP/", 5))
		http->fields_size = 0;
	while (length && (data[length - 1] == '\r' || data[length - 1] == '\n'))
		length--;
	if (length > strlen(prefix) && !strncasecmp(data, prefix, strlen(prefix)) && !memchr(data, '\n', length) &&
	    !memchr(data, '\0', length) && length + 2 <= sizeof(http->fields) - http->fields_size) {
		memcpy(http->fields + http->fields_size, data, length);
		http->fields[http->fields_size + length] = '\n';
		http->fields_size += length + 1;
	}
	http->fields[http->fields_size] = '\0';
	return bytes;
}

/* The request, once. Handed over as a whole, curl would send it again by itself where a connection that it had kept
 * is lost before an answer: at once, and without a word to ship.c, which waits and counts. */
static size_t http_give(char *data, size_t one, size_t room, void *context)
{
	struct http *http = context;
	size_t bytes = http->post_size < one * room ? http->post_size : one * room;

	memcpy(data, http->post, bytes);
	http->post += bytes;
	http->post_size -= bytes;
	return bytes;
}

static int headers_add(struct http *http, const char *key, const char *value)
{
	size_t bytes = strlen(key) + strlen(value) + sizeof(": ");
	char *line = malloc(bytes);
	struct curl_slist *longer;

	if (!line)
		return -ENOMEM;
	/* curl takes "Name:" for "do not send it", and "Name;" for an empty value. */
	(void)snprintf(line, bytes, *value ? "%s: %s" : "%s;", key, value);
	longer = curl_slist_append(http->headers, line);
	free(line);
	if (!longer)
		return -ENOMEM;
	http->headers = longer;
	return 0;
}

/* The protocol's own headers, each with the header to name the compression. */
static const struct http_protocol {
	const char *type, *encoding;
	struct {
		const char *key, *value;
	} more[2];
} http_protocols[] = {
	[PROTOCOL_HTTP_PROTOBUF] = { .type = "application/x-protobuf", .encoding = "Content-Encoding" },
	[PROTOCOL_HTTP_JSON] = { .type = "application/json", .encoding = "Content-Encoding" },
	[PROTOCOL_GRPC] = { .type = "application/grpc", .encoding = "grpc-encoding",
			    .more = { { "te", "trailers" }, { "grpc-accept-encoding", "identity" } } },
};

/* What a user's header must not say otherwise. */
static bool is_ours(const struct http *http, const char *key)
{
	static const char *const ours[] = { "Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding" };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (!strcasecmp(key, ours[i]))
			return true;
	return http->grpc && (!strcasecmp(key, "te") || !strncasecmp(key, "grpc-", 5));
}

static int http_headers(struct http *http, const struct options *options)
{
	const struct http_protocol *protocol = &http_protocols[options->protocol];
	struct curl_slist *longer;
	int err;

	err = headers_add(http, "Content-Type", protocol->type);
	if (!err && options->compression == COMPRESSION_GZIP)
		err = headers_add(http, protocol->encoding, "gzip");
	for (size_t i = 0; !err && i < 2 && protocol->more[i].key; i++)
		err = headers_add(http, protocol->more[i].key, protocol->more[i].value);
	if (err)
		return err;
	/* No round trip to ask whether a large body is welcome. */
	longer = curl_slist_append(http->headers, "Expect:");
	if (!longer)
		return -ENOMEM;
	http->headers = longer;
	for (size_t i = 0; i < options->headers.count && !err; i++) {
		const struct attribute *pair = &options->headers.pair[i];

		if (!is_ours(http, pair->key))
			err = headers_add(http, pair->key, pair->value);
	}
	return err;
}

/* curl_easy_setopt() is variadic; these two say what goes in, and add up failures. */
static void set_number(struct http *http, CURLoption option, long value, CURLcode *code)
{
	if (!*code)
		*code = curl_easy_setopt(http->easy, option, value);
}

static void set_pointer(struct http *http, CURLoption option, const void *value, CURLcode *code)
{
	if (!*code && value)
		*code = curl_easy_setopt(http->easy, option, value);
}

/* Only what the user named is trusted then, not the host's authorities beside it. */
static void http_setup_tls(struct http *http, CURLcode *code)
{
	const struct certs_file *file = http->certs.file;

	set_number(http, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2, code);
	set_number(http, CURLOPT_SSL_VERIFYPEER, 1, code);
	set_number(http, CURLOPT_SSL_VERIFYHOST, 2, code);
	set_pointer(http, CURLOPT_CAINFO, file[CERTS_AUTHORITY].path, code);
	if (!*code && file[CERTS_AUTHORITY].path)
		*code = curl_easy_setopt(http->easy, CURLOPT_CAPATH, NULL);
	set_pointer(http, CURLOPT_SSLCERT, file[CERTS_CLIENT].path, code);
	set_pointer(http, CURLOPT_SSLKEY, file[CERTS_KEY].path, code);
	/* An encrypted key is an error; without this OpenSSL would ask for its password on the terminal, and wait. */
	set_pointer(http, CURLOPT_KEYPASSWD, "", code);
}

static void http_setup_grpc(struct http *http, CURLcode *code)
{
	set_number(http, CURLOPT_HTTP_VERSION, http->tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
		   code);
	set_number(http, CURLOPT_FORBID_REUSE, !http->tls, code);
	set_number(http, CURLOPT_HTTPPROXYTUNNEL, 1, code);
	set_number(http, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1, code);
	set_pointer(http, CURLOPT_HEADERDATA, http, code);
	if (!*code)
		*code = curl_easy_setopt(http->easy, CURLOPT_HEADERFUNCTION, http_field);
}

static int http_setup(struct http *http, const struct options *options)
{
	CURLcode code = CURLE_OK;

	set_pointer(http, CURLOPT_URL, options->url, &code);
	set_pointer(http, CURLOPT_PROTOCOLS_STR, "http,https", &code);
	set_number(http, CURLOPT_FOLLOWLOCATION, 0, &code);
	set_number(http, CURLOPT_NOSIGNAL, 1, &code);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Do not wait for a name server that does not answer: the thread that asks it ends by itself. */
	set_number(http, CURLOPT_QUICK_EXIT, 1, &code);
#endif
	set_number(http, CURLOPT_POST, 1, &code);
	set_pointer(http, CURLOPT_HTTPHEADER, http->headers, &code);
	set_pointer(http, CURLOPT_USERAGENT,
		    "probemeter/" PROBEMETER_VERSION " OTel-OTLP-Exporter-C/" PROBEMETER_VERSION, &code);
	set_pointer(http, CURLOPT_ACCEPT_ENCODING, http->grpc ? NULL : "gzip", &code);
	set_pointer(http, CURLOPT_UNIX_SOCKET_PATH, options->socket, &code);
	set_pointer(http, CURLOPT_NOPROXY, options->socket ? "*" : NULL, &code);
	if (http->tls)
		http_setup_tls(http, &code);
	if (http->grpc)
		http_setup_grpc(http, &code);
	set_pointer(http, CURLOPT_ERRORBUFFER, http->error, &code);
	set_pointer(http, CURLOPT_WRITEDATA, http, &code);
	set_pointer(http, CURLOPT_READDATA, http, &code);
	if (!code)
		code = curl_easy_setopt(http->easy, CURLOPT_READFUNCTION, http_give);
	if (!code)
		code = curl_easy_setopt(http->easy, CURLOPT_WRITEFUNCTION, http_take);
	return code == CURLE_OK ? 0 : code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

struct http *http_new(const struct options *options)
{
	struct http *http = NULL;
	int err = -EINVAL;

	if (!options->url)
		goto out;
	err = -EIO;
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		goto out;
	err = -ENOMEM;
	http = calloc(1, sizeof(*http));
	if (!http) {
		curl_global_cleanup();
		goto out;
	}
	http->easy = curl_easy_init();
	http->multi = curl_multi_init();
	if (!http->easy || !http->multi)
		goto out;
	http->socket = options->socket ? strdup(options->socket) : NULL;
	if (options->socket && !http->socket)
		goto out;
	http->grpc = options->protocol == PROTOCOL_GRPC;
	http->tls = !strncasecmp(options->url, "https:", 6);
	if (http->tls && certs_init(&http->certs, options))
		goto out;
	err = http_headers(http, options);
	if (err)
		goto out;
	err = http_setup(http, options);
out:
	if (err) {
		http_free(http);
		errno = -err;
		return NULL;
	}
	return http;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Bytes so far, either way. */
static curl_off_t http_moved(struct http *http)
{
	curl_off_t up = 0, down = 0;
	long head = 0;

	(void)curl_easy_getinfo(http->easy, CURLINFO_SIZE_UPLOAD_T, &up);
	(void)curl_easy_getinfo(http->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
	(void)curl_easy_getinfo(http->easy, CURLINFO_HEADER_SIZE, &head);
	return up + down + head;
}

/* Drive the transfer to its end, or to the end of patience. */
static int http_drive(struct http *http, const struct http_limit *limit, CURLcode *ret_code)
{
	struct curl_waitfd stop = { .fd = limit->stop_fd, .events = CURL_WAIT_POLLIN };
	uint64_t now = now_ms(), deadline = now + limit->timeout_ms, moved_at = now, wait;
	curl_off_t moved = 0;
	bool stopped = false;
	CURLMsg *message;
	int running = 1;

	for (;;) {
		if (curl_multi_perform(http->multi, &running))
			return -EIO;
		if (!running)
			break;
		now = now_ms();
		if (http_moved(http) != moved) {
			moved = http_moved(http);
			moved_at = now;
		}
		if (now >= deadline || (limit->quiet_ms && now - moved_at >= limit->quiet_ms))
			return stopped ? -ECANCELED : -ETIMEDOUT;
		wait = deadline - now < 1000 ? deadline - now : 1000;
		if (limit->quiet_ms && moved_at + limit->quiet_ms - now < wait)
			wait = moved_at + limit->quiet_ms - now;
		stop.revents = 0;
		if (curl_multi_poll(http->multi, &stop, limit->stop_fd >= 0 && !stopped, (int)wait, NULL))
			return -EIO;
		if (stop.revents) {
			stopped = true;
			now = now_ms();
			if (deadline > now + HTTP_GRACE_MS)
				deadline = now + HTTP_GRACE_MS;
		}
	}
	message = curl_multi_info_read(http->multi, &running);
	if (!message || message->msg != CURLMSG_DONE)
		return -EIO;
	*ret_code = message->data.result;
	return 0;
}

static void answer_read(struct http *http, struct http_answer *answer)
{
	const char *type = NULL, *location = NULL;
	curl_off_t retry_after = 0;

	(void)curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &answer->status);
	(void)curl_easy_getinfo(http->easy, CURLINFO_CONTENT_TYPE, &type);
	(void)curl_easy_getinfo(http->easy, CURLINFO_REDIRECT_URL, &location);
	/* curl forgets its own count where a connection is lost. */
	answer->sent = !http->post_size;
	http->answered = http->answered || answer->status;
	/* Seconds or a date; curl knows both and gives seconds from now. */
	(void)curl_easy_getinfo(http->easy, CURLINFO_RETRY_AFTER, &retry_after);
	if (retry_after > 0)
		answer->retry_after_ms = retry_after > INT32_MAX ? INT64_C(1000) * INT32_MAX : 1000 * retry_after;
	if (type)
		(void)snprintf(answer->type, sizeof(answer->type), "%.*s", (int)strcspn(type, "; \t"), type);
	for (char *c = answer->type; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (location)
		(void)snprintf(answer->location, sizeof(answer->location), "%s", location);
	answer->fields = http->fields;
	answer->body = http->body;
	answer->size = http->size;
}

/* Which file it was, as the user called it: that of the authorities, or else the client's own. */
static void name_files(const struct http *http, CURLcode code, char *out, size_t out_size)
{
	const struct certs_file *file = http->certs.file;
	size_t used = strlen(out);

	if (code != CURLE_SSL_CACERT_BADFILE && !file[CERTS_CLIENT].path)
		(void)snprintf(out + used, out_size - used, "; if it asks for a certificate, "
			       "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE can name one");
	for (size_t i = 0; i < CERTS_ROLES && used < out_size; i++) {
		if (!file[i].path || (code == CURLE_SSL_CACERT_BADFILE) != (i == CERTS_AUTHORITY))
			continue;
		(void)snprintf(out + used, out_size - used, "; check %s, '%s'", file[i].variable, file[i].path);
		used = strlen(out);
	}
}

/* The code of RST_STREAM, which curl has only in its words: "... was not closed cleanly: CANCEL (err 8)". */
static int reset_code(const struct http *http, CURLcode code)
{
	const char *number = code == CURLE_HTTP2_STREAM ? strstr(http->error, "(err ") : NULL;

	return number ? (int)strtoul(number + strlen("(err "), NULL, 10) & 0xffff : -1;
}

/* In TLS 1.3 a server refuses a client's certificate when the request is already on its way: with an alert, or by
 * closing, which may overtake the alert. */
static bool client_refused(const struct http *http, int err, struct http_answer *answer)
{
	bool alert = http->tls && strstr(http->error, " alert ");

	if (alert)
		answer->sent = false;
	return alert || (http->tls && err == -ECONNRESET && !http->answered && answer->reset < 0);
}

/* The certificate is good, but for another host: curl has that only in its words, with OpenSSL and with GnuTLS. */
static bool is_other_name(const char *words)
{
	return strstr(words, "match") && strstr(words, "name");
}

/* From curl's code to ours. A status that came counts more than how the connection ended. */
static int http_judge(struct http *http, CURLcode code, struct http_answer *answer)
{
	static const struct http_failure other = { .err = -EIO };
	const char *words = *http->error ? http->error : curl_easy_strerror(code), *remedy;
	const struct http_failure *failure = &other;
	const char *system = "";
	curl_off_t connected_us = 0;
	long error = 0;
	bool refused;

	if (code == CURLE_OK)
		return 0;
	for (size_t i = 0; i < sizeof(http_failures) / sizeof(http_failures[0]); i++)
		if (http_failures[i].code == code)
			failure = &http_failures[i];
	answer->retryable = failure->retryable && !answer->status;
	/* A timeout before there is a connection is a failure to connect; after it, the collector may have the data. */
	(void)curl_easy_getinfo(http->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
	if (code == CURLE_OPERATION_TIMEDOUT)
		words = connected_us ? "no whole answer in time" : "no connection in time";
	if (code == CURLE_OPERATION_TIMEDOUT && !connected_us)
		answer->retryable = true;
	if (code == CURLE_COULDNT_CONNECT && !curl_easy_getinfo(http->easy, CURLINFO_OS_ERRNO, &error) && error)
		system = strerror((int)error);
	/* curl says the host that a socket is asked for, which nobody called so. */
	if (code == CURLE_COULDNT_CONNECT && http->socket) {
		(void)snprintf(answer->problem, sizeof(answer->problem), "cannot connect to the Unix socket '%s'%s%s%s", http->socket,
			       *system ? ": " : "", system, failure->remedy);
		return failure->err;
	}
	if (http->too_big) {
		(void)snprintf(answer->problem, sizeof(answer->problem), "the answer is larger than 4 MiB");
		return -EMSGSIZE;
	}
	if (code == CURLE_SEND_FAIL_REWIND)
		words = "connection lost without an answer";
	/* Said when the other side had closed before curl asked for its address: no reason, only a sign. */
	if (!strncmp(words, "getpeername()", strlen("getpeername()")))
		words = curl_easy_strerror(code);
	/* A server may answer and reset while the request is still on its way; libcurl 7.88 then has neither the answer nor
	 * words of its own. */
	if (code == CURLE_HTTP2_STREAM && !*http->error)
		words = "the server closed the stream before it had the whole request";
	refused = client_refused(http, failure->err, answer);
	remedy = http->grpc && !http->answered && !refused && failure->grpc_remedy ? failure->grpc_remedy : failure->remedy;
	if (code == CURLE_PEER_FAILED_VERIFICATION && is_other_name(words))
		remedy = OTHER_NAME;
	(void)snprintf(answer->problem, sizeof(answer->problem), "%s%s%s%s", words, *system ? ": " : "", system,
		       remedy ? remedy : "");
	if (refused || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM)
		name_files(http, code, answer->problem, sizeof(answer->problem));
	return failure->err;
}

/* Everything anew: curl keeps certificates, authorities and TLS sessions with the connection. */
static int http_renew(struct http *http)
{
	CURL *easy = curl_easy_duphandle(http->easy);
	CURLM *multi = curl_multi_init();

	if (!easy || !multi) {
		curl_easy_cleanup(easy);
		if (multi)
			(void)curl_multi_cleanup(multi);
		return -ENOMEM;
	}
	curl_easy_cleanup(http->easy);
	(void)curl_multi_cleanup(http->multi);
	http->easy = easy;
	http->multi = multi;
	return 0;
}

static int http_certs(struct http *http, struct http_answer *answer)
{
	bool changed;

	if (!http->tls)
		return 0;
	if (certs_look(&http->certs, &changed, answer->problem, sizeof(answer->problem)))
		return -EIO;
	return changed ? http_renew(http) : 0;
}

static int http_transfer(struct http *http, const uint8_t *body, size_t size, const struct http_limit *limit,
			 CURLcode *ret_code)
{
	char line[64];
	struct curl_slist timeout = { .data = line, .next = http->headers };
	CURLcode code = CURLE_OK;
	int err = -EIO;

	(void)snprintf(line, sizeof(line), "grpc-timeout: %llum", (unsigned long long)(
		       limit->timeout_ms < GRPC_TIMEOUT_MAX ? limit->timeout_ms : GRPC_TIMEOUT_MAX));
	set_pointer(http, CURLOPT_HTTPHEADER, http->grpc ? &timeout : http->headers, &code);
	http->post = body;
	http->post_size = size;
	if (!code)
		code = curl_easy_setopt(http->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
	set_number(http, CURLOPT_TIMEOUT_MS, (long)limit->timeout_ms, &code);
	if (!code && !curl_multi_add_handle(http->multi, http->easy)) {
		err = http_drive(http, limit, ret_code);
		(void)curl_multi_remove_handle(http->multi, http->easy);
	}
	/* Not the one on the stack of this function. */
	(void)curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, http->headers);
	return err;
}

int http_post(struct http *http, const uint8_t *body, size_t size, const struct http_limit *limit,
	      struct http_answer *ret)
{
	CURLcode code = CURLE_OK;
	int err;

	*ret = (struct http_answer){ .reset = -1 };
	free(http->body);
	http->body = NULL;
	http->size = 0;
	http->too_big = false;
	*http->error = '\0';
	*http->fields = '\0';
	http->fields_size = 0;
	ret->fields = http->fields;
	err = http_certs(http, ret);
	if (err)
		return err;
	err = http_transfer(http, body, size, limit, &code);
	ret->reset = reset_code(http, code);
	answer_read(http, ret);
	/* Ours or curl's own clock, whichever was first. */
	if (err == -ETIMEDOUT) {
		code = CURLE_OPERATION_TIMEDOUT;
		err = 0;
	}
	if (err)
		(void)snprintf(ret->problem, sizeof(ret->problem), "%s", err == -ECANCELED ? "stopped" : "curl failed");
	else
		err = http_judge(http, code, ret);
	return err;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->easy);
	if (http->multi)
		(void)curl_multi_cleanup(http->multi);
	curl_slist_free_all(http->headers);
	certs_free(&http->certs);
	free(http->body);
	free(http->socket);
	free(http);
	curl_global_cleanup();
}
