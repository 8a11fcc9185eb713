/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scriptd - runs bash and python scripts that come over HTTP, and records the
 * 43 metrics of the reference while it does.
 *
 *     POST /jobs ─► api ─► store ─► events ─► coordinator ─► queue ─► executor ─► runner ─► launcher ─► script
 *                                                                         │
 *     GET /jobs/ID/events ◄─ stream ◄─────────────────────────────────────┤
 *     webhook, log ◄─ notify ◄─ events ◄─ results ◄─ events ◄─ coordinator┘
 *                        └─ what fails ─► dlq ─► events, again
 *
 * It is an example and a test subject, not a sandbox: scripts run with the
 * rights of the service.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "launcher.h"
#include "log.h"
#include "options.h"
#include "service.h"
#include "truth.h"

/* Scripts run in a directory of their own below the data. */
static int make_directories(const char *data, char **ret)
{
	char *work;
	int err = 0;

	if (asprintf(&work, "%s/work", data) < 0)
		return -ENOMEM;
	if ((mkdir(data, 0700) && errno != EEXIST) || (mkdir(work, 0700) && errno != EEXIST)) {
		err = -errno;
		free(work);
		return err;
	}
	*ret = work;
	return 0;
}

static void write_stats(const char *path)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "metrics", truth_json(true));
	if (json_object_to_file_ext(path, o, JSON_C_TO_STRING_PLAIN))
		log_warn("cannot write '%s': %s", path, json_util_get_last_err());
	json_object_put(o);
}

static int start_launcher(const struct options *options, struct launcher **ret)
{
	char *work = NULL;
	int err;

	err = make_directories(options->data_dir, &work);
	if (err) {
		log_warn("cannot make '%s/work': %s", options->data_dir, strerror(-err));
		return err;
	}
	err = launcher_start(work, ret);
	if (err)
		log_warn("cannot start the launcher: %s", strerror(-err));
	free(work);
	return err;
}

/* Blocked in every thread, so that only sigwait() below sees them. */
static void block_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGTERM);
	pthread_sigmask(SIG_BLOCK, ret, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct launcher *launcher;
	struct options options;
	struct service *service;
	sigset_t signals;
	int port, signo;

	if (options_parse(argc, argv, &options))
		return 2;
	if (options.help) {
		options_help();
		return 0;
	}
	log_quiet(options.quiet);
	if (start_launcher(&options, &launcher))
		return 1;
	block_signals(&signals);
	if (service_start(&options, launcher, &port, &service))
		return 1;

	printf("listening on http://127.0.0.1:%d\n", port);
	fflush(stdout);
	sigwait(&signals, &signo);
	log_info("%s: stopping", strsignal(signo));
	service_stop(service);
	if (options.stats_file)
		write_stats(options.stats_file);
	service_free(service);
	truth_free();
	return 0;
}
