/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * coordinator - decides about jobs: into the queue when requested, and after
 * each run whether the job has ended, is tried again, or is a dead letter.
 */
#ifndef SCRIPTD_COORDINATOR_H
#define SCRIPTD_COORDINATOR_H

#include "events.h"

struct coordinator;
struct db;
struct dlq;
struct queue;
struct run_result;
struct stream;

/** What it works with; all of it outlives the coordinator. */
struct coordinator_parts {
	struct db *db;
	struct queue *queue;
	struct events *events;
	struct dlq *dlq;
	struct stream *stream;
};

int coordinator_create(const struct coordinator_parts *parts, struct coordinator **ret);

/** coordinator_submit - a job that is in the store is to be run. Return: 0 or -errno. */
int coordinator_submit(struct coordinator *coordinator, const char *id);

/** coordinator_schedule - an events_fn over a struct coordinator, for TOPIC_REQUESTS */
int coordinator_schedule(void *ctx, const struct event *event, const char **error_type);

/** coordinator_started - a worker begins with @job */
void coordinator_started(struct coordinator *coordinator, const struct job *job);

/** coordinator_output - @job wrote a line */
void coordinator_output(struct coordinator *coordinator, const struct job *job, const char *line);

/** coordinator_finished - a worker is done with @job, which stays the caller's */
void coordinator_finished(struct coordinator *coordinator, struct job *job, const struct run_result *result);

/** coordinator_abandon - @job will not be run by this process; it stays "queued" in the store. Takes @job. */
void coordinator_abandon(struct job *job);

/** coordinator_free - NULL is fine */
void coordinator_free(struct coordinator *coordinator);

#endif
