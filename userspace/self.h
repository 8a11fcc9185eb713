/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * self.h - the agent's own metrics, in the stream it exports.
 */
#ifndef PROBEMETER_SELF_H
#define PROBEMETER_SELF_H

#include "metric.h"
#include "merge.h"
#include "snapshot.h"

/* What the agent counts of itself; the caller keeps it up to date. */
struct self {
	uint64_t sites, processes, services, series, cells;
	uint64_t exports_delivered, exports_failed;
	uint64_t points_rejected, points_dropped, points_unanswered;
};

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

#endif
