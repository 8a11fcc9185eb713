/* SPDX-License-Identifier: BSD-2-Clause */
#include "dlq.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <probemeter/integr8scode.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "db.h"
#include "log.h"
#include "ticker.h"
#include "truth.h"

#define SCAN_PERIOD_S 0.1
#define SCAN_BATCH 16

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS dlq ("
	" id INTEGER PRIMARY KEY, topic TEXT, type TEXT, key TEXT, payload TEXT, reason TEXT,"
	" attempt INTEGER, due REAL);"		/* due NULL: parked */
	"CREATE INDEX IF NOT EXISTS dlq_by_due ON dlq(due);";

static const char *const topics[] = { TOPIC_REQUESTS, TOPIC_RESULTS, TOPIC_NOTIFICATIONS };

#define NR_TOPICS (sizeof(topics) / sizeof(topics[0]))

struct dlq {
	struct db *db;
	struct events *events;
	struct dlq_config config;
	pthread_mutex_t lock;		/* a change of the table, and what is derived from it */
	double next_due_s;		/* nothing is due before; saves asking the table in vain */
	struct ticker *ticker;
};

struct letter {
	int64_t id;
	const char *topic;
	char *type, *key, *payload;
	int attempt;
};

struct batch {
	struct letter letters[SCAN_BATCH];
	size_t n;
};

const char *dlq_schema(void)
{
	return schema;
}

static void count_row(void *ctx, sqlite3_stmt *row)
{
	*(int64_t *)ctx = sqlite3_column_int64(row, 0);
}

/* Called with the lock held: counts the table, so that the level is never a guess. */
static void size_set(struct dlq *dlq, const char *topic)
{
	int64_t size = 0;

	if (db_run(dlq->db, "count", "dlq", count_row, &size, "SELECT count(*) FROM dlq WHERE topic = ?", "t",
		   topic) < 0)
		return;
	PROBEMETER_SET(dlq_size, size, topic);
	truth_set("dlq.size", size, topic, NULL);
}

int dlq_create(struct db *db, struct events *events, const struct dlq_config *config, struct dlq **ret)
{
	struct dlq *dlq = calloc(1, sizeof(*dlq));

	if (!dlq)
		return -ENOMEM;
	dlq->db = db;
	dlq->events = events;
	dlq->config = *config;
	dlq->next_due_s = 0;		/* the table may hold letters of an earlier run */
	pthread_mutex_init(&dlq->lock, NULL);
	for (size_t i = 0; i < NR_TOPICS; i++)
		size_set(dlq, topics[i]);
	*ret = dlq;
	return 0;
}

int dlq_put(struct dlq *dlq, const char *topic, const char *type, const char *key, const char *payload,
	    const char *reason, int attempt, bool park)
{
	double due_s = clock_unix_s() + dlq->config.backoff_ms / 1e3 * (1 << (attempt > 10 ? 10 : attempt - 1));
	int64_t rows;

	pthread_mutex_lock(&dlq->lock);
	rows = db_run(dlq->db, "insert", "dlq", NULL, NULL,
		"INSERT INTO dlq (topic, type, key, payload, reason, attempt, due)"
		" VALUES (?, ?, ?, ?, ?, ?, CASE WHEN ? THEN NULL ELSE ? END)", "tttttiid",
		topic, type, key, payload, reason, (int64_t)attempt, (int64_t)park, due_s);
	if (rows >= 0) {
		PROBEMETER_ADD(dlq_messages_total, 1, topic, reason);
		truth_add("dlq.messages.total", 1, topic, reason, NULL);
		size_set(dlq, topic);
		if (!park)
			dlq->next_due_s = fmin(dlq->next_due_s, due_s);
	}
	pthread_mutex_unlock(&dlq->lock);
	return rows < 0 ? (int)rows : 0;
}

bool dlq_exhausted(const struct dlq *dlq, int attempt)
{
	return attempt >= dlq->config.max_attempts;
}

void dlq_dead(void *ctx, const struct event *event, const char *error_type)
{
	struct dlq *dlq = ctx;
	int attempt = event->attempt + 1;
	int err;

	err = dlq_put(dlq, event->topic, event->type, event->key, event->payload, error_type, attempt,
		      dlq_exhausted(dlq, attempt));
	if (err)
		log_warn("dlq: '%s' of '%s' on '%s' is lost: %s", event->type, event->key, event->topic,
			 strerror(-err));
}

static char *column_dup(sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);

	return strdup(text ? text : "");
}

static void letter_row(void *ctx, sqlite3_stmt *row)
{
	struct batch *batch = ctx;
	struct letter *letter = &batch->letters[batch->n++];

	letter->id = sqlite3_column_int64(row, 0);
	letter->topic = events_topic((const char *)sqlite3_column_text(row, 1));
	letter->type = column_dup(row, 2);
	letter->key = column_dup(row, 3);
	letter->payload = column_dup(row, 4);
	letter->attempt = sqlite3_column_int(row, 5);
}

