/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outage.c - when to speak about a collector that does not answer.
 *
 * Consumes the outcome of each export, produces "begins", "ends" or silence. Pure: no clock, no log; the caller has
 * both.
 */
#include "outage.h"

#include <stdio.h>

#define SECOND_NS UINT64_C(1000000000)

static void outage_length(uint64_t length_ns, char *out, size_t out_size)
{
	uint64_t seconds = (length_ns + SECOND_NS / 2) / SECOND_NS;

	if (seconds < 60)
		(void)snprintf(out, out_size, "%u s", (unsigned)seconds);
	else if (seconds < 3600)
		(void)snprintf(out, out_size, "%u min %u s", (unsigned)(seconds / 60), (unsigned)(seconds % 60));
	else
		(void)snprintf(out, out_size, "%llu h %u min", (unsigned long long)(seconds / 3600),
			       (unsigned)(seconds / 60 % 60));
}

enum outage_change outage_update(struct outage *outage, bool delivered, uint64_t now_ns, char *line, size_t line_size)
{
	char length[48];

	if (line_size)
		*line = '\0';
	if (delivered && !outage->down)
		return OUTAGE_SAME;
	if (delivered) {
		outage->down = false;
		outage_length(now_ns - outage->since_ns, length, sizeof(length));
		if (line_size)
			(void)snprintf(line, line_size, "back after %s, %llu export%s failed", length,
				       (unsigned long long)outage->failures, outage->failures == 1 ? "" : "s");
		return OUTAGE_ENDS;
	}
	if (outage->down) {
		outage->failures++;
		return OUTAGE_SAME;
	}
	*outage = (struct outage){ .down = true, .since_ns = now_ns, .failures = 1 };
	if (line_size)
		(void)snprintf(line, line_size, "quiet until it is back");
	return OUTAGE_BEGINS;
}

enum outage_change outage_suspect(struct outage *outage, uint64_t now_ns, char *line, size_t line_size)
{
	if (line_size)
		*line = '\0';
	if (outage->down)
		return OUTAGE_SAME;
	*outage = (struct outage){ .down = true, .since_ns = now_ns };
	if (line_size)
		(void)snprintf(line, line_size, "trying again, quiet until it is back");
	return OUTAGE_BEGINS;
}
