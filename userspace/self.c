/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * self.c - the agent about itself: scope probemeter.agent.
 *
 * Consumes counters of the agent and the kernel's drops; produces samples like everybody else's.
 */
#include "self.h"

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

size_t self_samples(const struct self *self, const struct metrics *metrics, const uint64_t *drop,
		    const struct resource *resource, uint64_t start_unix_ns, struct cell *cells, struct sample *ret)
{
	const struct {
		const char *result;
		uint64_t count;
	} results[] = { { "delivered", self->exports_delivered }, { "failed", self->exports_failed } };
	size_t count = 0, i;
	uint32_t metric;

	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++, count++) {
		uint64_t value;

		memcpy(&value, (const char *)self + plain[i].offset, sizeof(value));
		cells[count] = (struct cell){ .count = 1, .sum = value };
		ret[count] = (struct sample){ .metric = &plain[i].metric, .level = value };
	}
	for (i = 0; i < 2; i++, count++) {
		cells[count] = (struct cell){ .count = 1, .sum = results[i].count };
		ret[count] = (struct sample){ .metric = &exports, .value = { results[i].result } };
	}
	for (metric = 0; metrics_get(metrics, metric); metric++)
		for (i = 0; i < PM_DROP_REASONS; i++) {
			uint64_t value = drop[PM_DROP_INDEX(metric, i)];

			if (!value || !drop_reasons[i].name)
				continue;
			cells[count] = (struct cell){ .count = 1, .sum = value };
			ret[count] = (struct sample){
				.metric = &dropped,
				.value = { drop_reasons[i].name, metrics_get(metrics, metric)->name },
			};
			count++;
		}
	for (i = 0; i < count; i++) {
		ret[i].resource = resource;
		ret[i].start_unix_ns = start_unix_ns;
		ret[i].cell = &cells[i];
		ret[i].cell_count = 1;
	}
	return count;
}