/* Called with the lock held. Produced, then deleted: a crash in between repeats an event rather than losing it. */
static void give_back(struct dlq *dlq, const struct letter *letter)
{
	if (!letter->topic || !letter->type || !letter->key || !letter->payload)
		return;
	if (events_produce(dlq->events, letter->topic, letter->type, letter->key, letter->payload, letter->attempt))
		return;
	PROBEMETER_ADD(dlq_retries_total, 1, letter->topic);
	truth_add("dlq.retries.total", 1, letter->topic, NULL);
	(void)db_run(dlq->db, "delete", "dlq", NULL, NULL, "DELETE FROM dlq WHERE id = ?", "i", letter->id);
	size_set(dlq, letter->topic);
}

static void due_row(void *ctx, sqlite3_stmt *row)
{
	if (sqlite3_column_type(row, 0) != SQLITE_NULL)
		*(double *)ctx = sqlite3_column_double(row, 0);
}

static void scan(void *ctx)
{
	struct batch batch = { .n = 0 };
	double next_due_s = INFINITY;
	struct dlq *dlq = ctx;

	pthread_mutex_lock(&dlq->lock);
	if (clock_unix_s() < dlq->next_due_s)
		goto out;
	(void)db_run(dlq->db, "find", "dlq", letter_row, &batch,
		"SELECT id, topic, type, key, payload, attempt FROM dlq WHERE due <= ? ORDER BY due LIMIT ?",
		"di", clock_unix_s(), (int64_t)SCAN_BATCH);
	for (size_t i = 0; i < batch.n; i++) {
		give_back(dlq, &batch.letters[i]);
		free(batch.letters[i].type);
		free(batch.letters[i].key);
		free(batch.letters[i].payload);
	}
	if (db_run(dlq->db, "find", "dlq", due_row, &next_due_s, "SELECT min(due) FROM dlq", "") >= 0)
		dlq->next_due_s = next_due_s;
out:
	pthread_mutex_unlock(&dlq->lock);
}

int dlq_start(struct dlq *dlq)
{
	return ticker_start(SCAN_PERIOD_S, scan, dlq, &dlq->ticker);
}

int64_t dlq_retry(struct dlq *dlq, const char *topic)
{
	int64_t rows;

	pthread_mutex_lock(&dlq->lock);
	rows = db_run(dlq->db, "update", "dlq", NULL, NULL,
		      "UPDATE dlq SET due = 0 WHERE topic = coalesce(?, topic)", "t", topic);
	dlq->next_due_s = 0;
	pthread_mutex_unlock(&dlq->lock);
	return rows;
}

static void describe_row(void *ctx, sqlite3_stmt *row)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "topic", json_object_new_string((const char *)sqlite3_column_text(row, 0)));
	json_object_object_add(o, "type", json_object_new_string((const char *)sqlite3_column_text(row, 1)));
	json_object_object_add(o, "key", json_object_new_string((const char *)sqlite3_column_text(row, 2)));
	json_object_object_add(o, "reason", json_object_new_string((const char *)sqlite3_column_text(row, 3)));
	json_object_object_add(o, "attempt", json_object_new_int(sqlite3_column_int(row, 4)));
	json_object_object_add(o, "parked", json_object_new_boolean(sqlite3_column_int(row, 5)));
	json_object_array_add(ctx, o);
}

static void size_row(void *ctx, sqlite3_stmt *row)
{
	json_object_object_add(ctx, (const char *)sqlite3_column_text(row, 0),
			       json_object_new_int64(sqlite3_column_int64(row, 1)));
}

int dlq_describe(struct dlq *dlq, struct json_object **ret)
{
	struct json_object *all = json_object_new_object();
	struct json_object *letters = json_object_new_array(), *sizes = json_object_new_object();
	int64_t rows;

	json_object_object_add(all, "size", sizes);
	json_object_object_add(all, "letters", letters);
	for (size_t i = 0; i < NR_TOPICS; i++)
		json_object_object_add(sizes, topics[i], json_object_new_int(0));
	rows = db_run(dlq->db, "count", "dlq", size_row, sizes, "SELECT topic, count(*) FROM dlq GROUP BY topic", "");
	if (rows >= 0)
		rows = db_run(dlq->db, "find", "dlq", describe_row, letters,
			"SELECT topic, type, key, reason, attempt, due IS NULL FROM dlq ORDER BY id DESC LIMIT 100", "");
	if (rows < 0) {
		json_object_put(all);
		return (int)rows;
	}
	*ret = all;
	return 0;
}

void dlq_stop(struct dlq *dlq)
{
	if (!dlq)
		return;
	ticker_stop(dlq->ticker);
	dlq->ticker = NULL;
}

void dlq_free(struct dlq *dlq)
{
	if (!dlq)
		return;
	dlq_stop(dlq);
	pthread_mutex_destroy(&dlq->lock);
	free(dlq);
}
