/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trim.h - which metrics and which of their labels are left out, as the administrator says.
 *
 * OpenTelemetry's word for it is a view: one that drops a metric, or leaves attributes out. What remains adds up to the
 * same, because it is decided before a series is made.
 */
#ifndef PROBEMETER_TRIM_H
#define PROBEMETER_TRIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "points.h"

struct trims;

struct trims *trims_new(void);
void trims_free(struct trims *trims);

/* Leave out metrics whose names match @glob. Return: 0 or -ENOMEM. */
int trims_drop_metric(struct trims *trims, const char *glob);

/* @rule: METRIC:LABEL, a glob each; the last colon parts them. Return: 0, -ENOMEM, or -EINVAL if a part is missing. */
int trims_drop_label(struct trims *trims, const char *rule);

/* A hash of all rules, whatever their order; 0: there are none. */
uint64_t trims_hash(const struct trims *trims);

/* Is the metric counted as it is, with all its labels? */
bool trims_spares(const struct trims *trims, const struct metric *metric);

/* Is there any rule about labels? */
bool trims_has_labels(const struct trims *trims);

/**
 * trims_apply - what is left of a metric
 * @metric:   as its descriptor says
 * @ret:      the same without the labels that are left out; its strings are those of @metric
 * @left_out: bit n: label n of @metric is left out
 * @line:     to be told the user: set the first time that a metric of this name is touched by a rule, else empty
 *
 * Return: false if the metric is left out altogether; then only @line is set.
 */
bool trims_apply(struct trims *trims, const struct metric *metric, struct metric *ret, uint32_t *left_out, char *line,
		 size_t size);

#endif
