/* SPDX-License-Identifier: BSD-2-Clause */
/* health - really tries each thing the service depends on, in a period and when asked. */
#ifndef SCRIPTD_HEALTH_H
#define SCRIPTD_HEALTH_H

#include <stdbool.h>

struct db;
struct events;
struct health;
struct json_object;
struct limit_store;
struct runner;

/** What is checked; all of it outlives the checks. */
struct health_parts {
	struct db *db;
	struct events *events;
	struct limit_store *limit_store;
	struct runner *runner;
	const char *data_dir;
};

int health_create(const struct health_parts *parts, struct health **ret);

/** health_start - check each @period_ms from now on; health_stop() ends it */
int health_start(struct health *health, int period_ms);

/**
 * health_check - check everything now
 * @ret: { dependency: { status, duration_s } }; the caller puts it; may be NULL
 *
 * Return: is all of it up?
 */
bool health_check(struct health *health, struct json_object **ret);

void health_stop(struct health *health);

/** health_free - NULL is fine */
void health_free(struct health *health);

#endif
