/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover.h - from sets of maps that this build cannot go on with to one of its own.
 */
#ifndef PROBEMETER_HANDOVER_H
#define PROBEMETER_HANDOVER_H

#include "kernel.h"
#include "pins.h"

#define HANDOVER_SETS 8

/* Sets whose totals go into a new one; the last one counts until then. */
struct handover {
	struct pins_set set[HANDOVER_SETS];
	size_t count;
	uint64_t series, cells, events; /* what went over */
};

/**
 * handover_look - bring what is pinned into one of three states
 * @pins:   open; on return the set to use is chosen: one that is there (@pins->adopted) or one to be made
 * @schema: of this build
 * @stays:  not for one look alone: then a set whose journal is worn is replaced, too
 * @ret:    @ret->count sets whose totals go into the one to be made
 *
 * Finishes or undoes what an agent that was killed in the middle of a handover left, and sets aside what cannot be read.
 *
 * Return: 0 or -errno.
 */
int handover_look(struct pins *pins, const char *schema, bool stays, struct handover *ret);

/**
 * handover_prepare - copy what the new set must know before its programs count
 * @kernel: loaded, its programs not attached yet
 *
 * Services, series and their names keep their ids; metrics and everything else in the journal too.
 *
 * Return: 0 or -errno.
 */
int handover_prepare(struct handover *handover, struct kernel *kernel);

/**
 * handover_finish - move the turn to the new programs, which are attached by now, and the totals to the new maps
 * @barrier: returns when no hit is under way that began before it was called
 *
 * Return: 0; or -errno, and then the new set counts from the moment of the turn on, and the old ones are set aside.
 */
int handover_finish(struct handover *handover, const struct pins *pins, struct kernel *kernel,
		    int (*barrier)(const struct kernel *kernel));

#endif
