/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * patience.c - a thread for calls that a file system may hold for ever: FUSE, a server that is gone.
 *
 * Such a call cannot be broken off, only left behind. The thread that sits in it is kept, and asked for now and then.
 */
#include "patience.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct patience {
	void (*work)(void *);
	void *argument;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
};

static void *thread_main(void *at)
{
	struct patience *patience = at;

	patience->work(patience->argument);
	(void)pthread_mutex_lock(&patience->lock);
	patience->done = true;
	(void)pthread_cond_signal(&patience->changed);
	(void)pthread_mutex_unlock(&patience->lock);
	return NULL;
}

static void patience_free(struct patience *patience)
{
	(void)pthread_join(patience->thread, NULL);
	(void)pthread_cond_destroy(&patience->changed);
	(void)pthread_mutex_destroy(&patience->lock);
	free(patience);
}

int patience_begin(void (*work)(void *argument), void *argument, unsigned ms, struct patience **ret)
{
	struct patience *patience = calloc(1, sizeof(*patience));
	struct timespec until;
	int err = 0;

	if (!patience)
		return -ENOMEM;
	patience->work = work;
	patience->argument = argument;
	(void)pthread_mutex_init(&patience->lock, NULL);
	(void)pthread_cond_init(&patience->changed, NULL);
	if (pthread_create(&patience->thread, NULL, thread_main, patience)) {
		(void)pthread_cond_destroy(&patience->changed);
		(void)pthread_mutex_destroy(&patience->lock);
		free(patience);
		return -EAGAIN;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += (time_t)(ms / 1000) + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_mutex_lock(&patience->lock);
	while (!patience->done && !err)
		err = pthread_cond_clockwait(&patience->changed, &patience->lock, CLOCK_MONOTONIC, &until);
	if (patience->done)
		err = 0;
	(void)pthread_mutex_unlock(&patience->lock);
	if (err) {
		*ret = patience;
		return -err;
	}
	patience_free(patience);
	return 0;
}

int patience_over(struct patience *patience)
{
	bool done;

	(void)pthread_mutex_lock(&patience->lock);
	done = patience->done;
	(void)pthread_mutex_unlock(&patience->lock);
	if (done)
		patience_free(patience);
	return done;
}
