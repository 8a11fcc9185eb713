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
#include "table.h"

struct cost {
	UT_hash_handle hh;
	const struct resource *resource;
	struct named *named;
	uint64_t hits, before; /* now, and when costs_over() looked last */
	uint64_t base; /* hits that an earlier agent has accounted for */
	bool over; /* and said so */
	bool looked_at; /* in this round of costs_over() */
};

/* What is exported: resources of one name are one series. */
struct named {
	UT_hash_handle hh;
	uint64_t hits; /* of all of them, for costs_samples() */
	uint64_t forgotten; /* hits of resources that are gone */
	uint64_t since_unix_ns; /* starts no earlier */
	size_t resources;
	size_t ending; /* of these, in this reading */
	char name[];
};

struct costs {
	struct cost *cost; /* by resource */
	struct named *named; /* by name */
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

static void cost_drop(struct costs *costs, struct cost *cost)
{
	struct named *named = cost->named;

	HASH_DEL(costs->cost, cost);
	named->forgotten += cost->hits - cost->base;
	if (!--named->resources) {
		HASH_DEL(costs->named, named);
		free(named);
	}
	free(cost);
}

void costs_free(struct costs *costs)
{
	struct cost *cost, *next;

	if (!costs)
		return;
	HASH_ITER(hh, costs->cost, cost, next)
		cost_drop(costs, cost);
	free(costs);
}

void costs_forget(struct costs *costs, const struct resource *resource)
{
	struct cost *cost;

	HASH_FIND_PTR(costs->cost, &resource, cost);
	if (cost)
		cost_drop(costs, cost);
}

void costs_end(struct costs *costs, const struct resource *resource)
{
	struct cost *cost;

	HASH_FIND_PTR(costs->cost, &resource, cost);
	if (cost)
		cost->named->ending++;
}

bool costs_ends(const struct costs *costs, const char *name)
{
	struct named *named;

	HASH_FIND(hh, costs->named, name, strlen(name), named);
	return named && named->ending == named->resources;
}

void costs_begin(struct costs *costs)
{
	struct named *named;
	struct cost *cost;

	for (named = costs->named; named; named = named->hh.next)
		named->ending = 0;
	for (cost = costs->cost; cost; cost = cost->hh.next)
		cost->hits = 0;
}

static struct named *named_get(struct costs *costs, const struct resource *resource)
{
	const char *name = service_name(resource);
	size_t length = strlen(name);
	struct named *named;

	HASH_FIND(hh, costs->named, name, length, named);
	if (named)
		return named;
	named = calloc(1, sizeof(*named) + length + 1);
	if (!named)
		return NULL;
	memcpy(named->name, name, length);
	named->since_unix_ns = resource->since_unix_ns;
	HASH_ADD(hh, costs->named, name, length, named);
	return named;
}

static struct cost *cost_get(struct costs *costs, const struct resource *resource)
{
	struct cost *cost;

	HASH_FIND_PTR(costs->cost, &resource, cost);
	if (cost)
		return cost;
	cost = calloc(1, sizeof(*cost));
	if (!cost)
		return NULL;
	cost->resource = resource;
	cost->named = named_get(costs, resource);
	if (!cost->named) {
		free(cost);
		return NULL;
	}
	cost->named->resources++;
	HASH_ADD_PTR(costs->cost, resource, cost);
	return cost;
}

int costs_add(struct costs *costs, const struct resource *resource, uint64_t hits)
{
	struct cost *cost = cost_get(costs, resource);

	if (!cost)
		return -ENOMEM;
	cost->hits += hits;
	return 0;
}

void costs_rebase(struct costs *costs)
{
	struct cost *cost;

	for (cost = costs->cost; cost; cost = cost->hh.next)
		cost->base = cost->hits;
}

size_t costs_count(const struct costs *costs)
{
	return HASH_COUNT(costs->named);
}

int costs_samples(struct costs *costs, double hit_ns, const struct resource *agent, uint64_t start_unix_ns,
		  struct arena *arena, struct sample *ret)
{
	struct cell *cell = arena_array(arena, costs_count(costs), sizeof(*cell));
	struct named *named;
	struct cost *cost;

	if (!cell && costs->named)
		return -ENOMEM;
	for (named = costs->named; named; named = named->hh.next)
		named->hits = named->forgotten;
	for (cost = costs->cost; cost; cost = cost->hh.next)
		cost->named->hits += cost->hits - cost->base;
	for (named = costs->named; named; named = named->hh.next, cell++) {
		*cell = (struct cell){ .count = 1, .sum = (uint64_t)((double)named->hits * hit_ns / 1000) };
		*ret++ = (struct sample){
			.resource = agent,
			.metric = &cpu_time,
			.value = { named->name },
			.start_unix_ns = named->since_unix_ns > start_unix_ns ? named->since_unix_ns : start_unix_ns,
			.cell = cell,
			.cell_count = 1,
		};
	}
	return 0;
}

const struct resource *costs_over(struct costs *costs, double hit_ns, uint64_t elapsed_ns, unsigned max_percent,
				  double *ret_percent)
{
	struct cost *cost;

	for (cost = costs->cost; cost; cost = cost->hh.next) {
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
	for (cost = costs->cost; cost; cost = cost->hh.next)
		cost->looked_at = false;
	return NULL;
}
