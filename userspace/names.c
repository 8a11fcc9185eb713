/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names.c - series ids to label values.
 *
 * Consumes the kernel's string pieces; produces cleaned strings, cached by the dense series id.
 */
#include "names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "utf8.h"

struct entry {
	const char *const *value; /* NULL: not read yet */
	bool spilled;
};

struct names {
	struct arena *arena;
	struct entry *entry; /* by series id */
	size_t count;
};

static const char *const no_labels[1];

struct names *names_new(void)
{
	struct names *names = calloc(1, sizeof(*names));

	if (names)
		names->arena = arena_new();
	if (names && !names->arena) {
		free(names);
		return NULL;
	}
	return names;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	arena_free(names->arena);
	free(names->entry);
	free(names);
}

static struct entry *entry_get(struct names *names, uint32_t id)
{
	if (id >= names->count) {
		size_t more = names->count ? names->count : 1024;
		struct entry *grown;

		while (more <= id)
			more *= 2;
		grown = realloc(names->entry, more * sizeof(*grown));
		if (!grown)
			return NULL;
		memset(grown + names->count, 0, (more - names->count) * sizeof(*grown));
		names->entry = grown;
		names->count = more;
	}
	return &names->entry[id];
}

int names_get(struct names *names, const struct kernel *kernel, const struct raw_series *series,
	      const struct metric *metric, const char *const **ret)
{
	char text[PROBEMETER_LABEL_BYTES + 1], *clean;
	struct entry *entry = entry_get(names, series->series.id);
	const char **value;
	long length;
	uint32_t i;

	if (!entry)
		return -ENOMEM;
	if (entry->value || !metric->label_count) {
		*ret = entry->value ? entry->value : no_labels;
		return 0;
	}
	if (!series->series.named)
		return -ENOENT;
	value = arena_alloc(names->arena, metric->label_count * sizeof(*value), sizeof(*value));
	if (!value)
		return -ENOMEM;
	for (i = 0; i < metric->label_count; i++) {
		length = snapshot_string(kernel, series->series.id, (uint16_t)i, text, sizeof(text));
		if (length < 0)
			return (int)length;
		clean = arena_alloc(names->arena, 3 * (size_t)length + 1, 1);
		if (!clean)
			return -ENOMEM;
		(void)utf8_clean(text, (size_t)length, clean, 3 * (size_t)length + 1);
		value[i] = clean;
	}
	entry->value = value;
	*ret = entry->value;
	return 0;
}

int names_spill(struct names *names, const struct raw_series *series)
{
	struct entry *entry = entry_get(names, series->series.id);

	if (!entry)
		return -ENOMEM;
	entry->spilled = true;
	return 0;
}

bool names_spilled(const struct names *names, const struct raw_series *series)
{
	return series->series.id < names->count && names->entry[series->series.id].spilled;
}
