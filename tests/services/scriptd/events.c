/* SPDX-License-Identifier: BSD-2-Clause */
#include "events.h"

#include <errno.h>
#include <probemeter/integr8scode.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "truth.h"

#define PARTITIONS 2
#define PARTITION_CAPACITY 10000

static const char *const topic_names[] = { TOPIC_REQUESTS, TOPIC_RESULTS, TOPIC_NOTIFICATIONS };
static const char *const partition_names[PARTITIONS] = { "0", "1" };

#define NR_TOPICS (sizeof(topic_names) / sizeof(topic_names[0]))

struct partition {
	pthread_mutex_t lock;
	pthread_cond_t grown;
	struct event *first, **last;
	uint64_t end, committed;	/* offsets: produced, consumed */
	double moved_s;			/* when @committed last moved, or work came to an idle consumer */
	bool closed, consumed;
	pthread_t consumer;
	struct topic *topic;
	const char *name;
};

struct topic {
	const char *name;
	events_fn *fn;
	events_dead_fn *dead;
	void *ctx, *dead_ctx;
	struct partition partitions[PARTITIONS];
};

struct events {
	struct topic topics[NR_TOPICS];
};

const char *events_topic(const char *name)
{
	for (size_t i = 0; i < NR_TOPICS; i++)
		if (!strcmp(topic_names[i], name))
			return topic_names[i];
	return NULL;
}

static struct topic *topic_find(struct events *events, const char *name)
{
	for (size_t i = 0; i < NR_TOPICS; i++)
		if (!strcmp(events->topics[i].name, name))
			return &events->topics[i];
	return NULL;
}

/* Called with the lock held, so that the levels are set in the order they were true. */
static void lag_set(struct partition *p)
{
	int64_t lag = (int64_t)(p->end - p->committed);

	PROBEMETER_SET(events_lag, lag, p->topic->name, p->name);
	truth_set("events.lag", lag, p->topic->name, p->name, NULL);
}

static void error_count(const char *event_type, const char *error_type)
{
	PROBEMETER_ADD(events_errors_total, 1, event_type, error_type);
	truth_add("events.errors.total", 1, event_type, error_type, NULL);
}

int events_create(struct events **ret)
{
	struct events *events = calloc(1, sizeof(*events));

	if (!events)
		return -ENOMEM;
	for (size_t t = 0; t < NR_TOPICS; t++) {
		struct topic *topic = &events->topics[t];

		topic->name = topic_names[t];
		for (size_t i = 0; i < PARTITIONS; i++) {
			struct partition *p = &topic->partitions[i];

			pthread_mutex_init(&p->lock, NULL);
			pthread_cond_init(&p->grown, NULL);
			p->last = &p->first;
			p->topic = topic;
			p->name = partition_names[i];
			lag_set(p);
		}
	}
	*ret = events;
	return 0;
}

static unsigned int hash_key(const char *key)
{
	unsigned int hash = 2166136261u;	/* FNV-1a */

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 16777619u;
	return hash;
}

int events_produce(struct events *events, const char *topic_name, const char *type, const char *key,
		   const char *payload, int attempt)
{
	struct topic *topic = topic_find(events, topic_name);
	struct event *event;
	struct partition *p;
	size_t size;
	int err = 0;

	if (!topic)
		return -ENOENT;
	size = strlen(payload) + 1;
	event = calloc(1, sizeof(*event) + size);
	if (!event)
		return -ENOMEM;
	event->topic = topic->name;
	event->attempt = attempt;
	snprintf(event->type, sizeof(event->type), "%s", type);
	snprintf(event->key, sizeof(event->key), "%s", key);
	memcpy(event->payload, payload, size);

	p = &topic->partitions[hash_key(key) % PARTITIONS];
	pthread_mutex_lock(&p->lock);
	if (p->closed) {
		err = -ESHUTDOWN;
	} else if (p->end - p->committed >= PARTITION_CAPACITY) {
		err = -ENOSPC;
	} else {
		/* Counted before a consumer can see it: consumed never exceeds produced. */
		PROBEMETER_ADD(events_produced_total, 1, type, topic->name);
		truth_add("events.produced.total", 1, type, topic->name, NULL);
		if (p->end == p->committed)
			p->moved_s = clock_mono_s();
		*p->last = event;
		p->last = &event->next;
		p->end++;
		lag_set(p);
		pthread_cond_signal(&p->grown);
	}
	pthread_mutex_unlock(&p->lock);
	if (err) {
		error_count(type, err == -ENOSPC ? "log_full" : "log_closed");
		free(event);
	}
	return err;
}

