/* SPDX-License-Identifier: BSD-2-Clause */
#include "coordinator.h"

#include <errno.h>
#include <json-c/json.h>
#include <probemeter/integr8scode.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "dlq.h"
#include "language.h"
#include "log.h"
#include "queue.h"
#include "runner.h"
#include "store.h"
#include "stream.h"
#include "truth.h"

#define EVENT_REQUESTED "execution.requested"

struct coordinator {
	struct coordinator_parts with;
};

int coordinator_create(const struct coordinator_parts *parts, struct coordinator **ret)
{
	struct coordinator *coordinator = calloc(1, sizeof(*coordinator));

	if (!coordinator)
		return -ENOMEM;
	coordinator->with = *parts;
	*ret = coordinator;
	return 0;
}

int coordinator_submit(struct coordinator *c, const char *id)
{
	int err;

	err = stream_open(c->with.stream, id);
	if (err)
		return err;
	return events_produce(c->with.events, TOPIC_REQUESTS, EVENT_REQUESTED, id, "", 0);
}

static void active_move(int by)
{
	PROBEMETER_ADD(coordinator_executions_active, by);
	truth_add("coordinator.executions.active", by, NULL);
}

/* Takes @job if it can be queued. */
static int enqueue(struct coordinator *c, struct job *job)
{
	int err;

	/* Counted first: once pushed, a worker may finish the job before this thread runs on. */
	active_move(1);
	err = queue_push(c->with.queue, job);
	if (err)
		active_move(-1);
	return err;
}

static struct json_object *state_json(const char *id, const char *state, int attempt)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "id", json_object_new_string(id));
	json_object_object_add(o, "state", json_object_new_string(state));
	json_object_object_add(o, "attempt", json_object_new_int(attempt));
	return o;
}

/* The queue is full. The request becomes a dead letter, and the job fails with the last retry. */
static void refuse(struct coordinator *c, const struct event *event)
{
	bool last = dlq_exhausted(c->with.dlq, event->attempt + 1);

	(void)store_set_state(c->with.db, event->key, last ? "failed" : "retrying");
	if (!last)
		return;
	stream_publish(c->with.stream, event->key, "finished", state_json(event->key, "failed", 0));
	stream_close(c->with.stream, event->key);
}

static const struct {
	int err;
	const char *status;
} outcomes[] = {
	{ 0, "scheduled" },
	{ -ENOSPC, "queue_full" },
	{ -ENOENT, "unknown_job" },
	{ -ESHUTDOWN, "shutdown" },
};

static const char *outcome_name(int err)
{
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		if (outcomes[i].err == err)
			return outcomes[i].status;
	return "store_failed";
}

int coordinator_schedule(void *ctx, const struct event *event, const char **error_type)
{
	uint64_t start = PROBEMETER_START(coordinator_scheduling_duration);
	double start_s = clock_mono_s();
	struct coordinator *c = ctx;
	struct job *job = NULL;
	const char *status;
	int err;

	/* After a restart, or a retry asked for by hand, the channel is not there. */
	err = stream_open(c->with.stream, event->key);
	if (!err)
		err = store_load(c->with.db, event->key, &job);
	if (!err)
		err = store_set_state(c->with.db, event->key, "queued");
	if (!err)
		err = enqueue(c, job);
	if (err)
		job_free(job);
	if (err == -ENOSPC)
		refuse(c, event);

	PROBEMETER_RECORD_SINCE(coordinator_scheduling_duration, start);
	truth_record("coordinator.scheduling.duration", clock_mono_s() - start_s, NULL);
	status = outcome_name(err);
	PROBEMETER_ADD(coordinator_executions_scheduled_total, 1, status);
	truth_add("coordinator.executions.scheduled.total", 1, status, NULL);
	*error_type = status;
	/* What is left at shutdown stays queued in the store and is found there at the next start. */
	return err == -ESHUTDOWN ? 0 : err;
}

