/* SPDX-License-Identifier: BSD-2-Clause */
#include "store.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "db.h"
#include "job.h"
#include "language.h"
#include "runner.h"

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS jobs ("
	" id TEXT PRIMARY KEY, user TEXT, language TEXT, lang_and_version TEXT, priority INTEGER, script TEXT,"
	" timeout_ms INTEGER, webhook TEXT, notify_log INTEGER, retries INTEGER, attempt INTEGER,"
	" state TEXT, created REAL);"
	"CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs(state);"
	"CREATE TABLE IF NOT EXISTS executions ("
	" job TEXT, attempt INTEGER, status TEXT, error_type TEXT, exit_code INTEGER, duration_s REAL,"
	" memory_mib REAL, cpu_millicores REAL, output TEXT, PRIMARY KEY (job, attempt));"
	"CREATE TABLE IF NOT EXISTS audit (job TEXT, event_type TEXT, at REAL);";

const char *store_schema(void)
{
	return schema;
}

bool store_state_final(const char *state)
{
	return !strcmp(state, "completed") || !strcmp(state, "failed") || !strcmp(state, "timeout");
}

static int as_error(int64_t rows)
{
	return rows < 0 ? (int)rows : 0;
}

int store_add(struct db *db, const struct job *job)
{
	return as_error(db_run(db, "insert", "jobs", NULL, NULL,
		"INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 'queued', ?)", "ttttititiid",
		job->id, job->user, job->language->name, job->language->lang_and_version,
		(int64_t)job->priority, job->script, (int64_t)job->timeout_ms, job->webhook,
		(int64_t)job->notify_log, (int64_t)job->retries, clock_unix_s()));
}

static char *column_dup(sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);

	return text ? strdup(text) : NULL;
}

static void load_row(void *ctx, sqlite3_stmt *row)
{
	struct job *job = ctx;

	snprintf(job->user, sizeof(job->user), "%s", (const char *)sqlite3_column_text(row, 0));
	job->language = language_find((const char *)sqlite3_column_text(row, 1));
	job->priority = (enum priority)sqlite3_column_int(row, 2);
	job->script = column_dup(row, 3);
	job->timeout_ms = sqlite3_column_int(row, 4);
	job->webhook = column_dup(row, 5);
	job->notify_log = sqlite3_column_int(row, 6);
	job->retries = sqlite3_column_int(row, 7);
	job->attempt = sqlite3_column_int(row, 8);
}

int store_load(struct db *db, const char *id, struct job **ret)
{
	struct job *job = calloc(1, sizeof(*job));
	int64_t rows;

	if (!job)
		return -ENOMEM;
	snprintf(job->id, sizeof(job->id), "%s", id);
	rows = db_run(db, "find", "jobs", load_row, job,
		"SELECT user, language, priority, script, timeout_ms, webhook, notify_log, retries, attempt"
		" FROM jobs WHERE id = ?", "t", id);
	if (rows != 1 || !job->script || !job->language) {
		job_free(job);
		return rows < 0 ? (int)rows : -ENOENT;
	}
	*ret = job;
	return 0;
}

int store_set_state(struct db *db, const char *id, const char *state)
{
	return as_error(db_run(db, "update", "jobs", NULL, NULL,
		"UPDATE jobs SET state = ? WHERE id = ?", "tt", state, id));
}

int store_add_execution(struct db *db, const struct job *job, const struct run_result *result, const char *state)
{
	int64_t rows;

	rows = db_run(db, "insert", "executions", NULL, NULL,
		"INSERT INTO executions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", "tittidddt",
		job->id, (int64_t)job->attempt, run_status_name(result->status), result->error_type,
		(int64_t)result->exit_code, result->wall_s, result->memory_mib, result->cpu_millicores,
		result->output);
	if (rows < 0)
		return (int)rows;
	return as_error(db_run(db, "update", "jobs", NULL, NULL,
		"UPDATE jobs SET state = ?, attempt = ? WHERE id = ?", "tit", state, (int64_t)job->attempt, job->id));
}

