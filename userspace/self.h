/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * self.h - the agent's own metrics, in the stream it exports.
 */
#ifndef PROBEMETER_SELF_H
#define PROBEMETER_SELF_H

#include <stdio.h>

#include "duration.h"
#include "kernel.h"
#include "metric.h"
#include "merge.h"
#include "ship.h"
#include "snapshot.h"

#define SELF_DURATION_BOUNDS 12

/* What the agent knows of itself; the caller keeps it up to date, by the functions below where there is one. */
struct self {
	uint64_t sites, processes, services, series, cells;
	uint64_t levels_lost;
	uint64_t services_limit, series_limit, cells_limit;
	uint64_t kernel_bytes;
	uint64_t exports_delivered, exports_failed;
	uint64_t wire_bytes, retries, points_rejected, points_dropped, points_unanswered;
	uint64_t duration_ms; /* of all exports */
	uint64_t duration_bucket[SELF_DURATION_BOUNDS + 1];
	uint64_t memory_bytes; /* resident */
	double cpu_utilization; /* since the measurement before, of all CPUs */
	uint64_t cpu_ns, measured_ns; /* of that measurement */
	struct durations attach; /* from a new file's first mapping, exec or dlopen, to its probes attached */
	uint64_t dropped_start_unix_ns; /* drops are in the kernel's maps, which may be older than this agent */
};

/* One request has been sent, or has failed, with all its tries: what it took and what the collector said. */
void self_count_request(struct self *self, const struct ship_result *result);

/* One export, of one or more requests, has ended. */
void self_count_export(struct self *self, bool delivered, uint64_t duration_ms);

/* What the maps and this process take now. Cheap: two system calls and a few small files. */
void self_measure(struct self *self, const struct kernel *kernel);

/**
 * self_samples - the agent's metrics as samples
 * @drop:  the kernel's drop counters, PM_DROP_INDEX()
 * @arena: owns the cells that the samples point to
 * @ret:   room for self_count() of them
 *
 * Return: 0 or -ENOMEM.
 */
int self_samples(const struct self *self, const struct metrics *metrics, const uint64_t *drop,
		 const struct resource *resource, uint64_t start_unix_ns, struct arena *arena, struct sample *ret);

/* How many samples that makes. */
size_t self_count(const struct metrics *metrics, const uint64_t *drop);

/* The table of all of the agent's metrics for operating.md, in Markdown. */
void self_document(FILE *out);

#endif
