/* SPDX-License-Identifier: BSD-2-Clause */
#include "db.h"

#include <errno.h>
#include <probemeter/integr8scode.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "truth.h"

/* So many stay open when nobody needs them; more come and go with the load. */
#define IDLE_HANDLES 2
#define BUSY_TIMEOUT_MS 5000

struct db {
	pthread_mutex_t lock;
	pthread_cond_t released;
	char *path;
	unsigned int open, max;
	unsigned int nr_idle;
	sqlite3 *idle[];		/* max entries */
};

static const struct {
	int code;
	const char *error_type;
	int err;
} errors[] = {
	{ SQLITE_CONSTRAINT, "constraint", -EEXIST },
	{ SQLITE_BUSY, "busy", -EBUSY },
	{ SQLITE_LOCKED, "busy", -EBUSY },
	{ SQLITE_FULL, "disk_full", -ENOSPC },
	{ SQLITE_IOERR, "io", -EIO },
	{ SQLITE_CORRUPT, "corrupt", -EIO },
	{ SQLITE_READONLY, "read_only", -EIO },
};

static int handle_open(const char *path, sqlite3 **ret)
{
	sqlite3 *handle = NULL;
	int rc;

	rc = sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_busy_timeout(handle, BUSY_TIMEOUT_MS);
		rc = sqlite3_exec(handle, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", NULL, NULL, NULL);
	}
	if (rc != SQLITE_OK) {
		log_warn("db: cannot open '%s': %s", path, handle ? sqlite3_errmsg(handle) : "no memory");
		sqlite3_close(handle);
		return -EIO;
	}
	PROBEMETER_ADD(database_connections_active, 1);
	truth_add("database.connections.active", 1, NULL);
	*ret = handle;
	return 0;
}

static void handle_close(sqlite3 *handle)
{
	sqlite3_close(handle);
	PROBEMETER_ADD(database_connections_active, -1);
	truth_add("database.connections.active", -1, NULL);
}

static int handle_get(struct db *db, sqlite3 **ret)
{
	int err = 0;

	pthread_mutex_lock(&db->lock);
	while (!db->nr_idle && db->open == db->max)
		pthread_cond_wait(&db->released, &db->lock);
	if (db->nr_idle) {
		*ret = db->idle[--db->nr_idle];
	} else {
		err = handle_open(db->path, ret);
		if (!err)
			db->open++;
	}
	pthread_mutex_unlock(&db->lock);
	return err;
}

static void handle_put(struct db *db, sqlite3 *handle)
{
	pthread_mutex_lock(&db->lock);
	if (db->nr_idle < IDLE_HANDLES) {
		db->idle[db->nr_idle++] = handle;
	} else {
		handle_close(handle);
		db->open--;
	}
	pthread_cond_signal(&db->released);
	pthread_mutex_unlock(&db->lock);
}

int db_open(const char *path, const char *schema, unsigned int max_handles, struct db **ret)
{
	struct db *db = calloc(1, sizeof(*db) + max_handles * sizeof(sqlite3 *));
	sqlite3 *handle = NULL;
	char *message = NULL;
	int err;

	if (!db)
		return -ENOMEM;
	pthread_mutex_init(&db->lock, NULL);
	pthread_cond_init(&db->released, NULL);
	db->max = max_handles;
	db->path = strdup(path);
	if (!db->path) {
		err = -ENOMEM;
		goto out;
	}
	err = handle_get(db, &handle);
	if (err)
		goto out;
	if (sqlite3_exec(handle, schema, NULL, NULL, &message) != SQLITE_OK) {
		log_warn("db: cannot prepare '%s': %s", path, message);
		sqlite3_free(message);
		err = -EIO;
	}
	handle_put(db, handle);
	if (err)
		goto out;
	*ret = db;
	return 0;
out:
	db_close(db);
	return err;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	while (db->nr_idle)
		handle_close(db->idle[--db->nr_idle]);
	pthread_cond_destroy(&db->released);
	pthread_mutex_destroy(&db->lock);
	free(db->path);
	free(db);
}

static int bind_all(sqlite3_stmt *stmt, const char *types, va_list args)
{
	int rc = SQLITE_OK;

	for (int i = 1; *types && rc == SQLITE_OK; types++, i++) {
		switch (*types) {
		case 't':
			rc = sqlite3_bind_text(stmt, i, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
			break;
		case 'i':
			rc = sqlite3_bind_int64(stmt, i, va_arg(args, int64_t));
			break;
		case 'd':
			rc = sqlite3_bind_double(stmt, i, va_arg(args, double));
			break;
		default:
			rc = SQLITE_MISUSE;
		}
	}
	return rc;
}

static int64_t handle_run(sqlite3 *handle, db_row_fn *row, void *ctx, const char *sql, const char *types,
			  va_list args, int *rc)
{
	sqlite3_stmt *stmt = NULL;
	int64_t rows = 0;

	*rc = sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL);
	if (*rc == SQLITE_OK)
		*rc = bind_all(stmt, types, args);
	if (*rc == SQLITE_OK) {
		while ((*rc = sqlite3_step(stmt)) == SQLITE_ROW) {
			rows++;
			if (row)
				row(ctx, stmt);
		}
		if (*rc == SQLITE_DONE)
			*rc = SQLITE_OK;
	}
	if (stmt && *rc == SQLITE_OK && !sqlite3_stmt_readonly(stmt))
		rows = sqlite3_changes(handle);
	sqlite3_finalize(stmt);
	return rows;
}

static int fail(const char *operation, const char *collection, int rc)
{
	const char *error_type = "other";
	int err = -EIO;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (errors[i].code == (rc & 0xff)) {
			error_type = errors[i].error_type;
			err = errors[i].err;
		}
	}
	PROBEMETER_ADD(database_errors_total, 1, operation, error_type);
	truth_add("database.errors.total", 1, operation, error_type, NULL);
	/* A client's duplicate is the client's affair. */
	if (err != -EEXIST)
		log_warn("db: %s on '%s': %s", operation, collection, sqlite3_errstr(rc));
	return err;
}

int64_t db_run(struct db *db, const char *operation, const char *collection, db_row_fn *row, void *ctx,
	       const char *sql, const char *types, ...)
{
	sqlite3 *handle;
	double start_s;
	uint64_t start;
	va_list args;
	int64_t rows;
	int rc;

	if (handle_get(db, &handle))
		return fail(operation, collection, SQLITE_CANTOPEN);
	start = PROBEMETER_START(database_operation_duration);
	start_s = clock_mono_s();
	va_start(args, types);
	rows = handle_run(handle, row, ctx, sql, types, args, &rc);
	va_end(args);
	PROBEMETER_RECORD_SINCE(database_operation_duration, start, operation, collection);
	truth_record("database.operation.duration", clock_mono_s() - start_s, operation, collection, NULL);
	handle_put(db, handle);

	PROBEMETER_ADD(database_operations_total, 1, operation, collection);
	truth_add("database.operations.total", 1, operation, collection, NULL);
	return rc == SQLITE_OK ? rows : fail(operation, collection, rc);
}