/* Return: the next event, or NULL once closed and empty. */
static struct event *partition_wait(struct partition *p)
{
	struct event *event;

	pthread_mutex_lock(&p->lock);
	while (!p->first && !p->closed)
		pthread_cond_wait(&p->grown, &p->lock);
	event = p->first;
	if (event) {
		p->first = event->next;
		if (!p->first)
			p->last = &p->first;
	}
	pthread_mutex_unlock(&p->lock);
	return event;
}

static void partition_commit(struct partition *p)
{
	pthread_mutex_lock(&p->lock);
	p->committed++;
	p->moved_s = clock_mono_s();
	lag_set(p);
	pthread_mutex_unlock(&p->lock);
}

static void process(struct topic *topic, const struct event *event)
{
	uint64_t start = PROBEMETER_START(events_processing_duration);
	const char *error_type = "other";
	double start_s = clock_mono_s();
	int err;

	err = topic->fn(topic->ctx, event, &error_type);
	PROBEMETER_RECORD_SINCE(events_processing_duration, start, event->type);
	truth_record("events.processing.duration", clock_mono_s() - start_s, event->type, NULL);

	PROBEMETER_ADD(events_consumed_total, 1, event->type, topic->name);
	truth_add("events.consumed.total", 1, event->type, topic->name, NULL);
	if (!err)
		return;
	error_count(event->type, error_type);
	topic->dead(topic->dead_ctx, event, error_type);
}

static void *consume(void *arg)
{
	struct partition *p = arg;
	struct event *event;

	while ((event = partition_wait(p))) {
		process(p->topic, event);
		free(event);
		partition_commit(p);
	}
	return NULL;
}

int events_consume(struct events *events, const char *name, events_fn *fn, void *ctx,
		   events_dead_fn *dead, void *dead_ctx)
{
	struct topic *topic = topic_find(events, name);
	int err;

	if (!topic)
		return -ENOENT;
	topic->fn = fn;
	topic->ctx = ctx;
	topic->dead = dead;
	topic->dead_ctx = dead_ctx;
	for (int i = 0; i < PARTITIONS; i++) {
		struct partition *p = &topic->partitions[i];

		err = pthread_create(&p->consumer, NULL, consume, p);
		if (err)
			return -err;
		p->consumed = true;
	}
	return 0;
}

bool events_healthy(struct events *events, double max_age_s)
{
	double now_s = clock_mono_s();
	bool healthy = true;

	for (size_t t = 0; t < NR_TOPICS; t++) {
		for (int i = 0; i < PARTITIONS; i++) {
			struct partition *p = &events->topics[t].partitions[i];

			pthread_mutex_lock(&p->lock);
			if (p->end != p->committed && now_s - p->moved_s > max_age_s)
				healthy = false;
			pthread_mutex_unlock(&p->lock);
		}
	}
	return healthy;
}

void events_drain(struct events *events, const char *name)
{
	struct topic *topic = topic_find(events, name);

	for (int i = 0; topic && i < PARTITIONS; i++) {
		struct partition *p = &topic->partitions[i];

		pthread_mutex_lock(&p->lock);
		p->closed = true;
		pthread_cond_broadcast(&p->grown);
		pthread_mutex_unlock(&p->lock);
		if (p->consumed)
			pthread_join(p->consumer, NULL);
		p->consumed = false;
	}
}

void events_free(struct events *events)
{
	struct event *event;

	if (!events)
		return;
	for (size_t t = 0; t < NR_TOPICS; t++) {
		events_drain(events, events->topics[t].name);
		for (int i = 0; i < PARTITIONS; i++) {
			struct partition *p = &events->topics[t].partitions[i];

			/* Left over only where no consumer was ever started. */
			while ((event = p->first)) {
				p->first = event->next;
				free(event);
			}
			pthread_cond_destroy(&p->grown);
			pthread_mutex_destroy(&p->lock);
		}
	}
	free(events);
}
