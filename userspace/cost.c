/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cost.c - estimated CPU time spent in probes, by service.
 *
 * Consumes hits per resource at each collection; produces samples of probemeter.agent.probe.cpu.time and who is over a
 * limit. What a hit costs is trial.c's measurement; hits that lead to a drop or a new series cost more and are few.
 */
#include "cost.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "service.h"

struct cost {
	const struct resource *resource;
	uint64_t hits, before; /* now, and when costs_over() looked last */
	uint64_t base; /* hits that an earlier agent has accounted for */
	bool over; /* and said so */
	bool looked_at; /* in this round of costs_over() */
};

struct costs {
	struct cost *cost;
	size_t count, room;
};

static const struct metric cpu_time = {
	.kind = PROBEMETER_KIND_COUNTER,
	.scope = ENCODE_AGENT_SCOPE,
	.name = "probemeter.agent.probe.cpu.time",
	.unit = "us",
	.description = "Estimated CPU time that a service spent in probes: hits times the cost of one on this host",
	.label_count = 1,
	.label = { "service" },
};

const struct metric *costs_metric(void)
{
	return &cpu_time;
}

struct costs *costs_new(void)
{
	return calloc(1, sizeof(struct costs));
}

void costs_free(struct costs *costs)
{
	if (!costs)
		return;
	free(costs->cost);
	free(costs);
}

void costs_begin(struct costs *costs)
{
	size_t i;

	for (i = 0; i < costs->count; i++)
		costs->cost[i].hits = 0;
}

int costs_add(struct costs *costs, const struct resource *resource, uint64_t hits)
{
	size_t i;

	for (i = 0; i < costs->count; i++)
		if (costs->cost[i].resource == resource)
			break;
	if (i == costs->room) {
		size_t room = costs->room ? 2 * costs->room : 16;
		struct cost *grown = realloc(costs->cost, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		costs->cost = grown;
		costs->room = room;
	}
	if (i == costs->count)
		costs->cost[costs->count++] = (struct cost){ .resource = resource };
	costs->cost[i].hits += hits;
	return 0;
}

void costs_rebase(struct costs *costs)
{
	size_t i;

	for (i = 0; i < costs->count; i++)
		costs->cost[i].base = costs->cost[i].hits;
}

size_t costs_count(const struct costs *costs)
{
	return costs->count;
}

int costs_samples(const struct costs *costs, double hit_ns, const struct resource *agent, uint64_t start_unix_ns,
		  struct arena *arena, struct sample *ret)
{
	struct cell *cell = arena_array(arena, costs->count, sizeof(*cell));
	size_t i;

	if (!cell && costs->count)
		return -ENOMEM;
	for (i = 0; i < costs->count; i++) {
		cell[i] = (struct cell){ .count = 1, .sum = (uint64_t)((double)(costs->cost[i].hits - costs->cost[i].base) * hit_ns / 1000) };
		ret[i] = (struct sample){
			.resource = agent,
			.metric = &cpu_time,
			.value = { service_name(costs->cost[i].resource) },
			.start_unix_ns = start_unix_ns,
			.cell = &cell[i],
			.cell_count = 1,
		};
	}
	return 0;
}

const struct resource *costs_over(struct costs *costs, double hit_ns, uint64_t elapsed_ns, unsigned max_percent,
				  double *ret_percent)
{
	size_t i;

	for (i = 0; i < costs->count; i++) {
		struct cost *cost = &costs->cost[i];
		double spent_ns = (double)(cost->hits - cost->before) * hit_ns;
		double percent = elapsed_ns ? 100 * spent_ns / (double)elapsed_ns : 0;
		bool was_over = cost->over;

		if (cost->looked_at)
			continue;
		cost->looked_at = true;
		cost->before = cost->hits;
		cost->over = percent > max_percent;
		if (cost->over && !was_over) {
			*ret_percent = percent;
			return cost->resource;
		}
	}
	for (i = 0; i < costs->count; i++)
		costs->cost[i].looked_at = false;
	return NULL;
}
