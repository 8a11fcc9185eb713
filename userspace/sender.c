/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sender.c - a thread around ship.c, so that a slow collector does not keep new processes waiting.
 *
 * Consumes request bodies, one at a time; produces results. Retrying within one export is ship.c's; what an outage
 * means, the caller's: cumulative totals make a lost export whole with the next.
 */
#include "sender.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "options.h"

enum state { IDLE, GIVEN, DONE, ENDING };

struct sender {
	struct ship *ship;
	uint64_t budget_ms;
	int done_fd; /* readable: a result is there */
	int stop_fd; /* readable: end waits */
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	enum state state;
	uint8_t *body;
	size_t size;
	int err;
	struct ship_result result;
};

static void *work(void *context)
{
	struct sender *sender = context;
	struct ship_limit limit = { .budget_ms = sender->budget_ms, .stop_fd = sender->stop_fd };
	struct ship_result result;
	uint64_t one = 1;
	int err;

	(void)pthread_mutex_lock(&sender->lock);
	while (sender->state != ENDING) {
		if (sender->state != GIVEN) {
			(void)pthread_cond_wait(&sender->changed, &sender->lock);
			continue;
		}
		(void)pthread_mutex_unlock(&sender->lock);
		/* The body is ours while the state is GIVEN. */
		err = ship_send(sender->ship, sender->body, sender->size, &limit, &result);
		(void)pthread_mutex_lock(&sender->lock);
		free(sender->body);
		sender->body = NULL;
		sender->err = err;
		sender->result = result;
		if (sender->state != ENDING)
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

int sender_submit(struct sender *sender, const uint8_t *body, size_t size)
{
	int err = 0;

	(void)pthread_mutex_lock(&sender->lock);
	if (sender->state != IDLE) {
		err = -EBUSY;
	} else {
		sender->body = malloc(size ? size : 1);
		if (!sender->body) {
			err = -ENOMEM;
		} else {
			memcpy(sender->body, body, size);
			sender->size = size;
			sender->state = GIVEN;
			(void)pthread_cond_signal(&sender->changed);
		}
	}
	(void)pthread_mutex_unlock(&sender->lock);
	return err;
}

int sender_fd(const struct sender *sender)
{
	return sender->done_fd;
}

bool sender_result(struct sender *sender, int *ret_err, struct ship_result *ret)
{
	uint64_t count;
	bool fresh;

	(void)pthread_mutex_lock(&sender->lock);
	fresh = sender->state == DONE;
	if (fresh) {
		(void)!read(sender->done_fd, &count, sizeof(count));
		*ret_err = sender->err;
		*ret = sender->result;
		sender->state = IDLE;
	}
	(void)pthread_mutex_unlock(&sender->lock);
	return fresh;
}

/* End the thread, whatever it waits for. */
static void end(struct sender *sender)
{
	uint64_t one = 1;

	if (!sender->running)
		return;
	(void)pthread_mutex_lock(&sender->lock);
	sender->state = ENDING;
	(void)pthread_cond_signal(&sender->changed);
	(void)pthread_mutex_unlock(&sender->lock);
	(void)!write(sender->stop_fd, &one, sizeof(one));
	(void)pthread_join(sender->thread, NULL);
	sender->running = false;
}

int sender_flush(struct sender *sender, const uint8_t *body, size_t size, struct ship_result *ret)
{
	struct ship_limit limit = { .budget_ms = sender->budget_ms, .stop_fd = -1 };

	end(sender);
	return ship_send(sender->ship, body, size, &limit, ret);
}

void sender_free(struct sender *sender)
{
	if (!sender)
		return;
	end(sender);
	ship_free(sender->ship);
	free(sender->body);
	if (sender->done_fd >= 0)
		(void)close(sender->done_fd);
	if (sender->stop_fd >= 0)
		(void)close(sender->stop_fd);
	(void)pthread_cond_destroy(&sender->changed);
	(void)pthread_mutex_destroy(&sender->lock);
	free(sender);
}
