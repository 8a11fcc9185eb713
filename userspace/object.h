/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object.h - files that processes map executable, and which of them have descriptors.
 */
#ifndef PROBEMETER_OBJECT_H
#define PROBEMETER_OBJECT_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "descriptor.h"
#include "table.h"

/* A version of a file. */
struct object_id {
	uint64_t device;
	uint64_t inode;
	struct timespec changed;
	uint64_t size;
};

/* A file with descriptors. */
struct object {
	struct object_id id;
	UT_hash_handle hh;
	char *path; /* as a process saw it, for people */
	int fd;
	struct arena *arena;
	struct descriptors descriptors;
	const struct metric **metric; /* by descriptor; NULL where the registry was full, or a rule drops it */
	bool catalogue; /* has metrics of the documented catalogue */
	bool has_levels;
	bool lost_told; /* that updates of its levels are lost */
	bool below; /* @id is that of a file below the one that is mapped */
	bool mapped; /* some process has it, at the last objects_prune() */
	uint64_t mapped_ns; /* when it was mapped for the first time, CLOCK_MONOTONIC; 0: some time before we came */
	struct attachment *attachment; /* attach.c's; NULL: not attached */
	int attach_err; /* why not; 0: nobody wanted it */
	struct object *next; /* of those that were replaced */
};

/* One executable mapping of a file, as a line of /proc/PID/maps or the kernel's record has it. */
struct mapping {
	pid_t pid;
	uint64_t start, end;
	uint64_t device, inode; /* major << 32 | minor; both only good for comparing: an overlay has its own */
	const char *path;
	uint64_t time_ns; /* CLOCK_MONOTONIC; 0: unknown */
};

/* Called for objects that were found, and before they are given up (file gone and no process maps it). */
struct discover_events {
	void (*found)(void *context, struct object *object);
	void (*gone)(void *context, struct object *object);
	/* May put another device and inode into @id, which two names of one file have in common; may be NULL. */
	void (*identify)(void *context, int fd, struct object_id *id);
	void *context;
};

struct objects {
	struct object *list; /* uthash, by id */
	struct file *file; /* uthash: what is known of files, also of those without descriptors */
	struct object *replaced; /* given up while processes may still refer to them: discover.c lets go of them */
	struct reading *reading; /* what a file system does not answer */
	bool leased; /* take a lease on what is found, and see to objects_yield() */
	unsigned round; /* of looking: within one, a file is looked at once */
	unsigned sweep; /* of all processes, at once or by and by */
	bool unread; /* some file could not be read, and may be by now */
};

/* A new round: files that are asked for are looked at again. */
void objects_round(struct objects *objects);

/**
 * objects_get - the object behind a mapping
 * @ret: the object; NULL: the file has no descriptors, or cannot be read (both as far as is known)
 *
 * A file is opened through /proc/PID/map_files, which names the mapped file itself: in whatever mount namespace, replaced
 * or deleted. If the process is gone already, by the path, if that is the same file.
 *
 * Return: 0, -ENOENT if the mapping is not there any more, or -errno.
 */
int objects_get(struct objects *objects, const struct discover_events *events, const struct mapping *mapping,
		struct object **ret);

/**
 * objects_path - the object behind a path of ours
 *
 * Return: 0, -ENOEXEC if it has no descriptors, -EINVAL if it is no regular file, or -errno.
 */
int objects_path(struct objects *objects, const struct discover_events *events, const char *path, struct object **ret);

/* Give up objects that are not @mapped and whose file is deleted, a few at a time. One that still exists stays attached, so
 * that its next process counts from its first event. Return: true if there are more. */
bool objects_prune(struct objects *objects, const struct discover_events *events);

/* A new sweep begins: forget files without descriptors that nobody has asked for in the last one. */
void objects_forget(struct objects *objects);

/* Let go of those replaced. */
void objects_release(struct objects *objects);

/* Somebody wants to write to the file that is open as @fd: give up its object, and let him. */
void objects_yield(struct objects *objects, const struct discover_events *events, int fd);

/* Is this mapping of @object still there? */
bool objects_stands(const struct objects *objects, const struct object *object, pid_t pid, uint64_t start, uint64_t end);

void objects_free(struct objects *objects, const struct discover_events *events);

#endif
