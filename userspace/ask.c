/* SPDX-License-Identifier: BSD-2-Clause */
/* ask.c - one GET over the agent's Unix socket; consumes a directory, produces the parsed answer. */
#include "ask.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ASK_BYTES (256u << 20) /* more than the agent has room for */
#define ASK_TIMEOUT_MS 10000L
#define ASK_TRIES 5 /* the agent may be busy, and say so */
#define ASK_WAIT_NS 300000000

struct answer {
	json_tokener *tokener;
	json_object *object;
	size_t bytes;
};

static size_t take(char *data, size_t size, size_t count, void *context)
{
	struct answer *answer = context;

	answer->bytes += size * count;
	if (answer->object || answer->bytes > ASK_BYTES)
		return 0;
	answer->object = json_tokener_parse_ex(answer->tokener, data, (int)(size * count));
	return answer->object || json_tokener_get_error(answer->tokener) == json_tokener_continue ? size * count : 0;
}

static int failed(const char *path, const char *why, char *error, size_t error_size)
{
	int err = access(path, F_OK) ? -errno : access(path, W_OK) ? -errno : -EIO;

	if (err == -ENOENT)
		(void)snprintf(error, error_size, "no agent runs here: there is no '%s'; start one with 'probemeter run', or say --run-dir",
			       path);
	else if (err == -EACCES)
		(void)snprintf(error, error_size, "'%s' is not for this user; ask as root", path);
	else
		(void)snprintf(error, error_size, "the agent at '%s' does not answer: %s", path, why);
	return err;
}

int ask_snapshot(const char *run_dir, bool past, json_object **ret, char *error, size_t error_size)
{
	struct answer answer = { .tokener = json_tokener_new() };
	CURL *curl = curl_easy_init();
	char path[4096], why[CURL_ERROR_SIZE] = "";
	const struct timespec wait = { .tv_nsec = ASK_WAIT_NS };
	long status = 0;
	int tries;
	CURLcode code;
	int err = -ENOMEM;

	(void)snprintf(path, sizeof(path), "%s/agent.sock", run_dir);
	(void)snprintf(error, error_size, "out of memory");
	if (!curl || !answer.tokener)
		goto out;
	if (curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path) || curl_easy_setopt(curl, CURLOPT_NOPROXY, "*") ||
	    curl_easy_setopt(curl, CURLOPT_URL, past ? "http://localhost/api/history" : "http://localhost/api/snapshot") ||
	    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ASK_TIMEOUT_MS) || curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) ||
	    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) || curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer) ||
	    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L) || curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why))
		goto out;
	for (tries = 1; tries <= ASK_TRIES; tries++) {
		code = curl_easy_perform(curl);
		(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		if (status != 503 || tries == ASK_TRIES)
			break;
		(void)nanosleep(&wait, NULL);
	}
	err = 0;
	/* An agent of an older version. */
	if (code && past && status == 404) {
		err = ask_snapshot(run_dir, false, ret, error, error_size);
		goto out;
	}
	if (code)
		err = failed(path, *why ? why : curl_easy_strerror(code), error, error_size);
	else if (!json_object_is_type(answer.object, json_type_object))
		err = failed(path, "its answer is not what this version knows", error, error_size);
	if (!err) {
		*ret = answer.object;
		answer.object = NULL;
	}
out:
	json_object_put(answer.object);
	if (answer.tokener)
		json_tokener_free(answer.tokener);
	curl_easy_cleanup(curl);
	return err;
}
