/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trim.c - leave out metrics and labels.
 *
 * Consumes the rules of --drop-metric and --drop-label and a metric as a binary declares it; produces the metric that is
 * counted. That nobody attaches to what is dropped is attach.c's, that the kernel hashes only the labels that stay is
 * trim.bpf.h's.
 */
#include "trim.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <probemeter/probemeter.h>

#include "arena.h"

struct rule {
	const char *metric;
	const char *label; /* NULL: all of the metric */
	struct rule *next;
};

struct told {
	const char *metric;
	struct told *next;
};

struct trims {
	struct arena *arena;
	struct rule *rule;
	struct told *told;
};

struct trims *trims_new(void)
{
	struct trims *trims = calloc(1, sizeof(*trims));

	if (!trims)
		return NULL;
	trims->arena = arena_new();
	if (!trims->arena) {
		free(trims);
		return NULL;
	}
	return trims;
}

void trims_free(struct trims *trims)
{
	if (!trims)
		return;
	arena_free(trims->arena);
	free(trims);
}

/* @label: NULL for none, or it lies behind a colon at the end of what begins at @metric. */
static int rule_add(struct trims *trims, const char *metric, const char *label)
{
	size_t length = label ? (size_t)(label - metric) - 1 : strlen(metric);
	struct rule *rule = arena_array(trims->arena, 1, sizeof(*rule));

	if (!rule)
		return -ENOMEM;
	rule->metric = arena_strndup(trims->arena, metric, length);
	rule->label = label ? arena_strdup(trims->arena, label) : NULL;
	if (!rule->metric || (label && !rule->label))
		return -ENOMEM;
	rule->next = trims->rule;
	trims->rule = rule;
	return 0;
}

int trims_drop_metric(struct trims *trims, const char *glob)
{
	return rule_add(trims, glob, NULL);
}

int trims_drop_label(struct trims *trims, const char *rule)
{
	const char *colon = strrchr(rule, ':');

	if (!colon || colon == rule || !colon[1])
		return -EINVAL;
	return rule_add(trims, rule, colon + 1);
}

bool trims_has_labels(const struct trims *trims)
{
	const struct rule *rule;

	for (rule = trims->rule; rule; rule = rule->next)
		if (rule->label)
			return true;
	return false;
}

/* The rule for @label of the metric, or for all of it. */
static const struct rule *rule_find(const struct trims *trims, const char *metric, const char *label)
{
	const struct rule *rule;

	for (rule = trims->rule; rule; rule = rule->next)
		if (!rule->label == !label && !fnmatch(rule->metric, metric, 0) && (!label || !fnmatch(rule->label, label, 0)))
			return rule;
	return NULL;
}

uint64_t trims_hash(const struct trims *trims)
{
	const struct rule *rule;
	uint64_t hash = 0;

	for (rule = trims->rule; rule; rule = rule->next)
		hash += probemeter_hash_label_(probemeter_hash_label_(1, rule->metric), rule->label ? rule->label : "");
	return hash;
}

bool trims_spares(const struct trims *trims, const struct metric *metric)
{
	bool spared = !rule_find(trims, metric->name, NULL);
	uint32_t i;

	for (i = 0; i < metric->label_count && spared; i++)
		spared = !rule_find(trims, metric->name, metric->label[i]);
	return spared;
}

/* For the first time? Short of memory it is said again. */
static bool tell(struct trims *trims, const char *metric)
{
	struct told *told;

	for (told = trims->told; told; told = told->next)
		if (!strcmp(told->metric, metric))
			return false;
	told = arena_array(trims->arena, 1, sizeof(*told));
	if (!told)
		return true;
	told->metric = arena_strdup(trims->arena, metric);
	if (!told->metric)
		return true;
	told->next = trims->told;
	trims->told = told;
	return true;
}

bool trims_apply(struct trims *trims, const struct metric *metric, struct metric *ret, uint32_t *left_out, char *line,
		 size_t size)
{
	const struct rule *rule = rule_find(trims, metric->name, NULL);
	struct metric left = *metric;
	uint32_t bits = 0, i;
	size_t used;

	*line = '\0';
	if (rule) {
		if (tell(trims, metric->name))
			(void)snprintf(line, size, "metric '%s' is not counted: --drop-metric %s", metric->name, rule->metric);
		return false;
	}
	left.label_count = 0;
	for (i = 0; i < metric->label_count; i++)
		if (rule_find(trims, metric->name, metric->label[i]))
			bits |= 1u << i;
		else
			left.label[left.label_count++] = metric->label[i];
	if (bits && tell(trims, metric->name)) {
		used = (size_t)snprintf(line, size, "metric '%s' is counted without", metric->name);
		for (i = 0; i < metric->label_count; i++)
			if (bits & 1u << i && used < size)
				used += (size_t)snprintf(line + used, size - used, " '%s'", metric->label[i]);
		if (used < size)
			(void)snprintf(line + used, size - used, ": --drop-label");
	}
	*left_out = bits;
	*ret = left;
	return true;
}
