/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "health.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <probemeter/integr8scode.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "clock.h"
#include "db.h"
#include "events.h"
#include "language.h"
#include "limit_store.h"
#include "log.h"
#include "ticker.h"
#include "truth.h"

#define MAX_BACKLOG_AGE_S 10.0
#define MIN_DISK_FREE (16ull << 20)

struct health {
	struct health_parts with;
	pthread_mutex_t lock;		/* one round of checks at a time: levels in order */
	bool known, up;			/* outcome of the last round, to log changes only */
	struct ticker *ticker;
};

/* Return: 0 if the dependency works, or -errno. */
typedef int check_fn(const struct health_parts *with);

static int check_database(const struct health_parts *with)
{
	int64_t rows = db_run(with->db, "ping", "jobs", NULL, NULL, "SELECT 1 FROM jobs LIMIT 1", "");

	return rows < 0 ? (int)rows : 0;
}

static int check_event_log(const struct health_parts *with)
{
	return events_healthy(with->events, MAX_BACKLOG_AGE_S) ? 0 : -ETIMEDOUT;
}

static int check_limit_store(const struct health_parts *with)
{
	return limit_store_ping(with->limit_store);
}

/* Room, and a file that can be written. */
static int check_disk(const struct health_parts *with)
{
	char path[PATH_MAX];
	struct statvfs fs;
	int fd, err = 0;

	if (statvfs(with->data_dir, &fs))
		return -errno;
	if ((unsigned long long)fs.f_bavail * fs.f_frsize < MIN_DISK_FREE)
		return -ENOSPC;
	snprintf(path, sizeof(path), "%s/health.probe", with->data_dir);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, "probe", 5) != 5)
		err = -EIO;
	close(fd);
	(void)unlink(path);
	return err;
}

static int check_language(const struct health_parts *with, size_t index)
{
	char version[20];

	return language_probe(with->runner, language_at(index), version, sizeof(version));
}

static int check_bash(const struct health_parts *with)
{
	return check_language(with, LANGUAGE_BASH);
}

static int check_python(const struct health_parts *with)
{
	return check_language(with, LANGUAGE_PYTHON);
}

static const struct {
	const char *name;
	check_fn *check;
} checks[] = {
	{ "database", check_database },
	{ "event_log", check_event_log },
	{ "limit_store", check_limit_store },
	{ "disk", check_disk },
	{ "bash", check_bash },
	{ "python", check_python },
};

int health_create(const struct health_parts *parts, struct health **ret)
{
	struct health *health = calloc(1, sizeof(*health));

	if (!health)
		return -ENOMEM;
	health->with = *parts;
	pthread_mutex_init(&health->lock, NULL);
	*ret = health;
	return 0;
}

static void record(const char *name, bool up, double took_s)
{
	const char *status = up ? "healthy" : "unhealthy";

	PROBEMETER_ADD(health_checks_total, 1, name, status);
	PROBEMETER_RECORD(health_check_duration, took_s, name);
	PROBEMETER_SET(health_dependencies_status, up, name);
	truth_add("health.checks.total", 1, name, status, NULL);
	truth_record("health.check.duration", took_s, name, NULL);
	truth_set("health.dependencies.status", up, name, NULL);
}

static struct json_object *check_json(int err, double took_s)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "status", json_object_new_string(err ? "unhealthy" : "healthy"));
	json_object_object_add(o, "duration_s", json_object_new_double(took_s));
	if (err)
		json_object_object_add(o, "error", json_object_new_string(strerror(-err)));
	return o;
}

bool health_check(struct health *health, struct json_object **ret)
{
	struct json_object *all = json_object_new_object();
	char down[128] = "";
	double start_s, took_s;
	size_t len;
	bool up;
	int err;

	pthread_mutex_lock(&health->lock);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		start_s = clock_mono_s();
		err = checks[i].check(&health->with);
		took_s = clock_mono_s() - start_s;
		record(checks[i].name, !err, took_s);
		json_object_object_add(all, checks[i].name, check_json(err, took_s));
		len = strlen(down);
		if (err)
			snprintf(down + len, sizeof(down) - len, " %s", checks[i].name);
	}
	up = !down[0];
	if (!up && (!health->known || health->up))
		log_warn("health: down:%s", down);
	else if (up && health->known && !health->up)
		log_info("health: everything is up again");
	health->known = true;
	health->up = up;
	pthread_mutex_unlock(&health->lock);

	if (ret)
		*ret = all;
	else
		json_object_put(all);
	return up;
}

static void tick(void *ctx)
{
	(void)health_check(ctx, NULL);
}

int health_start(struct health *health, int period_ms)
{
	return ticker_start(period_ms / 1e3, tick, health, &health->ticker);
}

void health_stop(struct health *health)
{
	if (!health)
		return;
	ticker_stop(health->ticker);
	health->ticker = NULL;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	health_stop(health);
	pthread_mutex_destroy(&health->lock);
	free(health);
}
