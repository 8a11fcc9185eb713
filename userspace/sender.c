/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sender.c - a thread around ship.c, so that a slow collector does not keep new processes waiting.
 *
 * Consumes the requests of one export at a time; produces a verdict on each. Retrying within one request is ship.c's; what
 * an outage means, the caller's: totals and deltas alike make a lost export whole with the next.
 */
#include "sender.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "options.h"

enum state { IDLE, GIVEN, DONE };

/* One export: its requests, and beside them their results. */
struct job {
	struct request *request; /* bodies are the job's own */
	struct sender_result *result;
	size_t count;
};

struct sender {
	struct ship *ship;
	uint64_t budget_ms; /* of the last export; of the others too, but for the interval's end */
	uint64_t turn_ms; /* so that no export runs into the next one's time */
	unsigned backoff_ms;
	int done_fd; /* readable: a result or trouble is there */
	int stop_fd; /* readable: end waits */
	pthread_t thread;
	bool running;
	uint64_t ended_ms; /* when end began */
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	enum state state;
	bool ending;
	struct job job; /* the thread's while GIVEN */
	bool troubled; /* @trouble is there, and not read yet */
	struct ship_result trouble;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void job_free(struct job *job)
{
	size_t i;

	for (i = 0; i < job->count && job->request; i++)
		free((void *)job->request[i].body);
	free(job->request);
	free(job->result);
	*job = (struct job){ 0 };
}

static int job_copy(const struct requests *requests, struct job *ret)
{
	struct job job = { .count = requests->count };
	size_t i;

	job.request = calloc(job.count + 1, sizeof(*job.request));
	job.result = calloc(job.count + 1, sizeof(*job.result));
	if (!job.request || !job.result)
		goto fail;
	for (i = 0; i < job.count; i++) {
		const struct request *from = &requests->request[i];
		uint8_t *body = malloc(from->size ? from->size : 1);

		if (!body)
			goto fail;
		memcpy(body, from->body, from->size);
		job.request[i] = (struct request){ body, from->size, from->first, from->count };
		job.result[i] = (struct sender_result){ .first = from->first, .count = from->count };
	}
	*ret = job;
	return 0;
fail:
	job_free(&job);
	return -ENOMEM;
}

static enum delivery delivery_of(int err, const struct ship_result *result)
{
	if (!err)
		return DELIVERY_DONE;
	if (result->uncertain)
		return DELIVERY_UNCERTAIN;
	if (!result->retryable && (err == -EREMOTEIO || err == -EMSGSIZE || err == -EPROTO))
		return DELIVERY_REFUSED;
	return DELIVERY_FAILED;
}

static bool is_ending(struct sender *sender)
{
	bool ending;

	(void)pthread_mutex_lock(&sender->lock);
	ending = sender->ending;
	(void)pthread_mutex_unlock(&sender->lock);
	return ending;
}

/* The first try has failed, and there will be others. */
static void note_trouble(void *context, const struct ship_result *so_far)
{
	struct sender *sender = context;
	uint64_t one = 1;

	(void)pthread_mutex_lock(&sender->lock);
	sender->troubled = true;
	sender->trouble = *so_far;
	/* Under the lock: a wake-up behind the reading of what it is for would never be read, and poll() never wait again. */
	(void)!write(sender->done_fd, &one, sizeof(one));
	(void)pthread_mutex_unlock(&sender->lock);
}

/* @all: the limits of all requests together. A body is given back with its verdict, so that the next export's do not stand
 * beside those of this one. */
static void job_send(struct sender *sender, const struct job *job, const struct ship_limit *all)
{
	uint64_t deadline = now_ms() + all->budget_ms, now;
	size_t i;

	for (i = 0; i < job->count; i++) {
		struct request *request = &job->request[i];
		struct sender_result *result = &job->result[i];
		struct ship_limit limit = *all;

		now = now_ms();
		if (i && (now >= deadline || (all->stop_fd >= 0 && is_ending(sender))))
			return;
		limit.budget_ms = deadline > now ? deadline - now : 1;
		result->err = ship_send(sender->ship, request->body, request->size, &limit, &result->ship);
		free((void *)request->body);
		request->body = NULL;
		result->delivery = delivery_of(result->err, &result->ship);
		if (result->delivery != DELIVERY_DONE && result->delivery != DELIVERY_REFUSED)
			return;
	}
}

static void *work(void *context)
{
	struct sender *sender = context;
	/* A collector that is slower than the interval is waited for: to cut it short would lose the answer, and a delta with
	 * it would be told twice. */
	const struct ship_limit limit = { .budget_ms = sender->turn_ms, .answer_ms = sender->budget_ms, .stop_fd = sender->stop_fd,
					  .backoff_ms = sender->backoff_ms, .troubled = note_trouble, .context = sender };
	struct job job;
	uint64_t one = 1;

	(void)pthread_mutex_lock(&sender->lock);
	while (!sender->ending) {
		if (sender->state != GIVEN) {
			(void)pthread_cond_wait(&sender->changed, &sender->lock);
			continue;
		}
		job = sender->job;
		(void)pthread_mutex_unlock(&sender->lock);
		job_send(sender, &job, &limit);
		(void)pthread_mutex_lock(&sender->lock);
		sender->state = DONE;
		if (write(sender->done_fd, &one, sizeof(one)) != sizeof(one))
			break;
	}
	(void)pthread_mutex_unlock(&sender->lock);
	return NULL;
}

struct sender *sender_new(const struct options *options)
{
	struct sender *sender = calloc(1, sizeof(*sender));

