/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify - consumes TOPIC_NOTIFICATIONS and delivers: an HTTP POST to a
 * loopback URL, or a line in a log file. A failed delivery fails its event, so
 * that the dead-letter queue repeats it.
 */
#ifndef SCRIPTD_NOTIFY_H
#define SCRIPTD_NOTIFY_H

#include <stdbool.h>

#include "events.h"

#define NOTIFY_LOG "log"
#define NOTIFY_WEBHOOK "webhook"

struct notify;

/** notify_url_allowed - is @url plain HTTP to this machine itself? */
bool notify_url_allowed(const char *url);

/** notify_create - @log_path: file of the log channel; @timeout_ms: for one webhook call */
int notify_create(const char *log_path, int timeout_ms, struct notify **ret);

/** notify_deliver - an events_fn over a struct notify */
int notify_deliver(void *ctx, const struct event *event, const char **error_type);

/** notify_stop - fail what is still to come with "shutdown", without trying */
void notify_stop(struct notify *notify);

/** notify_free - NULL is fine */
void notify_free(struct notify *notify);

#endif
