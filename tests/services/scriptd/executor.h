/* SPDX-License-Identifier: BSD-2-Clause */
/* executor - the worker threads: each takes a job, runs it, records what it cost, reports it. */
#ifndef SCRIPTD_EXECUTOR_H
#define SCRIPTD_EXECUTOR_H

struct coordinator;
struct executor;
struct queue;
struct runner;

/** executor_start - @workers threads; stop and free with executor_stop() */
int executor_start(struct queue *queue, struct runner *runner, struct coordinator *coordinator,
		   unsigned int workers, struct executor **ret);

/** executor_stop - close the queue, give running scripts @grace_ms, kill them then; NULL is fine */
void executor_stop(struct executor *executor, int grace_ms);

#endif
