/* SPDX-License-Identifier: BSD-2-Clause */
/* clock - the two clocks of the service, in seconds. */
#ifndef SCRIPTD_CLOCK_H
#define SCRIPTD_CLOCK_H

#include <pthread.h>
#include <time.h>

static inline double clock_read_s(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/** clock_mono_s - for durations */
static inline double clock_mono_s(void)
{
	return clock_read_s(CLOCK_MONOTONIC);
}

/** clock_unix_s - for what is stored and outlives the process */
static inline double clock_unix_s(void)
{
	return clock_read_s(CLOCK_REALTIME);
}

/** clock_cond_init - a condition whose timed waits are by the monotonic clock */
static inline void clock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

/** clock_deadline - the time @after_s from now, for such a timed wait */
static inline struct timespec clock_deadline(double after_s)
{
	struct timespec ts;
	long long ns;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns = ts.tv_nsec + (long long)(after_s * 1e9);
	ts.tv_sec += ns / 1000000000;
	ts.tv_nsec = ns % 1000000000;
	return ts;
}

#endif
