/* SPDX-License-Identifier: BSD-2-Clause */
#include "limit_store.h"

#include <errno.h>
#include <probemeter/integr8scode.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "truth.h"

enum operation { BEGIN, COMMIT, HGET, HSET, ZREMRANGEBYSCORE, ZCARD, ZADD, EXPIRE_HASH, EXPIRE_SET, PING, NR_OPERATIONS };

/* The label of each operation, and its statement; ?1 is the key, ?2 and ?3 are numbers. */
static const struct {
	const char *label;
	const char *sql;
} operations[NR_OPERATIONS] = {
	[BEGIN] = { "multi", "BEGIN IMMEDIATE" },
	[COMMIT] = { "exec", "COMMIT" },
	[HGET] = { "hget", "SELECT tokens, at FROM hash WHERE key = ?1" },
	[HSET] = { "hset", "INSERT OR REPLACE INTO hash VALUES (?1, ?2, ?3)" },
	[ZREMRANGEBYSCORE] = { "zremrangebyscore", "DELETE FROM sorted_set WHERE key = ?1 AND at <= ?2" },
	[ZCARD] = { "zcard", "SELECT count(*), min(at) FROM sorted_set WHERE key = ?1" },
	[ZADD] = { "zadd", "INSERT INTO sorted_set VALUES (?1, ?2)" },
	[EXPIRE_HASH] = { "expire", "DELETE FROM hash WHERE at < ?2" },
	[EXPIRE_SET] = { "expire", "DELETE FROM sorted_set WHERE at < ?2" },
	[PING] = { "ping", "SELECT 1" },
};

static const char schema[] =
	/* A cache: what a crash of the machine loses is not missed. */
	"PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;"
	"DROP TABLE IF EXISTS hash; DROP TABLE IF EXISTS sorted_set;"
	"CREATE TABLE hash (key TEXT PRIMARY KEY, tokens REAL, at REAL);"
	"CREATE TABLE sorted_set (key TEXT, at REAL);"
	"CREATE INDEX sorted_set_by_key ON sorted_set(key, at);";

struct limit_store {
	pthread_mutex_t lock;		/* held from begin to end */
	sqlite3 *handle;
	sqlite3_stmt *statements[NR_OPERATIONS];
};

int limit_store_open(const char *path, struct limit_store **ret)
{
	struct limit_store *store = calloc(1, sizeof(*store));
	int rc;

	if (!store)
		return -ENOMEM;
	pthread_mutex_init(&store->lock, NULL);
	rc = sqlite3_open_v2(path, &store->handle,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(store->handle, schema, NULL, NULL, NULL);
	for (int i = 0; rc == SQLITE_OK && i < NR_OPERATIONS; i++)
		rc = sqlite3_prepare_v2(store->handle, operations[i].sql, -1, &store->statements[i], NULL);
	if (rc != SQLITE_OK) {
		log_warn("limit_store: cannot open '%s': %s", path, sqlite3_errstr(rc));
		limit_store_close(store);
		return -EIO;
	}
	*ret = store;
	return 0;
}

void limit_store_close(struct limit_store *store)
{
	if (!store)
		return;
	for (int i = 0; i < NR_OPERATIONS; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->handle);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

/*
 * Run one operation with the lock held; up to two numbers of a row go to
 * @first and @second. Return: rows found, or -EIO.
 */
static int operate(struct limit_store *store, enum operation operation, const char *key, double a, double b,
		   double *first, double *second)
{
	sqlite3_stmt *stmt = store->statements[operation];
	double start_s = clock_mono_s(), took_ms;
	int rc, rows = 0;

	/* Binding what a statement does not use is refused, and does not matter. */
	(void)sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
	(void)sqlite3_bind_double(stmt, 2, a);
	(void)sqlite3_bind_double(stmt, 3, b);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		rows++;
		if (first)
			*first = sqlite3_column_double(stmt, 0);
		if (second)
			*second = sqlite3_column_double(stmt, 1);
	}
	sqlite3_reset(stmt);
	took_ms = (clock_mono_s() - start_s) * 1e3;
	PROBEMETER_RECORD(rate_limit_redis_duration, took_ms, operations[operation].label);
	truth_record("rate_limit.redis.duration", took_ms, operations[operation].label, NULL);
	return rc == SQLITE_DONE ? rows : -EIO;
}

int limit_store_begin(struct limit_store *store)
{
	int err;

	pthread_mutex_lock(&store->lock);
	err = operate(store, BEGIN, NULL, 0, 0, NULL, NULL);
	if (err < 0)
		pthread_mutex_unlock(&store->lock);
	return err < 0 ? err : 0;
}

int limit_store_end(struct limit_store *store)
{
	int err = operate(store, COMMIT, NULL, 0, 0, NULL, NULL);

	if (err < 0)
		(void)sqlite3_exec(store->handle, "ROLLBACK", NULL, NULL, NULL);
	pthread_mutex_unlock(&store->lock);
	return err < 0 ? err : 0;
}

int limit_store_hget(struct limit_store *store, const char *key, double *tokens, double *at_s)
{
	int rows = operate(store, HGET, key, 0, 0, tokens, at_s);

	return rows < 0 ? rows : rows == 0 ? -ENOENT : 0;
}

int limit_store_hset(struct limit_store *store, const char *key, double tokens, double at_s)
{
	return operate(store, HSET, key, tokens, at_s, NULL, NULL);
}

int limit_store_zremrangebyscore(struct limit_store *store, const char *key, double until_s)
{
	return operate(store, ZREMRANGEBYSCORE, key, until_s, 0, NULL, NULL);
}

int limit_store_zcard(struct limit_store *store, const char *key, double *oldest_s)
{
	double count = 0;
	int rows = operate(store, ZCARD, key, 0, 0, &count, oldest_s);

	return rows < 0 ? rows : (int)count;
}

int limit_store_zadd(struct limit_store *store, const char *key, double at_s)
{
	return operate(store, ZADD, key, at_s, 0, NULL, NULL);
}

int limit_store_expire(struct limit_store *store, double before_s)
{
	int err = operate(store, EXPIRE_HASH, NULL, before_s, 0, NULL, NULL);

	return err < 0 ? err : operate(store, EXPIRE_SET, NULL, before_s, 0, NULL, NULL);
}

int limit_store_ping(struct limit_store *store)
{
	int err;

	pthread_mutex_lock(&store->lock);
	err = operate(store, PING, NULL, 0, 0, NULL, NULL);
	pthread_mutex_unlock(&store->lock);
	return err < 0 ? err : 0;
}
