/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * results - consumes TOPIC_RESULTS: writes the audit trail, and for a job that
 * has ended asks for its notifications.
 */
#ifndef SCRIPTD_RESULTS_H
#define SCRIPTD_RESULTS_H

#include "events.h"

struct db;

struct results {
	struct db *db;
	struct events *events;
};

/** results_process - an events_fn over a struct results */
int results_process(void *ctx, const struct event *event, const char **error_type);

#endif
