/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metric.c - the registry of metrics.
 *
 * Consumes descriptors' metrics, of any number of binaries; produces one struct metric per distinct content. Two
 * binaries that declare the same metric share one; two that differ in anything have one each, and nobody can change
 * another's.
 */
#include "metric.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/maps.h"
#include "arena.h"
#include "table.h"

struct entry {
	struct metric metric;
	UT_hash_handle hh;
	size_t key_size;
	bool compared; /* with those that were there before */
	bool hidden;
	char key[]; /* everything that decides identity, one after the other */
};

struct metrics {
	struct arena *arena;
	struct entry *by_content;
	struct entry *by_id[PM_MAX_METRICS];
	uint32_t count;
};

struct metrics *metrics_new(void)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics)
		return NULL;
	metrics->arena = arena_new();
	if (!metrics->arena) {
		free(metrics);
		return NULL;
	}
	return metrics;
}

void metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return;
	HASH_CLEAR(hh, metrics->by_content);
	arena_free(metrics->arena);
	free(metrics);
}

static char *append(char *to, const char *text)
{
	return stpcpy(to, text) + 1;
}

/* Lay out the identity of @metric in @to, or only measure it if @to is NULL. */
static size_t identity(const struct metric *metric, char *to)
{
	const char *text[4 + PROBEMETER_MAX_LABELS] = { metric->scope, metric->name, metric->unit, metric->description };
	const uint32_t number[] = { metric->kind, metric->label_count, metric->bound_count };
	size_t size = sizeof(number) + metric->bound_count * sizeof(double), i;

	for (i = 0; i < metric->label_count; i++)
		text[4 + i] = metric->label[i];
	for (i = 0; i < 4 + metric->label_count; i++)
		size += strlen(text[i]) + 1;
	if (!to)
		return size;
	/* How many bounds as well: their bytes are a stranger's and may look like the text behind them. */
	memcpy(to, number, sizeof(number));
	to += sizeof(number);
	if (metric->bound_count)
		memcpy(to, metric->bound, metric->bound_count * sizeof(double));
	to += metric->bound_count * sizeof(double);
	for (i = 0; i < 4 + metric->label_count; i++)
		to = append(to, text[i]);
	return size;
}

int metrics_intern(struct metrics *metrics, const struct metric *wanted, const struct metric **ret)
{
	size_t size = identity(wanted, NULL), i;
	struct entry *found, *fresh = arena_alloc(metrics->arena, sizeof(*fresh) + size, sizeof(void *));
	double *bound = NULL;

	/* A copy that turns out not to be needed stays in the arena: binaries are few. */
	if (!fresh)
		return -ENOMEM;
	fresh->key_size = identity(wanted, fresh->key);
	HASH_FIND(hh, metrics->by_content, fresh->key, size, found);
	if (found) {
		*ret = &found->metric;
		return 0;
	}
	if (metrics->count == PM_MAX_METRICS)
		return -ENOSPC;
	fresh->metric = *wanted;
	fresh->metric.id = metrics->count;
	fresh->metric.scope = arena_strdup(metrics->arena, wanted->scope);
	fresh->metric.name = arena_strdup(metrics->arena, wanted->name);
	fresh->metric.unit = arena_strdup(metrics->arena, wanted->unit);
	fresh->metric.description = arena_strdup(metrics->arena, wanted->description);
	if (!fresh->metric.scope || !fresh->metric.name || !fresh->metric.unit || !fresh->metric.description)
		return -ENOMEM;
	for (i = 0; i < wanted->label_count; i++) {
		fresh->metric.label[i] = arena_strdup(metrics->arena, wanted->label[i]);
		if (!fresh->metric.label[i])
			return -ENOMEM;
	}
	if (wanted->bound_count) {
		bound = arena_alloc(metrics->arena, wanted->bound_count * sizeof(*bound), sizeof(*bound));
		if (!bound)
			return -ENOMEM;
		memcpy(bound, wanted->bound, wanted->bound_count * sizeof(*bound));
	}
	fresh->metric.bound = bound;
	metrics->by_id[metrics->count++] = fresh;
	HASH_ADD(hh, metrics->by_content, key, size, fresh);
	*ret = &fresh->metric;
	return 0;
}

static bool same_labels(const struct metric *a, const struct metric *b)
{
	uint32_t i;

	for (i = 0; i < a->label_count && i < b->label_count; i++)
		if (strcmp(a->label[i], b->label[i]))
			return false;
	return a->label_count == b->label_count;
}

static const char *difference(const struct metric *a, const struct metric *b)
{
	if (a->kind != b->kind)
		return "kind";
	if (strcmp(a->unit, b->unit))
		return "unit";
	return same_labels(a, b) ? NULL : "labels";
}

const char *metrics_conflict(struct metrics *metrics, const struct metric *metric)
{
	struct entry *entry = metrics->by_id[metric->id];
	const char *found = NULL;
	uint32_t i;

	for (i = 0; i < metrics->count && !entry->compared && !found; i++)
		if (metrics->by_id[i]->compared && !metrics->by_id[i]->hidden && !strcmp(metrics->by_id[i]->metric.name, metric->name))
			found = difference(&metrics->by_id[i]->metric, metric);
	entry->compared = true;
	return found;
}

void metrics_hide(struct metrics *metrics, uint32_t id, bool hidden)
{
	metrics->by_id[id]->hidden = hidden;
}

bool metrics_hidden(const struct metrics *metrics, uint32_t id)
{
	return metrics->by_id[id]->hidden;
}

uint32_t metrics_count(const struct metrics *metrics)
{
	return metrics->count;
}

const struct metric *metrics_get(const struct metrics *metrics, uint32_t id)
{
	return id < metrics->count ? &metrics->by_id[id]->metric : NULL;
}
