/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ledger.c - readings modulo 2^64 to totals.
 *
 * Consumes sorted readings; produces, beside them, totals that never wrap. Both readings are in one order, so joining
 * them is one walk.
 */
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int room_make(struct ledger *ledger, size_t count)
{
	void *last, *total;

	if (count <= ledger->next_room)
		return 0;
	last = realloc(ledger->next_last, count * sizeof(*ledger->last));
	if (!last)
		return -ENOMEM;
	ledger->next_last = last;
	total = realloc(ledger->next_total, count * sizeof(*ledger->total));
	if (!total)
		return -ENOMEM;
	ledger->next_total = total;
	ledger->next_room = count;
	return 0;
}

int ledger_update(struct ledger *ledger, const struct raw_cell *cell, size_t count)
{
	struct ledger swapped;
	uint128_t whole;
	size_t i, old = 0;

	if (room_make(ledger, count))
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		struct cell *total = &ledger->next_total[i];

		while (old < ledger->count && snapshot_cell_order(&ledger->last[old].key, &cell[i].key) < 0)
			old++;
		whole = (uint128_t)cell[i].high << 64 | cell[i].total.sum;
		*total = (struct cell){ .where = cell[i].key.where, .count = cell[i].total.count, .sum = whole };
		if (old < ledger->count && !snapshot_cell_order(&ledger->last[old].key, &cell[i].key)) {
			const struct pm_cell *before = &ledger->last[old].total;

			total->count = ledger->total[old].count + (cell[i].total.count - before->count);
			total->sum = ledger->total[old].sum + (uint64_t)(cell[i].total.sum - before->sum);
			/* If the first reading was between a sum's going round and its carry. */
			if (whole > total->sum)
				total->sum = whole;
		}
		ledger->next_last[i] = cell[i];
	}
	swapped = (struct ledger){
		.last = ledger->next_last,
		.total = ledger->next_total,
		.count = count,
		.room = ledger->next_room,
		.next_last = ledger->last,
		.next_total = ledger->total,
		.next_room = ledger->room,
	};
	*ledger = swapped;
	return 0;
}

void ledger_forget(struct ledger *ledger, const bool *gone)
{
	size_t from, to = 0;

	for (from = 0; from < ledger->count; from++) {
		if (gone[PM_WHERE_SERVICE(ledger->last[from].key.where) & (PM_MAX_SERVICES - 1)])
			continue;
		ledger->last[to] = ledger->last[from];
		ledger->total[to++] = ledger->total[from];
	}
	ledger->count = to;
}

void ledger_free(struct ledger *ledger)
{
	free(ledger->last);
	free(ledger->total);
	free(ledger->next_last);
	free(ledger->next_total);
	memset(ledger, 0, sizeof(*ledger));
}