static void tell_results(struct coordinator *c, const char *type, const struct job *job, struct json_object *data)
{
	int err;

	err = events_produce(c->with.events, TOPIC_RESULTS, type, job->id,
			     json_object_to_json_string_ext(data, JSON_C_TO_STRING_PLAIN), 0);
	if (err)
		log_warn("coordinator: '%s' of job '%s' is not logged: %s", type, job->id, strerror(-err));
	json_object_put(data);
}

void coordinator_started(struct coordinator *c, const struct job *job)
{
	(void)store_set_state(c->with.db, job->id, "running");
	stream_publish(c->with.stream, job->id, "started", state_json(job->id, "running", job->attempt + 1));
	tell_results(c, "execution.started", job, json_object_new_object());
}

void coordinator_output(struct coordinator *c, const struct job *job, const char *line)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "id", json_object_new_string(job->id));
	json_object_object_add(o, "line", json_object_new_string(line));
	stream_publish(c->with.stream, job->id, "output", o);
}

static struct json_object *result_json(const struct job *job, const struct run_result *result, const char *state)
{
	struct json_object *o = state_json(job->id, state, job->attempt);

	json_object_object_add(o, "status", json_object_new_string(run_status_name(result->status)));
	json_object_object_add(o, "lang_and_version", json_object_new_string(job->language->lang_and_version));
	json_object_object_add(o, "exit_code", json_object_new_int(result->exit_code));
	json_object_object_add(o, "duration_s", json_object_new_double(result->wall_s));
	json_object_object_add(o, "memory_mib", json_object_new_double(result->memory_mib));
	json_object_object_add(o, "cpu_millicores", json_object_new_double(result->cpu_millicores));
	return o;
}

/* The results consumer needs to know whom to notify; clients do not. */
static struct json_object *result_event_json(const struct job *job, const struct run_result *result,
					     const char *state)
{
	struct json_object *o = result_json(job, result, state);

	json_object_object_add(o, "notify_log", json_object_new_boolean(job->notify_log));
	if (job->webhook)
		json_object_object_add(o, "webhook", json_object_new_string(job->webhook));
	return o;
}

static const char *state_after(const struct job *job, const struct run_result *result)
{
	if (result->cancelled)
		return "queued";
	if (result->status != RUN_COMPLETED && job->attempt <= job->retries)
		return "retrying";
	return run_status_name(result->status);
}

void coordinator_finished(struct coordinator *c, struct job *job, const struct run_result *result)
{
	const char *status = run_status_name(result->status), *state;
	char type[40];
	int err;

	job->attempt++;
	state = state_after(job, result);
	err = store_add_execution(c->with.db, job, result, state);
	if (err)
		log_warn("coordinator: job '%s': execution %d is not stored: %s", job->id, job->attempt,
			 strerror(-err));

	/* A failure that may be, or was, repeated is a dead letter: given back, or parked after the last try. */
	if (result->status != RUN_COMPLETED && !result->cancelled && job->retries > 0) {
		err = dlq_put(c->with.dlq, TOPIC_REQUESTS, EVENT_REQUESTED, job->id, "", status, job->attempt,
			      strcmp(state, "retrying") != 0);
		if (err)
			log_warn("coordinator: job '%s' is not retried: %s", job->id, strerror(-err));
	}
	active_move(-1);

	snprintf(type, sizeof(type), "execution.%s", status);
	tell_results(c, type, job, result_event_json(job, result, state));
	if (store_state_final(state)) {
		stream_publish(c->with.stream, job->id, "finished", result_json(job, result, state));
		stream_close(c->with.stream, job->id);
	} else {
		stream_publish(c->with.stream, job->id, state, result_json(job, result, state));
	}
}

void coordinator_abandon(struct job *job)
{
	active_move(-1);
	job_free(job);
}

void coordinator_free(struct coordinator *coordinator)
{
	free(coordinator);
}
