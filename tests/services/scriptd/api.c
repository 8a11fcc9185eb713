/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "api.h"

#include <errno.h>
#include <json-c/json.h>
#include <probemeter/integr8scode.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "coordinator.h"
#include "dlq.h"
#include "events.h"
#include "health.h"
#include "language.h"
#include "store.h"
#include "stream.h"
#include "truth.h"

#define LIST_DEFAULT 50
#define LIST_MAX 500

static enum MHD_Result reply_errno(const struct http_request *request, int err)
{
	switch (err) {
	case -ENOENT:
		return http_reply_error(request, MHD_HTTP_NOT_FOUND, "no such job");
	case -EEXIST:
		return http_reply_error(request, MHD_HTTP_CONFLICT, "this 'id' is taken");
	case -ENOSPC:
	case -EBUSY:
		return http_reply_error(request, MHD_HTTP_SERVICE_UNAVAILABLE, "overloaded; try again later");
	default:
		return http_reply_error(request, MHD_HTTP_INTERNAL_SERVER_ERROR, strerror(-err));
	}
}

static struct json_object *accepted_json(const struct job *job)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "id", json_object_new_string(job->id));
	json_object_object_add(o, "state", json_object_new_string("queued"));
	json_object_object_add(o, "lang_and_version", json_object_new_string(job->language->lang_and_version));
	return o;
}

static int accept_job(struct api *api, const struct job *job)
{
	int err;

	err = store_add(api->db, job);
	if (err)
		return err;
	err = coordinator_submit(api->coordinator, job->id);
	if (err) {
		(void)store_set_state(api->db, job->id, "failed");
		stream_close(api->stream, job->id);
	}
	return err;
}

static enum MHD_Result post_jobs(void *ctx, const struct http_request *request)
{
	struct json_object *body = json_tokener_parse(request->body), *answer;
	const char *why = NULL;
	struct api *api = ctx;
	struct job *job;
	int err;

	if (!body)
		return http_reply_error(request, MHD_HTTP_BAD_REQUEST, "the body is not JSON");
	err = job_parse(body, request->user, api->default_timeout_ms, &why, &job);
	json_object_put(body);
	if (err == -EINVAL)
		return http_reply_error(request, MHD_HTTP_BAD_REQUEST, why);
	if (err == -ENOTSUP) {
		PROBEMETER_ADD(script_errors_total, 1, "unsupported_language");
		truth_add("script.errors.total", 1, "unsupported_language", NULL);
		return http_reply_error(request, MHD_HTTP_UNPROCESSABLE_CONTENT, why);
	}
	if (err)
		return reply_errno(request, err);

	err = accept_job(api, job);
	answer = err ? NULL : accepted_json(job);
	job_free(job);
	return err ? reply_errno(request, err) : http_reply_json(request, MHD_HTTP_ACCEPTED, answer);
}

static enum MHD_Result get_jobs(void *ctx, const struct http_request *request)
{
	const char *limit_text = http_argument(request, "limit");
	long limit = limit_text ? strtol(limit_text, NULL, 10) : LIST_DEFAULT;
	struct json_object *jobs, *answer;
	struct api *api = ctx;
	int err;

	if (limit < 1 || limit > LIST_MAX)
		return http_reply_error(request, MHD_HTTP_BAD_REQUEST, "'limit' must be 1 to 500");
	err = store_list(api->db, http_argument(request, "user"), http_argument(request, "state"), (int)limit, &jobs);
	if (err)
		return reply_errno(request, err);
	answer = json_object_new_object();
	json_object_object_add(answer, "jobs", jobs);
	return http_reply_json(request, MHD_HTTP_OK, answer);
}

static enum MHD_Result get_job(void *ctx, const struct http_request *request)
{
	struct json_object *job;
	struct api *api = ctx;
	int err;

	err = store_describe(api->db, request->id, &job);
	return err ? reply_errno(request, err) : http_reply_json(request, MHD_HTTP_OK, job);
}

/* A job without a channel has ended: its state is stored before its channel closes. */
static int subscribe_ended(struct api *api, const char *id, struct subscriber **ret)
{
	struct json_object *job, *state;
	int err;

	err = store_describe(api->db, id, &job);
	if (err)
		return err;
	if (json_object_object_get_ex(job, "state", &state) && store_state_final(json_object_get_string(state)))
		err = stream_subscribe_finished(api->stream, job, ret);
	else
		err = -EBUSY;
	json_object_put(job);
	return err;
}

static enum MHD_Result get_job_events(void *ctx, const struct http_request *request)
{
	struct subscriber *subscriber;
	struct api *api = ctx;
	int err;

	err = stream_subscribe(api->stream, request->id, &subscriber);
	if (err == -ENOENT)
		err = subscribe_ended(api, request->id, &subscriber);
	return err ? reply_errno(request, err) : http_reply_stream(request, subscriber);
}

static enum MHD_Result get_dlq(void *ctx, const struct http_request *request)
{
	struct json_object *letters;
	struct api *api = ctx;
	int err;

	err = dlq_describe(api->dlq, &letters);
	return err ? reply_errno(request, err) : http_reply_json(request, MHD_HTTP_OK, letters);
}

static enum MHD_Result post_dlq_retry(void *ctx, const struct http_request *request)
{
	const char *topic = http_argument(request, "topic");
	struct json_object *answer;
	struct api *api = ctx;
	int64_t rows;

	if (topic && !events_topic(topic))
		return http_reply_error(request, MHD_HTTP_NOT_FOUND, "no such topic");
	rows = dlq_retry(api->dlq, topic);
	if (rows < 0)
		return reply_errno(request, (int)rows);
	answer = json_object_new_object();
	json_object_object_add(answer, "retried", json_object_new_int64(rows));
	return http_reply_json(request, MHD_HTTP_OK, answer);
}

static enum MHD_Result get_healthz(void *ctx, const struct http_request *request)
{
	struct json_object *answer = json_object_new_object(), *dependencies;
	struct api *api = ctx;
	bool up = health_check(api->health, &dependencies);

	json_object_object_add(answer, "status", json_object_new_string(up ? "healthy" : "unhealthy"));
	json_object_object_add(answer, "dependencies", dependencies);
	return http_reply_json(request, up ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, answer);
}

struct json_object *api_stats(const struct api *api, bool values)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "pid", json_object_new_int(getpid()));
	json_object_object_add(o, "uptime_s", json_object_new_double(clock_mono_s() - api->started_s));
	json_object_object_add(o, "metrics", truth_json(values));
	return o;
}

static enum MHD_Result get_stats(void *ctx, const struct http_request *request)
{
	return http_reply_json(request, MHD_HTTP_OK, api_stats(ctx, http_argument(request, "values") != NULL));
}

static const struct http_route routes[] = {
	{ "POST", "/jobs", LIMIT_EXECUTION, post_jobs },
	{ "GET", "/jobs", LIMIT_QUERY, get_jobs },
	{ "GET", "/jobs/{id}", LIMIT_QUERY, get_job },
	{ "GET", "/jobs/{id}/events", LIMIT_SSE, get_job_events },
	{ "GET", "/dlq", LIMIT_ADMIN, get_dlq },
	{ "POST", "/dlq/retry", LIMIT_ADMIN, post_dlq_retry },
	{ "GET", "/healthz", LIMIT_BYPASS, get_healthz },
	{ "GET", "/stats", LIMIT_BYPASS, get_stats },
};

const struct http_route *api_routes(size_t *nr_routes)
{
	*nr_routes = sizeof(routes) / sizeof(routes[0]);
	return routes;
}
