/* SPDX-License-Identifier: BSD-2-Clause */
/* queue - jobs waiting for a worker: by priority, and in order of arrival within one. */
#ifndef SCRIPTD_QUEUE_H
#define SCRIPTD_QUEUE_H

#include <stddef.h>

struct job;
struct queue;

int queue_create(size_t capacity, struct queue **ret);

/** queue_push - takes @job. Return: 0; -ENOSPC if full, -ESHUTDOWN if closed (the caller keeps it). */
int queue_push(struct queue *queue, struct job *job);

/** queue_pop - wait for a job, which is then the caller's. Return: NULL once closed. */
struct job *queue_pop(struct queue *queue);

/** queue_close - wake every waiter. Return: the jobs that waited, a list by ->next, now the caller's; or NULL. */
struct job *queue_close(struct queue *queue);

/** queue_free - with what it holds; NULL is fine */
void queue_free(struct queue *queue);

#endif
