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

#include "table.h"
#include "utf8.h"

struct entry {
	UT_hash_handle hh;
	uint32_t series, service;
	const char **value; /* NULL: not read yet; the texts lie behind it */
	bool spilled;
};

struct names {
	struct entry *entry; /* by series id */
};

static const char *const no_labels[1];

struct names *names_new(void)
{
	return calloc(1, sizeof(struct names));
}

static void drop(struct names *names, struct entry *entry)
{
	HASH_DEL(names->entry, entry);
	free(entry->value);
	free(entry);
}

void names_free(struct names *names)
{
	struct entry *entry, *next;

	if (!names)
		return;
	HASH_ITER(hh, names->entry, entry, next)
		drop(names, entry);
	free(names);
}

void names_forget(struct names *names, const bool *gone)
{
	struct entry *entry, *next;

	HASH_ITER(hh, names->entry, entry, next)
		if (gone[entry->service & (PM_MAX_SERVICES - 1)])
			drop(names, entry);
}

static struct entry *entry_get(struct names *names, const struct raw_series *series)
{
	struct entry *entry;

	HASH_FIND(hh, names->entry, &series->series.id, sizeof(entry->series), entry);
	if (entry) {
		entry->service = series->key.service; /* of one that an earlier agent spilled it is not known at first */
		return entry;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->series = series->series.id;
	entry->service = series->key.service;
	HASH_ADD(hh, names->entry, series, sizeof(entry->series), entry);
	return entry;
}

/* The label values behind one another, cleaned, and the pointers to them in front, in one piece of memory. */
static int values_read(const struct kernel *kernel, const struct raw_series *series, uint32_t count, const char ***ret)
{
	char raw[PROBEMETER_LABEL_BYTES + 1], text[PROBEMETER_MAX_LABELS][3 * PROBEMETER_LABEL_BYTES + 1], *at;
	size_t size = count * sizeof(char *);
	const char **value;
	uint32_t i;

	for (i = 0; i < count; i++) {
		long length = snapshot_string(kernel, series->series.id, (uint16_t)i, raw, sizeof(raw));

		if (length < 0)
			return (int)length;
		(void)utf8_clean(raw, (size_t)length, text[i], sizeof(text[i]));
		size += strlen(text[i]) + 1;
	}
	value = malloc(size);
	if (!value)
		return -ENOMEM;
	for (i = 0, at = (char *)(value + count); i < count; i++) {
		value[i] = at;
		at = stpcpy(at, text[i]) + 1;
	}
	*ret = value;
	return 0;
}

int names_get(struct names *names, const struct kernel *kernel, const struct raw_series *series,
	      const struct metric *metric, const char *const **ret)
{
	struct entry *entry;
	int err;

	if (!metric->label_count) {
		*ret = no_labels;
		return 0;
	}
	entry = entry_get(names, series);
	if (!entry)
		return -ENOMEM;
	if (!entry->value) {
		if (!series->series.named)
			return -ENOENT;
		err = values_read(kernel, series, metric->label_count, &entry->value);
		if (err)
			return err;
	}
	*ret = entry->value;
	return 0;
}

int names_spill(struct names *names, const struct raw_series *series)
{
	struct entry *entry = entry_get(names, series);

	if (!entry)
		return -ENOMEM;
	entry->spilled = true;
	return 0;
}

bool names_spilled(const struct names *names, const struct raw_series *series)
{
	struct entry *entry;

	HASH_FIND(hh, names->entry, &series->series.id, sizeof(entry->series), entry);
	return entry && entry->spilled;
}
