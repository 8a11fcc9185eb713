/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ledger.h - running totals of cells, from one reading of the kernel's counters to the next. Pure.
 */
#ifndef PROBEMETER_LEDGER_H
#define PROBEMETER_LEDGER_H

#include "merge.h"
#include "snapshot.h"

/* Zeroed is right to start with. */
struct ledger {
	struct raw_cell *last; /* as read last, in the snapshot's order */
	struct cell *total; /* beside it */
	size_t count;
	size_t room;
	struct raw_cell *next_last; /* the other half of a pair of buffers */
	struct cell *next_total;
	size_t next_room;
};

/**
 * ledger_update - add what came since the last reading
 * @cell: a reading, in the snapshot's order
 *
 * The kernel's words wrap at 2^64, the totals do not: differences are taken modulo 2^64, which is right while less
 * than that comes in one interval (2^32 events of one cell and CPU). A cell that is new counts from zero, or, where an
 * earlier agent has read it, from all the times it went round; one that is no longer there keeps no total.
 *
 * Return: 0 or -ENOMEM, and then nothing has changed.
 */
int ledger_update(struct ledger *ledger, const struct raw_cell *cell, size_t count);

/* Keep nothing of the services that @gone (shape [PM_MAX_SERVICES]) names: their ids may become others'. */
void ledger_forget(struct ledger *ledger, const bool *gone);

void ledger_free(struct ledger *ledger);

#endif
