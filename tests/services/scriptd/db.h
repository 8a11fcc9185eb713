/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db - a small pool of SQLite handles, and the one function through which
 * every statement runs, so that each is counted and timed alike.
 */
#ifndef SCRIPTD_DB_H
#define SCRIPTD_DB_H

#include <sqlite3.h>
#include <stdint.h>

struct db;

/** Called for each row of a result. */
typedef void db_row_fn(void *ctx, sqlite3_stmt *row);

/**
 * db_open - open or create the database
 * @path:        its file
 * @schema:      statements run once
 * @max_handles: at most so many are open; callers wait for one beyond that
 *
 * Return: 0 or -EIO (logged with SQLite's reason), -ENOMEM.
 */
int db_open(const char *path, const char *schema, unsigned int max_handles, struct db **ret);

/** db_close - close every handle; none may be in use; NULL is fine */
void db_close(struct db *db);

/**
 * db_run - run one statement
 * @operation:  label: "insert", "update", "find", "count", "delete", "ping"
 * @collection: label: the table
 * @row:        called per row; may be NULL
 * @types:      one letter per argument: 't' const char * (or NULL),
 *              'i' int64_t, 'd' double
 *
 * Return: number of rows changed (or found) >= 0; -EEXIST on a violated
 * constraint, -EBUSY, -ENOSPC, or -EIO.
 */
int64_t db_run(struct db *db, const char *operation, const char *collection, db_row_fn *row, void *ctx,
	       const char *sql, const char *types, ...);

#endif
