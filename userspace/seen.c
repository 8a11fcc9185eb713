/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seen.c - remember series by resource, metric and label values.
 */
#include "seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/maps.h"
#include "quota.h"
#include "table.h"

/* Of all series; one service gets half. What comes past that is not remembered, and is no more with its last process. */
#define SEEN_BYTES ((size_t)16 << 20)

struct entry {
	UT_hash_handle hh;
	struct sample zero;
	bool told; /* its end is on its way, */
	size_t at; /* in that point */
	size_t size; /* of the key */
	char key[]; /* resource, metric, overflow, label values */
};

struct seen {
	enum seen_which which;
	struct entry *entry;
	struct quota *bytes;
};

struct seen *seen_new(enum seen_which which)
{
	struct seen *seen = calloc(1, sizeof(*seen));

	if (!seen)
		return NULL;
	seen->which = which;
	seen->bytes = quota_new(SEEN_BYTES);
	if (!seen->bytes) {
		seen_free(seen);
		return NULL;
	}
	return seen;
}

static void drop(struct seen *seen, struct entry *entry)
{
	HASH_DEL(seen->entry, entry);
	free(entry);
}

void seen_free(struct seen *seen)
{
	struct entry *entry, *next;

	if (!seen)
		return;
	HASH_ITER(hh, seen->entry, entry, next)
		drop(seen, entry);
	quota_free(seen->bytes);
	free(seen);
}

void seen_forget(struct seen *seen, const struct resource *resource)
{
	struct entry *entry, *next;

	HASH_ITER(hh, seen->entry, entry, next)
		if (entry->zero.resource == resource)
			drop(seen, entry);
	quota_give(seen->bytes, resource);
}

void seen_clear(struct seen *seen)
{
	struct entry *entry, *next;

	HASH_ITER(hh, seen->entry, entry, next) {
		quota_give(seen->bytes, entry->zero.resource);
		drop(seen, entry);
	}
}

static bool is_wanted(const struct seen *seen, const struct point *point)
{
	switch (point->metric->kind) {
	case PROBEMETER_KIND_UPDOWNCOUNTER:
		return seen->which == SEEN_GOES_ON;
	case PROBEMETER_KIND_COUNTER:
		return seen->which == SEEN_GOES_ON && !point->metric->label_count;
	case PROBEMETER_KIND_UPDOWNCOUNTER_LATEST:
	case PROBEMETER_KIND_GAUGE:
		return seen->which == SEEN_ENDS;
	default:
		return false;
	}
}

/* The longest key: two pointers, a flag, four values of three bytes per byte. */
#define MAX_KEY (2 * sizeof(void *) + 1 + PROBEMETER_MAX_LABELS * (3 * PROBEMETER_LABEL_BYTES + 1))

static size_t key_of(const struct point *point, char ret[MAX_KEY])
{
	size_t size = 0;
	uint32_t i;

	memcpy(ret + size, &point->resource, sizeof(void *));
	size += sizeof(void *);
	memcpy(ret + size, &point->metric, sizeof(void *));
	size += sizeof(void *);
	ret[size++] = point->overflow;
	for (i = 0; !point->overflow && i < point->metric->label_count; i++) {
		size_t length = strlen(point->value[i]) + 1;

		memcpy(ret + size, point->value[i], length);
		size += length;
	}
	return size;
}

int seen_update(struct seen *seen, const struct points *points)
{
	char key[MAX_KEY];
	size_t i;

	for (i = 0; i < points->count; i++) {
		const struct point *point = &points->point[i];
		struct entry *entry;
		size_t size;
		char *text;
		uint32_t n;

		if (!is_wanted(seen, point))
			continue;
		size = key_of(point, key);
		HASH_FIND(hh, seen->entry, key, size, entry);
		if (entry || !quota_take(seen->bytes, point->resource, sizeof(*entry) + size))
			continue;
		entry = calloc(1, sizeof(*entry) + size);
		if (!entry) {
			quota_return(seen->bytes, point->resource, sizeof(*entry) + size);
			return -ENOMEM;
		}
		entry->size = size;
		memcpy(entry->key, key, size);
		entry->zero = (struct sample){
			.resource = point->resource,
			.metric = point->metric,
			.overflow = point->overflow,
			.start_unix_ns = point->start_unix_ns,
			.ends = seen->which == SEEN_ENDS,
		};
		for (n = 0, text = entry->key + 2 * sizeof(void *) + 1; !point->overflow && n < point->metric->label_count;
		     n++, text += strlen(text) + 1)
			entry->zero.value[n] = text;
		HASH_ADD(hh, seen->entry, key, size, entry);
	}
	return 0;
}

void seen_sent(struct seen *seen, const struct points *points)
{
	struct entry *entry;
	char key[MAX_KEY];
	size_t i;

	for (entry = seen->entry; entry; entry = entry->hh.next)
		entry->told = false;
	for (i = 0; i < points->count; i++) {
		const struct point *point = &points->point[i];

		if (!point->ended || !is_wanted(seen, point))
			continue;
		HASH_FIND(hh, seen->entry, key, key_of(point, key), entry);
		if (!entry)
			continue;
		entry->told = true;
		entry->at = i;
	}
}

void seen_failed(struct seen *seen, size_t first, size_t count)
{
	struct entry *entry;

	for (entry = seen->entry; entry; entry = entry->hh.next)
		if (entry->at >= first && entry->at - first < count)
			entry->told = false;
}

void seen_delivered(struct seen *seen)
{
	struct entry *entry, *next;

	HASH_ITER(hh, seen->entry, entry, next) {
		if (!entry->told)
			continue;
		quota_return(seen->bytes, entry->zero.resource, sizeof(*entry) + entry->size);
		drop(seen, entry);
	}
}

size_t seen_count(const struct seen *seen)
{
	return HASH_COUNT(seen->entry);
}

void seen_samples(const struct seen *seen, struct sample *ret)
{
	const struct entry *entry;

	for (entry = seen->entry; entry; entry = entry->hh.next)
		*ret++ = entry->zero;
}
