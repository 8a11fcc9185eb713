/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store - jobs, their executions and an audit trail, as tables of a database.
 * A job's state: queued, running, retrying (waits in the dead-letter table),
 * and at last completed, failed or timeout.
 */
#ifndef SCRIPTD_STORE_H
#define SCRIPTD_STORE_H

#include <stdbool.h>

struct db;
struct job;
struct json_object;
struct run_result;

/** store_schema - the statements that make the tables, for db_open() */
const char *store_schema(void);

/** store_add - a new job, as queued. Return: 0; -EEXIST if its id is taken; -errno. */
int store_add(struct db *db, const struct job *job);

/** store_load - a job as it was added; free with job_free(). Return: 0, -ENOENT, -errno. */
int store_load(struct db *db, const char *id, struct job **ret);

int store_set_state(struct db *db, const char *id, const char *state);

/** store_add_execution - one run of a job, and the job's state after it */
int store_add_execution(struct db *db, const struct job *job, const struct run_result *result, const char *state);

/** store_describe - a job with its executions, as JSON; the caller puts it. Return: 0, -ENOENT, -errno. */
int store_describe(struct db *db, const char *id, struct json_object **ret);

/** store_list - newest first; @user or @state NULL: any. Return: 0 or -errno. */
int store_list(struct db *db, const char *user, const char *state, int limit, struct json_object **ret);

/** store_state_final - is it one that does not change any more? */
bool store_state_final(const char *state);

/** store_each_unfinished - @fn for every job found queued or running, oldest first; it becomes queued */
int store_each_unfinished(struct db *db, void (*fn)(void *ctx, const char *id), void *ctx);

/** store_audit - remember an event of a job */
int store_audit(struct db *db, const char *id, const char *event_type);

#endif
