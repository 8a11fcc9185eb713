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

/* Of all series; one service gets half. What comes past that is not remembered, and ends with its last process. */
#define SEEN_BYTES ((size_t)16 << 20)

struct entry {
	UT_hash_handle hh;
	struct sample zero;
	char key[]; /* resource, metric, overflow, label values */
};

struct seen {
	struct entry *entry;
	struct quota *bytes;
};

struct seen *seen_new(void)
{
	struct seen *seen = calloc(1, sizeof(*seen));

	if (!seen)
		return NULL;
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

static bool must_go_on(const struct point *point)
{
	return point->metric->kind == PROBEMETER_KIND_UPDOWNCOUNTER ||
	       (point->metric->kind == PROBEMETER_KIND_COUNTER && !point->metric->label_count);
}

/* The longest key: two pointers, a flag, four values of three bytes per byte. */
#define MAX_KEY (2 * sizeof(void *) + 1 + PROBEMETER_MAX_LABELS * (3 * PROBEMETER_LABEL_BYTES + 1))

static size_t key_of(const struct point *point, char *ret)
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

		if (!must_go_on(point))
			continue;
		size = key_of(point, key);
		HASH_FIND(hh, seen->entry, key, size, entry);
		if (entry || !quota_take(seen->bytes, point->resource, sizeof(*entry) + size))
			continue;
		entry = calloc(1, sizeof(*entry) + size);
		if (!entry)
			return -ENOMEM;
		memcpy(entry->key, key, size);
		entry->zero = (struct sample){
			.resource = point->resource,
			.metric = point->metric,
			.overflow = point->overflow,
			.start_unix_ns = point->start_unix_ns,
		};
		for (n = 0, text = entry->key + 2 * sizeof(void *) + 1; !point->overflow && n < point->metric->label_count;
		     n++, text += strlen(text) + 1)
			entry->zero.value[n] = text;
		HASH_ADD(hh, seen->entry, key, size, entry);
	}
	return 0;
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
