/* SPDX-License-Identifier: BSD-2-Clause */
/* prometheus.h - points as a page that Prometheus scrapes. Pure. */
#ifndef PROBEMETER_PROMETHEUS_H
#define PROBEMETER_PROMETHEUS_H

#include "arena.h"
#include "points.h"
#include "writer.h"

enum prometheus_format {
	PROMETHEUS_TEXT, /* text format 0.0.4 */
	PROMETHEUS_OPENMETRICS, /* OpenMetrics 1.0 */
};

/* What could not be in the page: its name means something else there already. */
struct prometheus_conflicts {
	size_t count; /* of series */
	const struct point *first; /* NULL: none */
};

/**
 * prometheus_write - the whole page, which may leave by the writer's drain piece by piece
 * @points: cumulative, as merge.h makes them with explicit bounds; NULL: an empty page
 * @arena:  for what is needed on the way
 * @ret:    what was left out
 *
 * Each series has the labels service_name, service_instance_id and, if there is one, service_namespace, which together
 * tell resources apart, and otel_scope_name; all attributes of a resource are in target_info, to be joined on the former.
 * Series that are equal by all of that, of two metrics that differ in words alone, are added up.
 *
 * Return: 0 or -ENOMEM.
 * Source: Prometheus, "Exposition formats"; OpenMetrics 1.0; OpenTelemetry, "Prometheus and OpenMetrics Compatibility".
 */
int prometheus_write(struct writer *writer, const struct points *points, enum prometheus_format format,
		     struct arena *arena, struct prometheus_conflicts *ret);

#endif
