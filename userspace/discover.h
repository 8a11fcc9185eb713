/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * discover.h - the processes of this host that have mapped linked objects with descriptors.
 */
#ifndef PROBEMETER_DISCOVER_H
#define PROBEMETER_DISCOVER_H

#include <sys/types.h>

#include "events.h"
#include "object.h"
#include "service.h"
#include "table.h"

struct loaded {
	struct object *object;
	uint64_t bias; /* add to the file's virtual addresses */
	uint64_t start, end; /* of its first executable mapping */
};

/* A process that has objects with descriptors. */
struct process {
	pid_t pid;
	UT_hash_handle hh;
	pid_t parent;
	uint64_t start_ticks; /* with the pid, its identity */
	uint64_t stack; /* where it began; another address after an exec */
	struct loaded *loaded;
	size_t loaded_count;
	unsigned swept; /* the last sweep that found it */
	const struct resource *resource; /* NULL until asked for */
};

struct discovery {
	struct objects objects;
	struct process *process; /* uthash, by pid */
	struct hint *hint; /* uthash: processes to look at */
	bool vacant; /* an object may have lost its last process */
	unsigned sweep; /* number of the last one, of all or of a slice */
	unsigned slice; /* the next one */
	size_t looked, to_look; /* processes in a sweep of all, files of a pattern, while it is under way; else 0 */
};

/**
 * discover_sweep - bring the lists up to date with all of /proc
 *
 * Processes and files that vanish while being looked at are skipped. The agent's own process is left out.
 *
 * Return: 0, -ENOMEM, or -errno if /proc cannot be read.
 */
int discover_sweep(struct discovery *discovery, const struct discover_events *events);

#define DISCOVER_SLICES 10

/**
 * discover_reconcile - sweep the next slice of all processes, those of every tenth pid
 *
 * For what no event told of. All of /proc would cost 0.2 ms per process. If a file could not be read, it is all of them.
 *
 * Return: as discover_sweep().
 */
int discover_reconcile(struct discovery *discovery, const struct discover_events *events);

/**
 * discover_event - take in one thing that happened
 *
 * A file that was never seen is opened, and found, at once; a process that this may concern is noted for
 * discover_settle(). What is known costs no look at /proc, but for one glance per file and round (objects_round()).
 *
 * Return: 0 or -ENOMEM.
 */
int discover_event(struct discovery *discovery, const struct discover_events *events, const struct event *event);

/* Look at the noted processes, and give up objects whose file and processes are gone. Return: 0 or -ENOMEM. */
int discover_settle(struct discovery *discovery, const struct discover_events *events);

/* Somebody wants to write to the file that is open as @fd: give up its object, and let him. Return: 0 or -ENOMEM. */
int discover_yield(struct discovery *discovery, const struct discover_events *events, int fd);

/* Is there anything for discover_settle() to do? */
bool discover_unsettled(const struct discovery *discovery);

/* What a process unloads is not told by anybody: note those whose mappings are not where they were. */
int discover_verify(struct discovery *discovery);

/* By pid, NULL if it is not there. */
struct process *discover_find(const struct discovery *discovery, pid_t pid);

void discover_free(struct discovery *discovery, const struct discover_events *events);

/* The facts of a living process, as its /proc entries have them; strings live in @arena. -ESRCH if it is gone. */
int discover_facts(const struct process *process, struct arena *arena, struct service_facts *ret);

/* Start of @pid in clock ticks since boot, its parent, and where its stack began, which an exec moves; -ESRCH. */
int discover_start(pid_t pid, uint64_t *ret_ticks, pid_t *ret_parent, uint64_t *ret_stack);

#endif
