/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shortage.h - what runs out, and what the agent then gives up, in which order: the one table of that.
 */
#ifndef PROBEMETER_SHORTAGE_H
#define PROBEMETER_SHORTAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "outage.h"

/* What the log says; whoever runs short writes it. */
#define SHORTAGE_LOG_TRIES "quiet until it works again"
#define SHORTAGE_LOG_END "out of memory: this agent ends"
#define SHORTAGE_LOG_START "no memory for the BPF programs and maps"
#define SHORTAGE_LOG_ATTACH "its counters and histograms are not counted"
#define SHORTAGE_LOG_FILES "file descriptors for new files"
#define SHORTAGE_LOG_JOURNAL "no room to remember more"
#define SHORTAGE_LOG_PINS "nothing can be pinned in"
#define SHORTAGE_LOG_LINK "cannot be pinned"
#define SHORTAGE_LOG_LOCK "cannot be used for the lock"
#define SHORTAGE_LOG_SOCKET "this agent cannot be asked over it"
#define SHORTAGE_LOG_BASELINES "cannot be written"
#define SHORTAGE_LOG_HOST "a clone of this host would get other service.instance.ids"
#define SHORTAGE_LOG_CONSOLE "standard output cannot be written"
#define SHORTAGE_LOG_COLLECTOR "quiet until it is back"

/* Of one kind of try; zeroed is right to start with. */
struct shortage {
	struct outage outage;
	bool said;
	uint64_t said_ns; /* when last; 0: never */
};

/**
 * shortage_note - take note of one try of what is tried again and again
 * @shortage: of this kind of try
 * @err:      0 or -errno, its outcome
 * @what:     failed, as in "watching processes"
 * @meaning:  what that means while it lasts
 *
 * Says so in the log once when it begins to fail, and once when it works again; where it comes and goes, once an hour.
 */
void shortage_note(struct shortage *shortage, uint64_t now_ns, int err, const char *what, const char *meaning);

/* The end of a program without memory for the least: says so, and exits with status 1. */
_Noreturn void shortage_end(void);

/* The table for scripts/docs/operating.md, in Markdown. */
void shortage_document(FILE *out);

#endif
