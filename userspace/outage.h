/* SPDX-License-Identifier: BSD-2-Clause */
/* outage.h - one warning per outage and one line when it is over, not one per try. */
#ifndef PROBEMETER_OUTAGE_H
#define PROBEMETER_OUTAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed is right to start with. */
struct outage {
	bool down;
	uint64_t since_ns;
	uint64_t failures; /* exports that failed in this outage, or in the one that just ended */
};

enum outage_change { OUTAGE_SAME, OUTAGE_BEGINS, OUTAGE_ENDS };

/**
 * outage_update - take note of one export
 * @delivered: did it arrive?
 * @now_ns:    a clock that never steps back
 * @line:      OUTAGE_BEGINS: "quiet until it is back"; OUTAGE_ENDS: "back after 1 min 20 s, 8 exports failed"; else
 *             empty. May be NULL if @line_size is 0.
 *
 * Return: OUTAGE_BEGINS: warn now, with the reason at hand; OUTAGE_ENDS: say so; OUTAGE_SAME: be quiet.
 */
enum outage_change outage_update(struct outage *outage, bool delivered, uint64_t now_ns, char *line, size_t line_size);

/**
 * outage_suspect - take note of a try that failed, while its export still goes on
 *
 * Return: OUTAGE_BEGINS: warn now, @line is "trying again, quiet until it is back"; else OUTAGE_SAME.
 */
enum outage_change outage_suspect(struct outage *outage, uint64_t now_ns, char *line, size_t line_size);

#endif
