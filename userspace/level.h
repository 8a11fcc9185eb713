/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * level.h - the levels of living processes, read from their own memory.
 */
#ifndef PROBEMETER_LEVEL_H_
#define PROBEMETER_LEVEL_H_

#include "arena.h"
#include "discover.h"

struct level {
	const struct metric *metric;
	const char *value[PROBEMETER_MAX_LABELS]; /* valid UTF-8, in the arena */
	bool overflow;
	uint64_t level;
	uint64_t set_ns;
};

/* How much of its table is taken, at most what it has. */
struct level_room {
	uint32_t slots, text;
};

/**
 * level_read - every level of one linked object in one process
 * @process: alive or just gone
 * @loaded:  an object with levels
 * @arena:   owns the result
 * @room:    set where there is a result
 *
 * The memory is the process's own and may say anything: lengths are cut to the table's real size, slots that name no
 * metric of the object are skipped, strings are ended and cleaned.
 *
 * Return: number of levels, or -ESRCH if the process is gone, -EFAULT if it has unmapped the object, -EPERM, -ENOMEM.
 */
long level_read(const struct process *process, const struct loaded *loaded, struct arena *arena, struct level_room *room,
		const struct level **ret);

/* Updates of one linked object's levels in one process that found no room in its table; a forked child's number begins with
 * its parent's. 0 if it cannot be read. */
uint32_t level_lost(const struct process *process, const struct loaded *loaded);

/* Do two processes share their memory (a vfork child before its exec, CLONE_VM)? Then only one of them is read. */
bool level_same_memory(pid_t a, pid_t b);

#endif
