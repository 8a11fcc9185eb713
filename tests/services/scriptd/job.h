/* SPDX-License-Identifier: BSD-2-Clause */
/* job - what a client asked to be run. A plain value, owned by one thread at a time. */
#ifndef SCRIPTD_JOB_H
#define SCRIPTD_JOB_H

#include <stdbool.h>

struct json_object;
struct language;

#define JOB_ID_MAX 40
#define JOB_USER_MAX 64
#define JOB_SCRIPT_MAX (128 * 1024)
#define JOB_RETRIES_MAX 5
#define JOB_TIMEOUT_MAX_MS 60000

enum priority { PRIORITY_CRITICAL, PRIORITY_HIGH, PRIORITY_NORMAL, PRIORITY_LOW, NR_PRIORITIES };

struct job {
	struct job *next;		/* in the queue */
	char id[JOB_ID_MAX + 1];
	char user[JOB_USER_MAX + 1];
	const struct language *language;
	enum priority priority;
	char *script;
	char *webhook;			/* URL told when the job ends, or NULL */
	bool notify_log;		/* also write a line to the notification log */
	int timeout_ms;
	int retries;			/* further attempts after a failure */
	int attempt;			/* runs finished so far */
	double queued_s;		/* monotonic */
};

/** priority_name - "critical", "high", "normal" or "low" */
const char *priority_name(enum priority priority);

/**
 * job_parse - check a client's request
 * @o:                  its JSON
 * @user:               who asks
 * @default_timeout_ms: time limit if the request has none
 * @why:                on -EINVAL and -ENOTSUP, a fixed sentence for the client
 * @ret:                the job; free with job_free()
 *
 * Return: 0, -EINVAL, -ENOTSUP (no such language), -ENOMEM.
 */
int job_parse(struct json_object *o, const char *user, int default_timeout_ms, const char **why,
	      struct job **ret);

/** job_name_valid - can @s be an id or a user: 1 to @max of letters, digits, '-', '_', '.' */
bool job_name_valid(const char *s, unsigned int max);

/** job_free - NULL is fine */
void job_free(struct job *job);

#endif