	if (!sender)
		return NULL;
	(void)pthread_mutex_init(&sender->lock, NULL);
	(void)pthread_cond_init(&sender->changed, NULL);
	sender->budget_ms = options->export_timeout_ms;
	sender->turn_ms = options->interval_ms < sender->budget_ms ? options->interval_ms : sender->budget_ms;
	sender->backoff_ms = options->backoff_ms;
	sender->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sender->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sender->ship = ship_new(options);
	sender->running = sender->ship && sender->done_fd >= 0 && sender->stop_fd >= 0 &&
			  !pthread_create(&sender->thread, NULL, work, sender);
	if (!sender->running) {
		sender_free(sender);
		return NULL;
	}
	return sender;
}

int sender_submit(struct sender *sender, const struct requests *requests)
{
	struct job job;
	int err;

	if (sender_busy(sender))
		return -EBUSY;
	err = job_copy(requests, &job);
	if (err)
		return err;
	(void)pthread_mutex_lock(&sender->lock);
	job_free(&sender->job);
	sender->job = job;
	sender->state = GIVEN;
	(void)pthread_cond_signal(&sender->changed);
	(void)pthread_mutex_unlock(&sender->lock);
	return 0;
}

bool sender_busy(struct sender *sender)
{
	bool busy;

	(void)pthread_mutex_lock(&sender->lock);
	busy = sender->state != IDLE;
	(void)pthread_mutex_unlock(&sender->lock);
	return busy;
}

int sender_fd(const struct sender *sender)
{
	return sender->done_fd;
}

bool sender_trouble(struct sender *sender, struct ship_result *ret)
{
	uint64_t count;
	bool fresh;

	(void)pthread_mutex_lock(&sender->lock);
	fresh = sender->troubled;
	if (fresh) {
		/* A result that came meanwhile is asked for next, so that its wake-up may go with this one's. */
		(void)!read(sender->done_fd, &count, sizeof(count));
		*ret = sender->trouble;
		sender->troubled = false;
	}
	(void)pthread_mutex_unlock(&sender->lock);
	return fresh;
}

size_t sender_results(struct sender *sender, const struct sender_result **ret)
{
	size_t count = 0;
	uint64_t drained;

	(void)pthread_mutex_lock(&sender->lock);
	if (sender->state == DONE) {
		(void)!read(sender->done_fd, &drained, sizeof(drained));
		*ret = sender->job.result;
		count = sender->job.count;
		sender->state = IDLE;
	}
	(void)pthread_mutex_unlock(&sender->lock);
	return count;
}

void sender_end(struct sender *sender)
{
	uint64_t one = 1;

	if (!sender->running)
		return;
	sender->ended_ms = now_ms();
	(void)pthread_mutex_lock(&sender->lock);
	sender->ending = true;
	(void)pthread_cond_signal(&sender->changed);
	(void)pthread_mutex_unlock(&sender->lock);
	(void)!write(sender->stop_fd, &one, sizeof(one));
	(void)pthread_join(sender->thread, NULL);
	sender->running = false;
}

int sender_flush(struct sender *sender, const struct requests *requests, uint64_t quiet_ms)
{
	/* Nothing cuts the last export short. */
	struct ship_limit limit = { .quiet_ms = quiet_ms, .stop_fd = -1, .backoff_ms = sender->backoff_ms,
				    .last = true };
	uint64_t spent_ms;
	int err;

	sender_end(sender);
	job_free(&sender->job);
	err = job_copy(requests, &sender->job);
	if (err)
		return err;
	spent_ms = now_ms() - sender->ended_ms;
	limit.budget_ms = spent_ms < sender->budget_ms ? sender->budget_ms - spent_ms : 0;
	job_send(sender, &sender->job, &limit);
	sender->state = DONE;
	return 0;
}

void sender_free(struct sender *sender)
{
	if (!sender)
		return;
	sender_end(sender);
	ship_free(sender->ship);
	job_free(&sender->job);
	if (sender->done_fd >= 0)
		(void)close(sender->done_fd);
	if (sender->stop_fd >= 0)
		(void)close(sender->stop_fd);
	(void)pthread_cond_destroy(&sender->changed);
	(void)pthread_mutex_destroy(&sender->lock);
	free(sender);
}
