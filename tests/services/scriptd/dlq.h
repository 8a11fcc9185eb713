/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dlq - dead letters: events that could not be processed, in a table. A thread
 * gives each back to its topic after a growing pause; one that has failed too
 * often is parked until somebody asks for a retry.
 */
#ifndef SCRIPTD_DLQ_H
#define SCRIPTD_DLQ_H

#include <stdbool.h>
#include <stdint.h>

#include "events.h"

struct db;
struct dlq;
struct json_object;

struct dlq_config {
	int max_attempts;		/* failed tries until an event is parked */
	int backoff_ms;			/* before the first retry; doubled for each further one */
};

/** dlq_schema - the statements that make the table, for db_open() */
const char *dlq_schema(void);

/** dlq_create - over the database and the log, which must outlive it; sets the size levels from the table */
int dlq_create(struct db *db, struct events *events, const struct dlq_config *config, struct dlq **ret);

/** dlq_start - start giving back; dlq_stop() ends it */
int dlq_start(struct dlq *dlq);

/**
 * dlq_put - keep one dead event
 * @reason:  label; a fixed string
 * @attempt: failed tries so far, this one included
 * @park:    keep it until dlq_retry()
 */
int dlq_put(struct dlq *dlq, const char *topic, const char *type, const char *key, const char *payload,
	    const char *reason, int attempt, bool park);

/** dlq_dead - an events_dead_fn over a struct dlq: parks after the configured number of tries */
void dlq_dead(void *ctx, const struct event *event, const char *error_type);

/** dlq_exhausted - is an event that failed @attempt times beyond a further automatic retry? */
bool dlq_exhausted(const struct dlq *dlq, int attempt);

/** dlq_retry - make everything of @topic (NULL: of all) due now. Return: how many, or -errno. */
int64_t dlq_retry(struct dlq *dlq, const char *topic);

/** dlq_describe - the newest 100 letters and the size per topic, as JSON; the caller puts it */
int dlq_describe(struct dlq *dlq, struct json_object **ret);

void dlq_stop(struct dlq *dlq);

/** dlq_free - NULL is fine */
void dlq_free(struct dlq *dlq);

#endif
