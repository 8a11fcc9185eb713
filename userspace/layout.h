/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * layout.h - what a set of maps says about itself, for agents of other schemas.
 */
#ifndef PROBEMETER_LAYOUT_H
#define PROBEMETER_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "journal.h"

/*
 * Numbers in a record of the journal, in this order, for ever; a later form may have more behind them. The form says what
 * numbers cannot: how a cell's key is made of service, metric and bucket, what its sum is a sum of, and that the maps have
 * the names and meanings of bpf/maps.h. Where sizes and places are others, the same form can be read all the same.
 */
enum layout_number {
	LAYOUT_FORM,
	LAYOUT_SLOTS,
	LAYOUT_CPUS,
	LAYOUT_SLOT_SIZE,
	LAYOUT_SLOT_WHERE, /* offsets */
	LAYOUT_SLOT_HASH,
	LAYOUT_CELL_SIZE,
	LAYOUT_CELL_COUNT,
	LAYOUT_CELL_SUM,
	LAYOUT_METRICS,
	LAYOUT_REASONS,
	/* These must be as ours. */
	LAYOUT_CARRIED_SIZE,
	LAYOUT_SERIES_KEY_SIZE,
	LAYOUT_SERIES_SIZE,
	LAYOUT_USAGE_KEY_SIZE,
	LAYOUT_STRING_KEY_SIZE,
	LAYOUT_PIECE,
	LAYOUT_LABEL_PIECES,
	LAYOUT_SERVICE_KEY_SIZE,
	LAYOUT_SERVICE_SIZE,
	LAYOUT_TAKEN_SIZE,
	LAYOUT_COUNT,
};
#define LAYOUT_FORM_1 1

struct layout {
	uint64_t number[LAYOUT_COUNT];
};

/* Of maps that this build makes. */
void layout_own(uint32_t slots, uint32_t cpus, struct layout *ret);

int layout_write(struct journal *journal, const struct layout *layout);

/* Return: 0, or -EBADMSG if there is none or this build cannot read maps like that. */
int layout_read(const struct journal *journal, struct layout *ret);

#endif
