/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "notify.h"

#include <curl/curl.h>
#include <errno.h>
#include <json-c/json.h>
#include <probemeter/integr8scode.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "truth.h"

struct notify {
	char *log_path;
	int timeout_ms;
	atomic_bool stopping;
};

/* Return: NULL once delivered, or the error's name, a fixed string. */
typedef const char *deliver_fn(struct notify *notify, const char *target, const char *body);

bool notify_url_allowed(const char *url)
{
	char *scheme = NULL, *host = NULL;
	CURLU *parts = curl_url();
	bool allowed;

	allowed = parts && !curl_url_set(parts, CURLUPART_URL, url, 0) &&
		  !curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) &&
		  !curl_url_get(parts, CURLUPART_HOST, &host, 0) && !strcmp(scheme, "http") &&
		  (!strcmp(host, "127.0.0.1") || !strcmp(host, "localhost") || !strcmp(host, "[::1]"));
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(parts);
	return allowed;
}

int notify_create(const char *log_path, int timeout_ms, struct notify **ret)
{
	struct notify *notify = calloc(1, sizeof(*notify));

	if (!notify)
		return -ENOMEM;
	notify->timeout_ms = timeout_ms;
	notify->log_path = strdup(log_path);
	if (!notify->log_path) {
		free(notify);
		return -ENOMEM;
	}
	*ret = notify;
	return 0;
}

static size_t discard(char *data, size_t size, size_t n, void *ctx)
{
	(void)data;
	(void)ctx;
	return size * n;
}

static const char *webhook_error(CURLcode rc, long status)
{
	switch (rc) {
	case CURLE_OK:
		if (status >= 200 && status < 300)
			return NULL;
		return status >= 500 ? "http_5xx" : status >= 400 ? "http_4xx" : "http_other";
	case CURLE_COULDNT_CONNECT:
		return "connect";
	case CURLE_OPERATION_TIMEDOUT:
		return "timeout";
	default:
		return "transfer";
	}
}

static const char *deliver_webhook(struct notify *notify, const char *target, const char *body)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	CURLcode rc = CURLE_FAILED_INIT;
	CURL *curl = curl_easy_init();
	long status = 0;

	if (curl && headers) {
		curl_easy_setopt(curl, CURLOPT_URL, target);
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
		curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)notify->timeout_ms);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
		rc = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	}
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	return webhook_error(rc, status);
}

/* One write in append mode per line: the two consumers' lines do not mix. */
static const char *deliver_log(struct notify *notify, const char *target, const char *body)
{
	const char *error = NULL;
	FILE *file;

	(void)target;
	file = fopen(notify->log_path, "ae");
	if (!file)
		return "open";
	fprintf(file, "%s\n", body);
	if (fclose(file))
		error = "write";
	return error;
}

static const struct {
	const char *name;
	deliver_fn *deliver;
} channels[] = {
	{ NOTIFY_LOG, deliver_log },
	{ NOTIFY_WEBHOOK, deliver_webhook },
};

static const char *field(struct json_object *o, const char *name)
{
	struct json_object *value;

	return json_object_object_get_ex(o, name, &value) ? json_object_get_string(value) : "";
}

static const char *deliver(struct notify *notify, struct json_object *request, const char *body)
{
	const char *channel = field(request, "channel"), *type = field(request, "type");
	const char *error = "unknown_channel";
	double start_s = clock_mono_s(), took_s;

	for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++)
		if (!strcmp(channels[i].name, channel))
			error = channels[i].deliver(notify, field(request, "target"), body);
	took_s = clock_mono_s() - start_s;

	PROBEMETER_RECORD(notifications_delivery_duration, took_s, channel);
	truth_record("notifications.delivery.duration", took_s, channel, NULL);
	if (error) {
		PROBEMETER_ADD(notifications_failed_total, 1, type, error);
		truth_add("notifications.failed.total", 1, type, error, NULL);
	} else {
		PROBEMETER_ADD(notifications_sent_total, 1, type, channel);
		truth_add("notifications.sent.total", 1, type, channel, NULL);
	}
	return error;
}

int notify_deliver(void *ctx, const struct event *event, const char **error_type)
{
	struct json_object *request, *job = NULL;
	struct notify *notify = ctx;
	const char *error;

	if (atomic_load(&notify->stopping)) {
		*error_type = "shutdown";
		return -ESHUTDOWN;
	}
	request = json_tokener_parse(event->payload);
	if (!request) {
		*error_type = "bad_payload";
		return -EINVAL;
	}
	json_object_object_get_ex(request, "job", &job);
	error = deliver(notify, request, json_object_to_json_string_ext(job, JSON_C_TO_STRING_PLAIN));
	json_object_put(request);
	if (!error)
		return 0;
	*error_type = error;
	return -EIO;
}

void notify_stop(struct notify *notify)
{
	atomic_store(&notify->stopping, true);
}

void notify_free(struct notify *notify)
{
	if (!notify)
		return;
	free(notify->log_path);
	free(notify);
}
