/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * events - an in-process event log: topics of two partitions each, one
 * consumer thread per partition, events of one key in order.
 *
 *     execution_requests ─► coordinator   execution.requested
 *     execution_results  ─► results       execution.started, .completed, .failed, .timeout
 *     notifications      ─► notify        notification.requested
 *
 * An event whose consumer fails is handed to the dead-letter function. The log
 * is in memory: what must survive a restart is in the job store.
 */
#ifndef SCRIPTD_EVENTS_H
#define SCRIPTD_EVENTS_H

#include <stdbool.h>

#include "job.h"

#define TOPIC_REQUESTS "execution_requests"
#define TOPIC_RESULTS "execution_results"
#define TOPIC_NOTIFICATIONS "notifications"

struct event {
	struct event *next;
	const char *topic;
	char type[40];
	char key[JOB_ID_MAX + 1];
	int attempt;			/* failed tries before this one */
	char payload[];			/* JSON, or empty */
};

struct events;

/** A consumer. Return: 0, or -errno with @error_type set to a fixed string. */
typedef int events_fn(void *ctx, const struct event *event, const char **error_type);

/** Takes over an event whose consumer failed; the event stays the caller's. */
typedef void events_dead_fn(void *ctx, const struct event *event, const char *error_type);

int events_create(struct events **ret);

/** events_consume - start @topic's consumers */
int events_consume(struct events *events, const char *topic, events_fn *fn, void *ctx,
		   events_dead_fn *dead, void *dead_ctx);

/** events_produce - append one event. Return: 0, -ENOENT (topic), -ENOSPC (log full), -ESHUTDOWN, -ENOMEM. */
int events_produce(struct events *events, const char *topic, const char *type, const char *key,
		   const char *payload, int attempt);

/** events_topic - the log's own copy of a topic's name; NULL if there is none such */
const char *events_topic(const char *name);

/** events_healthy - has every partition with a backlog moved in the last @max_age_s? */
bool events_healthy(struct events *events, double max_age_s);

/** events_drain - take no more into @topic, let its consumers finish what is there, end them */
void events_drain(struct events *events, const char *topic);

/** events_free - drain every topic and free; NULL is fine */
void events_free(struct events *events);

#endif
