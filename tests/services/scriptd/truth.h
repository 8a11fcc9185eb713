/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * truth - the service's own plain account of what it fired, for tests.
 *
 * It is kept beside the probes and shares nothing with them: its table of
 * metrics is typed from the reference, its values are plain numbers under a
 * mutex. A test that compares an export with GET /stats therefore compares two
 * independent counts of the same events.
 *
 * Every call ends its labels with NULL. A name or label count that the table
 * does not have aborts the process: it is a mistake in this program.
 */
#ifndef SCRIPTD_TRUTH_H
#define SCRIPTD_TRUTH_H

#include <stdbool.h>
#include <stdint.h>

struct json_object;

/** truth_add - a counter or level moved by @n */
void truth_add(const char *metric, int64_t n, ...) __attribute__((sentinel));

/** truth_set - a level is now @value */
void truth_set(const char *metric, int64_t value, ...) __attribute__((sentinel));

/** truth_record - a histogram saw @value, in the catalogue's unit */
void truth_record(const char *metric, double value, ...) __attribute__((sentinel));

/**
 * truth_json - everything counted so far
 * @values: also list each recorded value (the first 20,000 of a series)
 *
 * Return: { metric: { kind, series: [ { labels: {name: value}, value } ] } };
 * histograms have count, sum, min, max, p50, p99 in place of value. Metrics
 * that never fired have an empty series list. The caller puts the object.
 */
struct json_object *truth_json(bool values);

/** truth_free - forget everything; only once no other thread runs */
void truth_free(void);

#endif
