/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover_set.h - both sides of a handover: an old set, open to be read, and writing to the maps of the new one.
 */
#ifndef PROBEMETER_HANDOVER_SET_H
#define PROBEMETER_HANDOVER_SET_H

#include <stddef.h>
#include <stdint.h>

#include "journal.h"
#include "layout.h"
#include "pins.h"

struct pm_carried;

/* One old set, of the sizes that its layout says. */
struct old_set {
	struct journal journal;
	struct layout layout;
	const char *places, *cells;
	size_t places_size, cells_size, carries_size, carried_size;
	const uint64_t *carries;
	const struct pm_carried *carried; /* or NULL */
	int series, strings, services, drops;
};

/* All that is needed of a set. Return: 0, or as pins_error(), and then nothing is open. */
int old_set_open(const struct pins_set *set, struct old_set *ret);
void old_set_close(struct old_set *old);

/* Its journal alone, to be read. Return: 0, or as pins_error(), with @ret untouched. */
int old_set_journal(const struct pins_set *set, struct journal *ret);
void old_set_journal_close(struct journal *journal);

/* One of its maps, if keys and values have these sizes. Return: descriptor, or as pins_error(). */
int old_set_map(const struct pins_set *set, const char *name, uint32_t key_size, uint32_t value_size);

/* Has it all that the sets before it counted? Return: 1, 0 or as pins_error(). */
int old_set_has_carried(const struct pins_set *set);

/* 64 bits of @old->places or @old->cells. */
uint64_t old_set_word(const char *memory, uint64_t offset);

/* Write to a map of the new set. One that allocates on demand may find no memory for a moment. Return: 0 or -errno. */
int map_put(int fd, const void *key, const void *value, uint64_t flags);

#endif
