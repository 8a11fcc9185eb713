/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "service.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "api.h"
#include "clock.h"
#include "coordinator.h"
#include "db.h"
#include "dlq.h"
#include "events.h"
#include "executor.h"
#include "health.h"
#include "http.h"
#include "language.h"
#include "launcher.h"
#include "limit_store.h"
#include "limiter.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "queue.h"
#include "results.h"
#include "runner.h"
#include "store.h"
#include "stream.h"

#define DB_HANDLES 8

struct service {
	struct options options;
	int lock_fd;
	struct launcher *launcher;
	struct runner *runner;
	struct db *db;
	struct limit_store *limit_store;
	struct limiter *limiter;
	struct events *events;
	struct dlq *dlq;
	struct queue *queue;
	struct stream *stream;
	struct coordinator *coordinator;
	struct results results;
	struct notify *notify;
	struct executor *executor;
	struct health *health;
	struct api api;
	struct http *http;
};

static const char *data_path(const struct service *service, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", service->options.data_dir, name);
	return path;
}

/* Two services over one directory would run every stored job twice. */
static int lock_data(struct service *service)
{
	char path[PATH_MAX];
	int err;

	service->lock_fd = open(data_path(service, "lock", path), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (service->lock_fd < 0) {
		err = -errno;
		log_warn("cannot write in '%s': %s", service->options.data_dir, strerror(-err));
		return err;
	}
	if (flock(service->lock_fd, LOCK_EX | LOCK_NB)) {
		err = -errno;
		log_warn("'%s' is used by another scriptd; choose another --data", service->options.data_dir);
		return err;
	}
	return 0;
}

static int start_stores(struct service *service)
{
	char path[PATH_MAX], *schema;
	int err;

	err = lock_data(service);
	if (err)
		return err;
	if (asprintf(&schema, "%s%s", store_schema(), dlq_schema()) < 0)
		return -ENOMEM;
	err = db_open(data_path(service, "jobs.db", path), schema, DB_HANDLES, &service->db);
	free(schema);
	if (err)
		return err;
	return limit_store_open(data_path(service, "limits.db", path), &service->limit_store);
}

static int start_runner(struct service *service)
{
	int err;

	err = runner_create(service->launcher, (unsigned int)service->options.memory_mib, &service->runner);
	if (err)
		return err;
	language_init(service->runner, service->options.bash, service->options.python);
	return 0;
}

static int create_parts(struct service *service)
{
	struct dlq_config dlq = {
		.max_attempts = service->options.dlq_attempts,
		.backoff_ms = service->options.dlq_backoff_ms,
	};
	char path[PATH_MAX];
	int err;

	err = limiter_create(service->limit_store, &service->limiter);
	if (!err)
		err = events_create(&service->events);
	if (!err)
		err = dlq_create(service->db, service->events, &dlq, &service->dlq);
	if (!err)
		err = queue_create((size_t)service->options.queue_capacity, &service->queue);
	if (!err)
		err = stream_create(&service->stream);
	if (!err)
		err = notify_create(data_path(service, "notifications.log", path), service->options.webhook_timeout_ms,
				    &service->notify);
	if (err)
		return err;

	service->results = (struct results){ .db = service->db, .events = service->events };
	err = coordinator_create(&(struct coordinator_parts){
		.db = service->db, .queue = service->queue, .events = service->events, .dlq = service->dlq,
		.stream = service->stream }, &service->coordinator);
	if (err)
		return err;
	return health_create(&(struct health_parts){
		.db = service->db, .events = service->events, .limit_store = service->limit_store,
		.runner = service->runner, .data_dir = service->options.data_dir }, &service->health);
}

static void resubmit(void *ctx, const char *id)
{
	struct service *service = ctx;
	int err;

	err = coordinator_submit(service->coordinator, id);
	if (err)
		log_warn("job '%s' from an earlier run waits for the next start: %s", id, strerror(-err));
}

static int start_threads(struct service *service)
{
	int err;

	err = events_consume(service->events, TOPIC_NOTIFICATIONS, notify_deliver, service->notify, dlq_dead,
			     service->dlq);
	if (!err)
		err = events_consume(service->events, TOPIC_RESULTS, results_process, &service->results, dlq_dead,
				     service->dlq);
	if (!err)
		err = executor_start(service->queue, service->runner, service->coordinator,
				     (unsigned int)service->options.workers, &service->executor);
	if (!err)
		err = events_consume(service->events, TOPIC_REQUESTS, coordinator_schedule, service->coordinator,
				     dlq_dead, service->dlq);
	if (!err)
		err = dlq_start(service->dlq);
	if (!err)
		err = health_start(service->health, service->options.health_ms);
	return err;
}

static int start_http(struct service *service, int *port)
{
	struct http_config config = {
		.port = service->options.port,
		.ctx = &service->api,
		.limiter = service->limiter,
	};
	int err;

	service->api = (struct api){
		.db = service->db,
		.coordinator = service->coordinator,
		.stream = service->stream,
		.dlq = service->dlq,
		.health = service->health,
		.default_timeout_ms = service->options.timeout_ms,
		.started_s = clock_mono_s(),
	};
	config.routes = api_routes(&config.nr_routes);
	err = http_start(&config, port, &service->http);
	if (err)
		log_warn("cannot listen on 127.0.0.1:%d: %s; choose another --port, 0 picks a free one",
			 service->options.port, strerror(-err));
	return err;
}

int service_start(const struct options *options, struct launcher *launcher, int *port, struct service **ret)
{
	struct service *service = calloc(1, sizeof(*service));
	int err;

	if (!service) {
		launcher_stop(launcher);
		return -ENOMEM;
	}
	service->options = *options;
	service->launcher = launcher;
	service->lock_fd = -1;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	err = start_stores(service);
	if (!err)
		err = start_runner(service);
	if (!err)
		err = create_parts(service);
	/* Before the port opens, or a new job could be taken for one of an earlier run. */
	if (!err)
		err = store_each_unfinished(service->db, resubmit, service);
	/* Before the threads: if the port is taken, no stored job has begun to run. */
	if (!err)
		err = start_http(service, port);
	if (!err)
		err = start_threads(service);
	if (err) {
		service_stop(service);
		service_free(service);
		return err;
	}
	*ret = service;
	return 0;
}

/*
 * Upstream first. Jobs that wait stay "queued" and notifications become dead
 * letters in the database, where the next start finds both.
 */
void service_stop(struct service *service)
{
	if (service->stream)
		stream_shutdown(service->stream);
	http_stop(service->http);
	service->http = NULL;
	health_stop(service->health);
	dlq_stop(service->dlq);
	if (service->events)
		events_drain(service->events, TOPIC_REQUESTS);
	executor_stop(service->executor, service->options.grace_ms);
	service->executor = NULL;
	if (service->events) {
		events_drain(service->events, TOPIC_RESULTS);
		notify_stop(service->notify);
		events_drain(service->events, TOPIC_NOTIFICATIONS);
	}
	launcher_stop(service->launcher);
	service->launcher = NULL;
	db_close(service->db);
	service->db = NULL;
}

void service_free(struct service *service)
{
	if (!service)
		return;
	health_free(service->health);
	notify_free(service->notify);
	coordinator_free(service->coordinator);
	stream_free(service->stream);
	queue_free(service->queue);
	dlq_free(service->dlq);
	events_free(service->events);
	limiter_free(service->limiter);
	limit_store_close(service->limit_store);
	runner_free(service->runner);
	if (service->lock_fd >= 0)
		close(service->lock_fd);
	curl_global_cleanup();
	free(service);
}
