/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * view.h - the agent's state at one moment, as JSON: what `GET /api/snapshot` answers; `GET /api/history` has what was before, too.
 *
 * The format, by name; a client ignores names that it does not know. All numbers are JSON numbers, all times are
 * milliseconds since 1970.
 *
 *   format        1
 *   time_unix_ms  when the series below were read, all at once
 *   agent         version, pid, host, start_unix_ms, uptime_ms, interval_ms, ready,
 *                 noop (why it does nothing; null: it works), way (how probes are attached),
 *                 sites (probes attached), processes (that have probes), memory_bytes, kernel_memory_bytes,
 *                 cpu_utilization (share of all CPUs since the last export),
 *                 limits: services, series, cells, each with used and limit
 *   exporters[]   name (otlp, console, prometheus), target, state ("starting": nothing sent yet; "listening": not scraped yet; "ok"; "failing"),
 *                 error (the last one; null: none since it works), last_unix_ms (last success, or null),
 *                 delivered, failed (exports)
 *   services[]    name, attributes (object of strings), agent (true: the agent itself), processes (alive), pids (the first
 *                 16 of them), binaries (places in binaries[])
 *   binaries[]    path, attached, sites (attached), metrics (places in metrics[]), processes (that have it mapped),
 *                 reason (why it is not attached; null: it is)
 *   metrics[]     scope, name, unit, description, kind (counter, updowncounter, gauge, histogram), labels[] (names),
 *                 bounds[] (of a histogram: upper ones, ascending; null for others)
 *   series[]      service, metric (places in services[] and metrics[]), labels[] (values, beside the metric's names),
 *                 overflow (true: the series of all that there was no room for; it has no labels),
 *                 start_unix_ms (null for a gauge); then
 *                 value; or, of a histogram, count, sum (null where negative values were seen), counts[] (one more than
 *                 bounds), p50, p90, p99 (null while empty; above[]: the names of those that are only known to be larger)
 *                 Of /api/history, if it is remembered: past[], for each of history.times_unix_ms what was new since the
 *                 time before, of a level its value (null: not known), and past_total, of a counter its value at the last
 *                 time that it was seen. Not of histograms
 *   history       of /api/history only: times_unix_ms[], ascending, and histograms[], each with service, metric,
 *                 past_totals[] (of each bucket, all series together, when it was last seen) and past[], for each time what
 *                 was new in each bucket ([]: nothing; null: not known)
 *   drops[]       reason, metric, count, meaning, remedy
 *   why[]         why there is nothing, or less than expected: kind (noop, no_probes, not_attached, excluded, no_hits,
 *                 dropped, overflow, export_failing), severity (info, warning), subject, text, remedy
 */
#ifndef PROBEMETER_VIEW_H
#define PROBEMETER_VIEW_H

#include "discover.h"
#include "history.h"
#include "points.h"
#include "self.h"
#include "writer.h"

/* One exporter's state. */
struct view_exporter {
	const char *name;
	const char *target; /* no secrets in it */
	bool tried; /* something was sent, or tried to */
	bool awaits; /* it sends nothing by itself: others ask */
	const char *error; /* NULL: works, as far as is known */
	uint64_t last_unix_ns; /* last success; 0: none */
	uint64_t delivered, failed;
};

#define VIEW_EXPORTERS 3

/* All of it is the caller's. */
struct view {
	const char *noop; /* then only @start_unix_ns, @time_unix_ns and @exporter are looked at */
	const char *way;
	uint64_t time_unix_ns, start_unix_ns;
	unsigned interval_ms;
	bool ready;
	struct view_exporter exporter[VIEW_EXPORTERS];
	size_t exporter_count;
	const struct points *points; /* NULL: none were collected */
	const struct discovery *discovery;
	const struct self *self;
	const struct resource *agent; /* the agent's own */
	const struct history *history; /* NULL: nothing of what was before */
};

/* Write the whole of it; @writer says whether memory was short. */
void view_write(struct writer *writer, const struct view *view);

#endif