/* A row as a JSON object, named by its columns. */
static struct json_object *row_json(sqlite3_stmt *row)
{
	struct json_object *o = json_object_new_object(), *value;

	for (int i = 0; i < sqlite3_column_count(row); i++) {
		switch (sqlite3_column_type(row, i)) {
		case SQLITE_INTEGER:
			value = json_object_new_int64(sqlite3_column_int64(row, i));
			break;
		case SQLITE_FLOAT:
			value = json_object_new_double(sqlite3_column_double(row, i));
			break;
		case SQLITE_NULL:
			value = NULL;
			break;
		default:
			value = json_object_new_string((const char *)sqlite3_column_text(row, i));
		}
		json_object_object_add(o, sqlite3_column_name(row, i), value);
	}
	return o;
}

static void append_row(void *ctx, sqlite3_stmt *row)
{
	json_object_array_add(ctx, row_json(row));
}

#define PRIORITY_NAME \
	"CASE priority WHEN 0 THEN 'critical' WHEN 1 THEN 'high' WHEN 2 THEN 'normal' ELSE 'low' END AS priority"

int store_describe(struct db *db, const char *id, struct json_object **ret)
{
	struct json_object *jobs = json_object_new_array(), *executions = json_object_new_array();
	struct json_object *job;
	int64_t rows;

	rows = db_run(db, "find", "jobs", append_row, jobs,
		"SELECT id, user, language, lang_and_version, " PRIORITY_NAME ", timeout_ms, retries, attempt, state"
		" FROM jobs WHERE id = ?", "t", id);
	if (rows == 0)
		rows = -ENOENT;
	if (rows > 0)
		rows = db_run(db, "find", "executions", append_row, executions,
			"SELECT attempt, status, error_type, exit_code, duration_s, memory_mib, cpu_millicores, output"
			" FROM executions WHERE job = ? ORDER BY attempt", "t", id);
	if (rows >= 0) {
		job = json_object_get(json_object_array_get_idx(jobs, 0));
		json_object_object_add(job, "executions", json_object_get(executions));
		*ret = job;
	}
	json_object_put(executions);
	json_object_put(jobs);
	return as_error(rows);
}

int store_list(struct db *db, const char *user, const char *state, int limit, struct json_object **ret)
{
	struct json_object *jobs = json_object_new_array();
	int64_t rows;

	rows = db_run(db, "find", "jobs", append_row, jobs,
		"SELECT id, user, lang_and_version, " PRIORITY_NAME ", attempt, state FROM jobs"
		" WHERE user = coalesce(?, user) AND state = coalesce(?, state) ORDER BY created DESC LIMIT ?",
		"tti", user, state, (int64_t)limit);
	if (rows < 0) {
		json_object_put(jobs);
		return (int)rows;
	}
	*ret = jobs;
	return 0;
}

int store_each_unfinished(struct db *db, void (*fn)(void *ctx, const char *id), void *ctx)
{
	struct json_object *jobs = json_object_new_array(), *id;
	int64_t rows;

	rows = db_run(db, "update", "jobs", NULL, NULL, "UPDATE jobs SET state = 'queued' WHERE state = 'running'", "");
	if (rows >= 0)
		rows = db_run(db, "find", "jobs", append_row, jobs,
			"SELECT id FROM jobs WHERE state = 'queued' ORDER BY created", "");
	for (size_t i = 0; i < json_object_array_length(jobs); i++)
		if (json_object_object_get_ex(json_object_array_get_idx(jobs, i), "id", &id))
			fn(ctx, json_object_get_string(id));
	json_object_put(jobs);
	return as_error(rows);
}

int store_audit(struct db *db, const char *id, const char *event_type)
{
	return as_error(db_run(db, "insert", "audit", NULL, NULL, "INSERT INTO audit VALUES (?, ?, ?)", "ttd",
		id, event_type, clock_unix_s()));
}
