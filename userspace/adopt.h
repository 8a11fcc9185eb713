/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * adopt.h - begin where an earlier agent ended, or anew.
 */
#ifndef PROBEMETER_ADOPT_H
#define PROBEMETER_ADOPT_H

#include "attach.h"
#include "handover.h"
#include "kernel.h"
#include "pins.h"
#include "remember.h"

struct options;

/* What the log says of links that should be pinned. */
#define ADOPT_LOG_WRITTEN                                                                                    \
	"were not there any more, as when somebody writes to a file while no agent runs; what it fired meanwhile is not " \
	"counted"

/* What is there when it is done. */
struct adopted {
	struct pins pins;
	struct handover handover; /* what is still to be taken over */
	struct kernel kernel;
	struct metrics *metrics;
	struct services *services;
	struct remember *remember;
	const char *run_dir;
	struct guard *guard; /* NULL: nothing outlives us, or there is none */
};

/**
 * adopt_begin - maps, and what is known about them: those of an earlier agent if there are any of this schema
 * @links: not AUTO
 * @ret:   adopt_end() it, also after a failure
 *
 * Says in the log what it found and where things are. Pins that cannot be read are set aside.
 *
 * Return: 0 or -errno.
 */
int adopt_begin(const struct options *options, const struct kernel_limits *limits, enum kernel_links links,
		struct adopted *ret);
void adopt_end(struct adopted *adopted);

/* Does it go on where an earlier agent ended? */
bool adopt_is_later(const struct adopted *adopted);

/* Count from now on. To be called when everything that lives is attached, and before the first collection. */
void adopt_count(struct adopted *adopted);

/**
 * adopt_plan - how to attach an object, new or known
 * @way: for a new one; a known one stays as it was attached
 *
 * An object is remembered before its first link is made. Links of another version of the same inode are removed: its
 * text is not what they were made for.
 *
 * Return: 0, -ENOSPC if it cannot be remembered, -ENOMEM.
 */
int adopt_plan(struct adopted *adopted, const struct object *object, enum attach_way way, struct attach_plan *ret);

/* Was this object attached by an earlier agent that went by the same rules? */
bool adopt_stays(const struct adopted *adopted, const struct object *object);

/* The object has been attached: protect its file also when we are gone. */
void adopt_object_attached(struct adopted *adopted, const struct object *object);

/* See that who protects the files is there. */
void adopt_tend(struct adopted *adopted, const struct objects *objects);

/* The object was detached for good. */
void adopt_object_gone(struct adopted *adopted, const struct object *object);

/* Files that earlier agents attached and that no process maps now: those that are where they were are found again, so that
 * their next process counts from its first event; the others, and those that rules leave alone by now, are detached. Each is looked at once. Call after a sweep. */
void adopt_files(struct adopted *adopted, struct objects *objects, const struct discover_events *events);

#endif
