/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * levels.c - from each process's levels to one sample per series.
 *
 * Consumes what level.c read of a process, whose memory can be used again after that; produces samples. Ten thousand
 * processes with two thousand levels each are in its memory only once per distinct label set, and of those it keeps no
 * more than its limits.
 */
#include "levels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/maps.h"
#include "quota.h"

struct entry {
	struct sample sample;
	UT_hash_handle hh;
	char key[]; /* resource, metric, overflow, label values */
};

struct levels {
	struct arena *arena;
	struct entry *entry; /* uthash, by key */
	struct levels_tally *tally; /* uthash */
	struct quota *series, *bytes;
	size_t overflows; /* series among the entries */
};

#define MAX_KEY (2 * sizeof(void *) + 1 + PROBEMETER_MAX_LABELS * (3 * PROBEMETER_LABEL_BYTES + 1))

struct levels *levels_new(void)
{
	struct levels *levels = calloc(1, sizeof(*levels));

	if (!levels)
		return NULL;
	levels->arena = arena_new();
	levels->series = quota_new(LEVELS_SERIES);
	levels->bytes = quota_new(LEVELS_BYTES);
	if (!levels->arena || !levels->series || !levels->bytes) {
		levels_free(levels);
		return NULL;
	}
	return levels;
}

void levels_begin(struct levels *levels)
{
	HASH_CLEAR(hh, levels->entry);
	HASH_CLEAR(hh, levels->tally);
	arena_reset(levels->arena);
	quota_reset(levels->series);
	quota_reset(levels->bytes);
	levels->overflows = 0;
}

void levels_free(struct levels *levels)
{
	if (!levels)
		return;
	HASH_CLEAR(hh, levels->entry);
	HASH_CLEAR(hh, levels->tally);
	quota_free(levels->series);
	quota_free(levels->bytes);
	arena_free(levels->arena);
	free(levels);
}

static size_t key_of(const struct resource *resource, const struct level *level, bool overflow, char *ret)
{
	size_t size = 0, length;
	uint32_t i;

	memcpy(ret, &resource, sizeof(void *));
	memcpy(ret + sizeof(void *), &level->metric, sizeof(void *));
	ret[2 * sizeof(void *)] = overflow;
	size = 2 * sizeof(void *) + 1;
	for (i = 0; !overflow && i < level->metric->label_count; i++) {
		length = strlen(level->value[i]) + 1;
		memcpy(ret + size, level->value[i], length);
		size += length;
	}
	return size;
}

/* May this service have another series of this metric? */
static bool room_take(struct levels *levels, const struct resource *resource, const struct metric *metric, size_t bytes)
{
	struct levels_tally key = { .key = { resource, metric } }, *tally;

	HASH_FIND(hh, levels->tally, &key.key, sizeof(key.key), tally);
	/* One of them is the overflow series. */
	if (tally && tally->series >= PM_SERIES_PER_METRIC - 1)
		return false;
	if (!quota_take(levels->bytes, resource, bytes) || !quota_take(levels->series, resource, 1))
		return false;
	if (!tally) {
		tally = arena_alloc(levels->arena, sizeof(*tally), sizeof(void *));
		if (!tally)
			return false;
		tally->key.resource = resource;
		tally->key.metric = metric;
		HASH_ADD(hh, levels->tally, key, sizeof(tally->key), tally);
	}
	tally->series++;
	return true;
}

static struct entry *entry_add(struct levels *levels, const struct resource *resource, const struct metric *metric,
			       const char *key, size_t size, bool overflow)
{
	struct entry *entry = arena_alloc(levels->arena, sizeof(*entry) + size, sizeof(void *));
	char *text;
	uint32_t i;

	if (!entry)
		return NULL;
	memcpy(entry->key, key, size);
	entry->sample = (struct sample){ .resource = resource, .metric = metric, .overflow = overflow };
	for (i = 0, text = entry->key + 2 * sizeof(void *) + 1; !overflow && i < metric->label_count; i++) {
		entry->sample.value[i] = text;
		text += strlen(text) + 1;
	}
	HASH_ADD(hh, levels->entry, key, size, entry);
	return entry;
}

/*
 * The series of a level, or where there is no room for another, its metric's overflow series; NULL with @ret_err. A metric
 * without labels, or whose labels are all left out, is one series: what found no slot of its own in the process belongs to
 * it as well.
 */
static struct entry *entry_of(struct levels *levels, const struct resource *resource, const struct level *level, int *ret_err)
{
	bool overflow = level->overflow && level->metric->label_count;
	struct entry *entry;
	char key[MAX_KEY];
	size_t size;

	for (;; overflow = true) {
		size = key_of(resource, level, overflow, key);
		HASH_FIND(hh, levels->entry, key, size, entry);
		if (entry)
			return entry;
		if (overflow || room_take(levels, resource, level->metric, sizeof(*entry) + size))
			break;
	}
	*ret_err = -ENOSPC;
	if (overflow && levels->overflows == LEVELS_SERIES)
		return NULL;
	levels->overflows += overflow;
	*ret_err = -ENOMEM;
	return entry_add(levels, resource, level->metric, key, size, overflow);
}

/* As merge.c's point_add() has it. */
static void fold(struct sample *sample, const struct level *level)
{
	if (level->metric->kind == PROBEMETER_KIND_UPDOWNCOUNTER) {
		sample->level += level->level;
	} else if (level->set_ns > sample->set_ns) {
		sample->level = level->level;
		sample->set_ns = level->set_ns;
	}
}

int levels_add(struct levels *levels, const struct resource *resource, const struct level *level, size_t count,
	       const uint64_t *start_unix_ns)
{
	int err, result = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		struct entry *entry = entry_of(levels, resource, &level[i], &err);

		if (!entry && err == -ENOMEM)
			return err;
		if (!entry) {
			result = err;
			continue;
		}
		entry->sample.start_unix_ns = start_unix_ns[level[i].metric->id] > resource->since_unix_ns ?
						      start_unix_ns[level[i].metric->id] : resource->since_unix_ns;
		fold(&entry->sample, &level[i]);
	}
	return result;
}

size_t levels_count(const struct levels *levels)
{
	return HASH_COUNT(levels->entry);
}

void levels_samples(const struct levels *levels, struct sample *ret)
{
	const struct entry *entry;

	for (entry = levels->entry; entry; entry = entry->hh.next)
		*ret++ = entry->sample;
}

const struct levels_tally *levels_tallies(const struct levels *levels)
{
	return levels->tally;
}

void levels_values(const struct levels *levels, const struct levels_tally *tally, const char *const **ret)
{
	const struct entry *entry;

	for (entry = levels->entry; entry; entry = entry->hh.next)
		if (entry->sample.resource == tally->key.resource && entry->sample.metric == tally->key.metric &&
		    !entry->sample.overflow)
			*ret++ = entry->sample.value;
}

struct levels_used levels_used(const struct levels *levels, const struct resource *resource)
{
	return (struct levels_used){ quota_taken(levels->series, resource), quota_taken(levels->bytes, resource) };
}
