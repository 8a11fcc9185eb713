/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * level_headroom.h - whose levels are near a limit, before it is reached.
 */
#ifndef PROBEMETER_LEVEL_HEADROOM_H
#define PROBEMETER_LEVEL_HEADROOM_H

#include "levels.h"

struct level_headroom;

struct level_headroom *level_headroom_new(void);
void level_headroom_free(struct level_headroom *headroom);

/**
 * level_headroom_table - is the table of one process nearly full?
 * @room:  how much of it is taken
 * @level: what was read of it
 * @ret:   one line that names service, metric, file, process, and the three labels with most values
 *
 * Return: true where that is so, the first time for this service and file.
 */
bool level_headroom_table(struct level_headroom *headroom, const struct process *process, const struct object *object,
			  const struct level_room *room, const struct level *level, size_t count, char *ret, size_t size);

/**
 * level_headroom_next - the next warning about a limit over all processes of which HEADROOM_PERCENT are taken
 * @levels: of the last collection
 * @ret:    as headroom_next() of headroom.h has it
 *
 * Return: false when there is nothing more to say.
 */
bool level_headroom_next(struct level_headroom *headroom, const struct levels *levels, char *ret, size_t size);

/* @resource is no more: whoever gets its address is warned of, too. */
void level_headroom_forget(struct level_headroom *headroom, const struct resource *resource);

#endif
