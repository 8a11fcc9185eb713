/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "job.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "language.h"
#include "notify.h"

static const char *const priority_names[NR_PRIORITIES] = {
	[PRIORITY_CRITICAL] = "critical",
	[PRIORITY_HIGH] = "high",
	[PRIORITY_NORMAL] = "normal",
	[PRIORITY_LOW] = "low",
};

const char *priority_name(enum priority priority)
{
	return priority_names[priority];
}

bool job_name_valid(const char *s, unsigned int max)
{
	size_t len = strlen(s);

	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("-_.", s[i]))
			return false;
	return true;
}

static int make_id(char id[JOB_ID_MAX + 1])
{
	unsigned char bytes[8];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* One field: sets @job from @value. Return: NULL, or what is wrong with it. */
typedef const char *parse_fn(struct job *job, struct json_object *value);

static const char *parse_id(struct job *job, struct json_object *value)
{
	const char *s = json_object_get_string(value);

	if (!job_name_valid(s, JOB_ID_MAX))
		return "'id' must be 1 to 40 letters, digits, '-', '_' or '.'";
	strcpy(job->id, s);
	return NULL;
}

static const char *parse_language(struct job *job, struct json_object *value)
{
	/* An unknown one is left NULL; the caller tells that apart. */
	job->language = language_find(json_object_get_string(value));
	return NULL;
}

static const char *parse_script(struct job *job, struct json_object *value)
{
	const char *s = json_object_get_string(value);
	size_t len = (size_t)json_object_get_string_len(value);

	if (len == 0 || len > JOB_SCRIPT_MAX || strlen(s) != len)
		return "'script' must be 1 to 131072 bytes without a zero byte";
	job->script = strdup(s);
	return NULL;
}

static const char *parse_priority(struct job *job, struct json_object *value)
{
	for (int i = 0; i < NR_PRIORITIES; i++) {
		if (!strcmp(priority_names[i], json_object_get_string(value))) {
			job->priority = (enum priority)i;
			return NULL;
		}
	}
	return "'priority' must be critical, high, normal or low";
}

static const char *parse_timeout(struct job *job, struct json_object *value)
{
	int64_t ms = json_object_get_int64(value);

	if (ms < 1 || ms > JOB_TIMEOUT_MAX_MS)
		return "'timeout_ms' must be 1 to 60000";
	job->timeout_ms = (int)ms;
	return NULL;
}

static const char *parse_retries(struct job *job, struct json_object *value)
{
	int64_t n = json_object_get_int64(value);

	if (n < 0 || n > JOB_RETRIES_MAX)
		return "'retries' must be 0 to 5";
	job->retries = (int)n;
	return NULL;
}

static const char *parse_webhook(struct job *job, struct json_object *value)
{
	const char *url = json_object_get_string(value);

	if (!notify_url_allowed(url))
		return "'webhook' must be an http:// URL on the loopback interface";
	job->webhook = strdup(url);
	return NULL;
}

static const char *parse_notify_log(struct job *job, struct json_object *value)
{
	job->notify_log = json_object_get_boolean(value);
	return NULL;
}

static const struct field {
	const char *name;
	enum json_type type;
	bool required;
	const char *wrong_type;
	parse_fn *parse;
} fields[] = {
	{ "language", json_type_string, true, "'language' must be a string", parse_language },
	{ "script", json_type_string, true, "'script' must be a string", parse_script },
	{ "id", json_type_string, false, "'id' must be a string", parse_id },
	{ "priority", json_type_string, false, "'priority' must be a string", parse_priority },
	{ "timeout_ms", json_type_int, false, "'timeout_ms' must be an integer", parse_timeout },
	{ "retries", json_type_int, false, "'retries' must be an integer", parse_retries },
	{ "webhook", json_type_string, false, "'webhook' must be a string", parse_webhook },
	{ "notify_log", json_type_boolean, false, "'notify_log' must be true or false", parse_notify_log },
};

static const char *parse_fields(struct job *job, struct json_object *o)
{
	size_t known = 0;

	if (!json_object_is_type(o, json_type_object))
		return "the request must be a JSON object";
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct field *field = &fields[i];
		struct json_object *value;
		const char *why;

		if (!json_object_object_get_ex(o, field->name, &value)) {
			if (field->required)
				return "'language' and 'script' are required";
			continue;
		}
		known++;
		if (!json_object_is_type(value, field->type))
			return field->wrong_type;
		why = field->parse(job, value);
		if (why)
			return why;
	}
	if (known != (size_t)json_object_object_length(o))
		return "unknown field; known are language, script, id, priority, timeout_ms, retries, webhook, "
		       "notify_log";
	return NULL;
}

int job_parse(struct json_object *o, const char *user, int default_timeout_ms, const char **why,
	      struct job **ret)
{
	struct job *job = calloc(1, sizeof(*job));
	int err;

	if (!job)
		return -ENOMEM;
	job->priority = PRIORITY_NORMAL;
	job->timeout_ms = default_timeout_ms;
	snprintf(job->user, sizeof(job->user), "%s", user);

	*why = parse_fields(job, o);
	if (*why) {
		err = -EINVAL;
		goto out;
	}
	if (!job->language) {
		*why = "unsupported 'language'; supported are bash and python";
		err = -ENOTSUP;
		goto out;
	}
	if (!job->script) {
		err = -ENOMEM;
		goto out;
	}
	err = job->id[0] ? 0 : make_id(job->id);
	if (err)
		goto out;
	*ret = job;
	return 0;
out:
	job_free(job);
	return err;
}

void job_free(struct job *job)
{
	if (!job)
		return;
	free(job->script);
	free(job->webhook);
	free(job);
}
