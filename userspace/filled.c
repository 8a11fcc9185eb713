/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * filled.c - keep the slots of cells in order.
 *
 * Consumes the kernel's table of keys, produces the numbers of its slots, sorted. A cell stays in its slot as long as its
 * service is known, so that from one call to the next there is nearly nothing to sort: what came is sorted for itself, and
 * merged. Sorting all of ten thousand series each time was a tenth of a scrape.
 */
#include "filled.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

bool filled_key(const struct pm_group *places, uint32_t slot, struct pm_cell_key *ret)
{
	const struct pm_slot *place = &places[slot / PM_GROUP].slot[slot % PM_GROUP];

	/* The hash is complete once this is there and not busy any more. */
	ret->where = __atomic_load_n(&place->where, __ATOMIC_ACQUIRE);
	ret->hash = place->hash;
	return ret->where && !(ret->where & PM_WHERE_BUSY);
}

static int by_key(const void *a, const void *b, void *places)
{
	struct pm_cell_key x, y;

	(void)filled_key(places, *(const uint32_t *)a, &x);
	(void)filled_key(places, *(const uint32_t *)b, &y);
	return snapshot_cell_order(&x, &y);
}

static int room_make(struct filled *filled, uint32_t total)
{
	size_t room = filled->room ? 2 * filled->room : 1024;
	uint32_t *more;

	if (total != filled->total) {
		filled_free(filled);
		filled->listed = calloc(total ? total : 1, sizeof(*filled->listed));
		if (!filled->listed)
			return -ENOMEM;
		filled->total = total;
	}
	if (filled->count < filled->room)
		return 0;
	more = realloc(filled->slot, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	filled->slot = more;
	filled->room = room;
	return 0;
}

/* Leave out those that are empty again. Return: are the others in order, as they should be unless a slot has a new cell? */
static bool keep(struct filled *filled, const struct pm_group *places)
{
	struct pm_cell_key key, before = { 0 };
	size_t from, to = 0;
	bool ordered = true;

	for (from = 0; from < filled->count; from++) {
		uint32_t slot = filled->slot[from];

		filled->listed[slot] = filled_key(places, slot, &key);
		if (!filled->listed[slot])
			continue;
		ordered &= !to || snapshot_cell_order(&before, &key) <= 0;
		before = key;
		filled->slot[to++] = slot;
	}
	filled->count = to;
	return ordered;
}

/* Two parts that are in order each become one; from behind, so that only the second needs a copy. */
static int join(struct filled *filled, size_t first, struct pm_group *places)
{
	size_t second = filled->count - first, to = filled->count;
	uint32_t *copy = malloc((second + 1) * sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	memcpy(copy, filled->slot + first, second * sizeof(*copy));
	while (second) {
		bool later = first && by_key(&filled->slot[first - 1], &copy[second - 1], places) > 0;

		filled->slot[--to] = later ? filled->slot[--first] : copy[--second];
	}
	free(copy);
	return 0;
}

int filled_update(struct filled *filled, const struct pm_group *places, uint32_t total)
{
	struct pm_group *table = (struct pm_group *)places; /* for qsort_r(), which gives it to by_key() */
	struct pm_cell_key key;
	size_t kept;
	uint32_t slot;

	if (room_make(filled, total))
		return -ENOMEM;
	kept = keep(filled, places) ? filled->count : 0;
	for (slot = 0; slot < total; slot++) {
		if (filled->listed[slot] || !filled_key(places, slot, &key))
			continue;
		if (room_make(filled, total))
			return -ENOMEM;
		filled->listed[slot] = true;
		filled->slot[filled->count++] = slot;
	}
	if (filled->count > kept)
		qsort_r(filled->slot + kept, filled->count - kept, sizeof(*filled->slot), by_key, table);
	return kept && filled->count > kept ? join(filled, kept, table) : 0;
}

void filled_free(struct filled *filled)
{
	free(filled->slot);
	free(filled->listed);
	memset(filled, 0, sizeof(*filled));
}
