/* SPDX-License-Identifier: BSD-2-Clause */
/* filled.h - which slots of the kernel's table hold cells, in the order of the cells. */
#ifndef PROBEMETER_FILLED_H
#define PROBEMETER_FILLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/maps.h"

/* Zeroed is right to start with. */
struct filled {
	uint32_t *slot; /* those with a cell, by snapshot_cell_order() of their keys */
	size_t count, room;
	bool *listed; /* by slot: is it among these? */
	uint32_t total;
};

/**
 * filled_update - the slots as they are now
 * @filled: as they were at the last call, of the same table; then little is left to sort
 * @places: the table, which programs may add to at the same time: what comes meanwhile comes in the next call
 * @total:  slots in it
 *
 * Return: 0 or -ENOMEM.
 */
int filled_update(struct filled *filled, const struct pm_group *places, uint32_t total);

/* The key in a slot. Return: is there one, and complete? */
bool filled_key(const struct pm_group *places, uint32_t slot, struct pm_cell_key *ret);

void filled_free(struct filled *filled);

#endif
