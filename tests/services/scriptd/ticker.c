/* SPDX-License-Identifier: BSD-2-Clause */
#include "ticker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "clock.h"

struct ticker {
	ticker_fn *fn;
	void *ctx;
	double period_s;
	pthread_mutex_t lock;
	pthread_cond_t stopped;
	bool stopping;
	pthread_t thread;
};

static void *tick(void *arg)
{
	struct ticker *ticker = arg;
	struct timespec next;

	pthread_mutex_lock(&ticker->lock);
	while (!ticker->stopping) {
		pthread_mutex_unlock(&ticker->lock);
		next = clock_deadline(ticker->period_s);
		ticker->fn(ticker->ctx);
		pthread_mutex_lock(&ticker->lock);
		while (!ticker->stopping &&
		       pthread_cond_timedwait(&ticker->stopped, &ticker->lock, &next) != ETIMEDOUT)
			;
	}
	pthread_mutex_unlock(&ticker->lock);
	return NULL;
}

static void ticker_free(struct ticker *ticker)
{
	pthread_cond_destroy(&ticker->stopped);
	pthread_mutex_destroy(&ticker->lock);
	free(ticker);
}

int ticker_start(double period_s, ticker_fn *fn, void *ctx, struct ticker **ret)
{
	struct ticker *ticker = calloc(1, sizeof(*ticker));
	int err;

	if (!ticker)
		return -ENOMEM;
	ticker->fn = fn;
	ticker->ctx = ctx;
	ticker->period_s = period_s;
	pthread_mutex_init(&ticker->lock, NULL);
	clock_cond_init(&ticker->stopped);
	err = pthread_create(&ticker->thread, NULL, tick, ticker);
	if (err) {
		ticker_free(ticker);
		return -err;
	}
	*ret = ticker;
	return 0;
}

void ticker_stop(struct ticker *ticker)
{
	if (!ticker)
		return;
	pthread_mutex_lock(&ticker->lock);
	ticker->stopping = true;
	pthread_cond_broadcast(&ticker->stopped);
	pthread_mutex_unlock(&ticker->lock);
	pthread_join(ticker->thread, NULL);
	ticker_free(ticker);
}
