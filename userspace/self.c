/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * self.c - the agent about itself: scope probemeter.agent.
 *
 * Consumes counters of the agent and the kernel's drops; produces samples like everybody else's.
 */
#include "self.h"

#include <errno.h>
#include <string.h>

#include "drops.h"
#include "encode.h"

#define OWN(kind_name, metric_name, metric_unit, words)                                                       \
	{                                                                                                     \
		.kind = PROBEMETER_KIND_##kind_name, .scope = ENCODE_AGENT_SCOPE, .name = metric_name,        \
		.unit = metric_unit, .description = words                                                     \
	}

/* Levels of the agent, by what they show. */
static const struct {
	struct metric metric;
	size_t offset; /* in struct self */
} plain[] = {
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.sites", "{site}", "Probe sites attached"), offsetof(struct self, sites) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.processes", "{process}", "Living processes with descriptors"),
	  offsetof(struct self, processes) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.services", "{service}", "Services that fired, as the kernel tells them apart"),
	  offsetof(struct self, services) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.series", "{series}", "Series in the kernel"), offsetof(struct self, series) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.cells", "{cell}", "Cells in the kernel"), offsetof(struct self, cells) },
	{ OWN(COUNTER, "probemeter.agent.points.rejected", "{point}", "Points that the collector said it dropped"),
	  offsetof(struct self, points_rejected) },
	{ OWN(COUNTER, "probemeter.agent.points.dropped", "{point}", "Points larger than a request may be, in no export"),
	  offsetof(struct self, points_dropped) },
	{ OWN(COUNTER, "probemeter.agent.points.unanswered", "{point}",
	      "Delta points whose answer was lost, and that may therefore be counted twice"),
	  offsetof(struct self, points_unanswered) },
};

static const struct metric exports = {
	.kind = PROBEMETER_KIND_COUNTER,
	.scope = ENCODE_AGENT_SCOPE,
	.name = "probemeter.agent.exports",
	.unit = "{export}",
	.description = "Exports by result",
	.label_count = 1,
	.label = { "result" },
};

static const struct metric dropped = {
	.kind = PROBEMETER_KIND_COUNTER,
	.scope = ENCODE_AGENT_SCOPE,
	.name = "probemeter.agent.events.dropped",
	.unit = "{event}",
	.description = "Events fired while attached and not counted, by reason and metric",
	.label_count = 2,
	.label = { "reason", "metric" },
};

#define PLAIN (sizeof(plain) / sizeof(plain[0]))
#define RESULTS 2

static bool was_dropped(const uint64_t *drop, uint32_t metric, size_t reason)
{
	return drop[PM_DROP_INDEX(metric, reason)] && drop_reasons[reason].name;
}

size_t self_count(const struct metrics *metrics, const uint64_t *drop)
{
	size_t count = PLAIN + RESULTS, i;
	uint32_t metric;

	for (metric = 0; metrics_get(metrics, metric); metric++)
		for (i = 0; i < PM_DROP_REASONS; i++)
			count += was_dropped(drop, metric, i);
	return count;
}

int self_samples(const struct self *self, const struct metrics *metrics, const uint64_t *drop,
		 const struct resource *resource, uint64_t start_unix_ns, struct arena *arena, struct sample *ret)
{
	const struct {
		const char *result;
		uint64_t count;
	} results[RESULTS] = { { "delivered", self->exports_delivered }, { "failed", self->exports_failed } };
	size_t total = self_count(metrics, drop), count = 0, i;
	struct cell *cell = arena_array(arena, total, sizeof(*cell));
	uint32_t metric;

	if (!cell)
		return -ENOMEM;
	for (i = 0; i < PLAIN; i++, count++) {
		uint64_t value;

		memcpy(&value, (const char *)self + plain[i].offset, sizeof(value));
		cell[count].sum = value;
		ret[count] = (struct sample){ .metric = &plain[i].metric, .level = value };
	}
	for (i = 0; i < RESULTS; i++, count++) {
		cell[count].sum = results[i].count;
		ret[count] = (struct sample){ .metric = &exports, .value = { results[i].result } };
	}
	for (metric = 0; metrics_get(metrics, metric); metric++)
		for (i = 0; i < PM_DROP_REASONS; i++) {
			if (!was_dropped(drop, metric, i))
				continue;
			cell[count].sum = drop[PM_DROP_INDEX(metric, i)];
			ret[count++] = (struct sample){
				.metric = &dropped,
				.value = { drop_reasons[i].name, metrics_get(metrics, metric)->name },
			};
		}
	for (i = 0; i < count; i++) {
		cell[i].count = 1;
		ret[i].resource = resource;
		ret[i].start_unix_ns = start_unix_ns;
		ret[i].cell = &cell[i];
		ret[i].cell_count = 1;
	}
	return 0;
}
