/* SPDX-License-Identifier: BSD-2-Clause */
#include "queue.h"

#include <errno.h>
#include <probemeter/integr8scode.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "clock.h"
#include "job.h"
#include "language.h"
#include "truth.h"

struct list {
	struct job *first, **end;
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct list lists[NR_PRIORITIES];
	size_t depth, capacity;
	bool closed;
};

static void list_reset(struct list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

int queue_create(size_t capacity, struct queue **ret)
{
	struct queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->filled, NULL);
	queue->capacity = capacity;
	for (int i = 0; i < NR_PRIORITIES; i++)
		list_reset(&queue->lists[i]);
	*ret = queue;
	return 0;
}

/* Called with the lock held. */
static void depth_move(struct queue *queue, int by)
{
	queue->depth += (size_t)by;
	PROBEMETER_ADD(execution_queue_depth, by);
	truth_add("execution.queue.depth", by, NULL);
}

int queue_push(struct queue *queue, struct job *job)
{
	struct list *list = &queue->lists[job->priority];
	int err = 0;

	pthread_mutex_lock(&queue->lock);
	if (queue->closed) {
		err = -ESHUTDOWN;
	} else if (queue->depth == queue->capacity) {
		err = -ENOSPC;
	} else {
		job->queued_s = clock_mono_s();
		job->next = NULL;
		*list->end = job;
		list->end = &job->next;
		depth_move(queue, 1);
		pthread_cond_signal(&queue->filled);
	}
	pthread_mutex_unlock(&queue->lock);
	return err;
}

/* Called with the lock held. */
static struct job *take_first(struct queue *queue)
{
	for (int i = 0; i < NR_PRIORITIES; i++) {
		struct list *list = &queue->lists[i];
		struct job *job = list->first;

		if (!job)
			continue;
		list->first = job->next;
		if (!list->first)
			list_reset(list);
		depth_move(queue, -1);
		return job;
	}
	return NULL;
}

struct job *queue_pop(struct queue *queue)
{
	struct job *job = NULL;
	const char *lang;
	double waited_s;

	pthread_mutex_lock(&queue->lock);
	while (!queue->closed && !(job = take_first(queue)))
		pthread_cond_wait(&queue->filled, &queue->lock);
	pthread_mutex_unlock(&queue->lock);
	if (!job)
		return NULL;

	waited_s = clock_mono_s() - job->queued_s;
	lang = job->language->lang_and_version;
	PROBEMETER_RECORD(execution_queue_wait_time, waited_s, lang);
	PROBEMETER_RECORD(coordinator_queue_wait_time, waited_s, priority_name(job->priority));
	truth_record("execution.queue.wait_time", waited_s, lang, NULL);
	truth_record("coordinator.queue.wait_time", waited_s, priority_name(job->priority), NULL);
	return job;
}

struct job *queue_close(struct queue *queue)
{
	struct job *jobs = NULL, **end = &jobs, *job;

	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	while ((job = take_first(queue))) {
		job->next = NULL;
		*end = job;
		end = &job->next;
	}
	pthread_cond_broadcast(&queue->filled);
	pthread_mutex_unlock(&queue->lock);
	return jobs;
}

void queue_free(struct queue *queue)
{
	struct job *jobs, *next;

	if (!queue)
		return;
	for (jobs = queue_close(queue); jobs; jobs = next) {
		next = jobs->next;
		job_free(jobs);
	}
	pthread_cond_destroy(&queue->filled);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}
