/* SPDX-License-Identifier: BSD-2-Clause */
/* prometheus_name.h - names as Prometheus has them. Pure. */
#ifndef PROBEMETER_PROMETHEUS_NAME_H
#define PROBEMETER_PROMETHEUS_NAME_H

#include "points.h"
#include "writer.h"

enum prometheus_type { PROMETHEUS_COUNTER, PROMETHEUS_GAUGE, PROMETHEUS_HISTOGRAM };

/**
 * prometheus_family - the name of a metric's family, "_total" not included
 * @metric: its name's words are joined by "_", its unit follows unless it is among them or in braces
 * @type:   a counter loses the word "total", which its samples get back at the end
 * @gauge:  the unit 1 of a gauge, and only of one, is "ratio"
 * @ret_unit: the unit that the name ends with, or NULL; static
 *
 * Writes to @out, without a NUL; never nothing.
 *
 * Source: OpenTelemetry, "Prometheus and OpenMetrics Compatibility", "OTLP Metric points to Prometheus".
 */
void prometheus_family(struct writer *out, const struct metric *metric, enum prometheus_type type, bool gauge,
		       const char **ret_unit);

/* The name of a label: what may not stand there becomes "_"; what would begin like no label, or one of Prometheus' own,
 * begins with "key". */
void prometheus_label(struct writer *out, const char *key);

/* A label's value, or help, between quotes that the caller writes. */
void prometheus_escape(struct writer *out, const char *text);

/* HELP in the text format 0.0.4, where quotes are no special characters. */
void prometheus_escape_help(struct writer *out, const char *text);

#endif
