/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * discover.h - the processes of this host and the linked objects with descriptors that they have mapped.
 */
#ifndef PROBEMETER_DISCOVER_H
#define PROBEMETER_DISCOVER_H

#include <sys/types.h>
#include <time.h>
#include <uthash.h>

#include "descriptor.h"
#include "service.h"

/* One file that some process maps executable: a version of an inode. Objects without a descriptor are kept too, so that
 * they are read once. */
struct object {
	struct {
		dev_t device;
		ino_t inode;
		struct timespec changed;
		off_t size;
	} id;
	UT_hash_handle hh;
	char *path; /* as a process saw it, for people */
	int fd; /* of an object with descriptors, else -1 */
	struct arena *arena;
	struct descriptors descriptors;
	const struct metric **metric; /* by descriptor; NULL where the registry was full */
	bool catalogue; /* has metrics of the documented catalogue */
	bool has_levels;
	unsigned seen; /* the last sweep that found it mapped */
	struct attachment *attachment; /* attach.c's; NULL: not attached */
};

struct loaded {
	struct object *object;
	uint64_t bias; /* add to the file's virtual addresses */
};

struct process {
	pid_t pid;
	pid_t parent;
	uint64_t start_ticks; /* with the pid, its identity */
	uint64_t stack; /* where it began; another address after an exec */
	struct loaded *loaded; /* objects with descriptors only */
	size_t loaded_count;
	struct mapping *mapping; /* every mapped file, so that it is looked at once */
	size_t mapping_count;
	const struct resource *resource; /* NULL until asked for */
};

struct discovery {
	struct object *objects; /* uthash, by id */
	struct process *process; /* by pid */
	size_t count;
	unsigned sweep;
};

/* Called for objects that were found, and before they are given up (file gone and no process maps it). */
struct discover_events {
	void (*found)(void *context, struct object *object);
	void (*gone)(void *context, struct object *object);
	void *context;
};

/**
 * discover_sweep - bring the lists up to date with /proc
 *
 * Processes and files that vanish while being looked at are skipped. The agent's own process is left out.
 *
 * Return: 0, -ENOMEM, or -errno if /proc cannot be read.
 */
int discover_sweep(struct discovery *discovery, const struct discover_events *events);

/* By pid, NULL if it is not there. */
struct process *discover_find(const struct discovery *discovery, pid_t pid);

void discover_free(struct discovery *discovery, const struct discover_events *events);

/* The facts of a living process, as its /proc entries have them; strings live in @arena. -ESRCH if it is gone. */
int discover_facts(const struct process *process, struct arena *arena, struct service_facts *ret);

/* Start of @pid in clock ticks since boot, its parent, and where its stack began, which an exec moves; -ESRCH. */
int discover_start(pid_t pid, uint64_t *ret_ticks, pid_t *ret_parent, uint64_t *ret_stack);

#endif
