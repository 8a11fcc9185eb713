/* SPDX-License-Identifier: BSD-2-Clause */
#include "executor.h"

#include <errno.h>
#include <probemeter/integr8scode.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "coordinator.h"
#include "job.h"
#include "language.h"
#include "log.h"
#include "queue.h"
#include "runner.h"
#include "truth.h"

struct executor {
	struct queue *queue;
	struct runner *runner;
	struct coordinator *coordinator;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned int nr_workers, nr_live;
	pthread_t workers[];
};

struct task {
	struct executor *executor;
	struct job *job;
};

static void active_move(int by)
{
	PROBEMETER_ADD(script_executions_active, by);
	truth_add("script.executions.active", by, NULL);
}

static void record(const struct job *job, const struct run_result *result)
{
	const char *lang = job->language->lang_and_version, *status = run_status_name(result->status);

	PROBEMETER_ADD(script_executions_total, 1, status, lang);
	truth_add("script.executions.total", 1, status, lang, NULL);
	if (result->error_type) {
		PROBEMETER_ADD(script_errors_total, 1, result->error_type);
		truth_add("script.errors.total", 1, result->error_type, NULL);
	}
	if (result->wall_s == 0)
		return;		/* Nothing ran, so there is nothing to measure. */
	PROBEMETER_RECORD(script_execution_duration, result->wall_s, lang);
	PROBEMETER_RECORD(script_memory_usage, result->memory_mib, lang);
	PROBEMETER_RECORD(script_cpu_utilization, result->cpu_millicores);
	truth_record("script.execution.duration", result->wall_s, lang, NULL);
	truth_record("script.memory.usage", result->memory_mib, lang, NULL);
	truth_record("script.cpu.utilization", result->cpu_millicores, NULL);
}

static void on_line(void *ctx, const char *line)
{
	struct task *task = ctx;

	coordinator_output(task->executor->coordinator, task->job, line);
}

static void execute(struct executor *executor, struct job *job)
{
	struct task task = { .executor = executor, .job = job };
	struct run_result result;
	int err;

	coordinator_started(executor->coordinator, job);
	active_move(1);
	err = runner_run(executor->runner, job->language, job->script, (unsigned int)job->timeout_ms, on_line, &task,
			 &result);
	if (err) {
		log_warn("executor: job '%s' cannot be run: %s", job->id, strerror(-err));
		memset(&result, 0, sizeof(result));
		result.status = RUN_FAILED;
		result.error_type = "start_failed";
	}
	active_move(-1);
	record(job, &result);
	coordinator_finished(executor->coordinator, job, &result);
}

static void *work(void *arg)
{
	struct executor *executor = arg;
	struct job *job;

	while ((job = queue_pop(executor->queue))) {
		execute(executor, job);
		job_free(job);
	}
	pthread_mutex_lock(&executor->lock);
	executor->nr_live--;
	pthread_cond_signal(&executor->ended);
	pthread_mutex_unlock(&executor->lock);
	return NULL;
}

int executor_start(struct queue *queue, struct runner *runner, struct coordinator *coordinator,
		   unsigned int workers, struct executor **ret)
{
	struct executor *executor = calloc(1, sizeof(*executor) + workers * sizeof(pthread_t));
	int err;

	if (!executor)
		return -ENOMEM;
	executor->queue = queue;
	executor->runner = runner;
	executor->coordinator = coordinator;
	pthread_mutex_init(&executor->lock, NULL);
	clock_cond_init(&executor->ended);
	for (unsigned int i = 0; i < workers; i++) {
		pthread_mutex_lock(&executor->lock);
		executor->nr_live++;
		pthread_mutex_unlock(&executor->lock);
		err = pthread_create(&executor->workers[i], NULL, work, executor);
		if (err) {
			pthread_mutex_lock(&executor->lock);
			executor->nr_live--;
			pthread_mutex_unlock(&executor->lock);
			executor_stop(executor, 0);
			return -err;
		}
		executor->nr_workers++;
	}
	*ret = executor;
	return 0;
}

void executor_stop(struct executor *executor, int grace_ms)
{
	struct timespec until = clock_deadline(grace_ms / 1e3);
	struct job *job, *next;
	int rc = 0;

	if (!executor)
		return;
	for (job = queue_close(executor->queue); job; job = next) {
		next = job->next;
		coordinator_abandon(job);
	}
	pthread_mutex_lock(&executor->lock);
	while (executor->nr_live && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&executor->ended, &executor->lock, &until);
	if (executor->nr_live)
		runner_cancel(executor->runner);
	pthread_mutex_unlock(&executor->lock);
	for (unsigned int i = 0; i < executor->nr_workers; i++)
		pthread_join(executor->workers[i], NULL);
	pthread_cond_destroy(&executor->ended);
	pthread_mutex_destroy(&executor->lock);
	free(executor);
}
