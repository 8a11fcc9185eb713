/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collector.h - what lies between two collections, and the stages that collect.c calls in order. For collect*.c only.
 */
#ifndef PROBEMETER_COLLECTOR_H
#define PROBEMETER_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "collect.h"
#include "cost.h"
#include "drops.h"
#include "forget.h"
#include "headroom.h"
#include "history.h"
#include "ledger.h"
#include "level_headroom.h"
#include "levels.h"
#include "life.h"
#include "merge.h"
#include "names.h"
#include "seen.h"
#include "snapshot.h"

struct collector {
	const struct kernel *kernel;
	struct metrics *metrics;
	struct services *services;
	struct owners *owners;
	struct names *names;
	struct seen *seen;
	struct seen *ends; /* what ends with its last process */
	size_t seen_remembered;
	struct remember *remember;
	bool restored; /* and no collection yet */
	struct costs *costs;
	struct levels *levels;
	struct history *history;
	struct headroom *headroom;
	struct level_headroom *level_headroom;
	struct drops_told *drops_told;
	struct arena *scratch; /* of what is read of one process */
	bool levels_full; /* and said so */
	double hit_ns;
	bool exponential;
	const struct resource *agent;
	uint64_t agent_start_unix_ns;
	uint64_t metric_start_unix_ns[PM_MAX_METRICS];
	struct snapshot snapshot;
	struct ledger ledger;
	/* What is forgotten, and when; NULL: nothing ever. */
	struct lives *lives;
	struct forget *forget;
	uint64_t delay_ns, next_round_ns;
	bool viewing; /* somebody looks, between two exports: nobody's life is judged */
	bool delivered; /* something, since the last collector_forget() */
	uint64_t counted[PM_MAX_SERVICES]; /* hits by service id in the last collection */
	/* The samples of one collection; room is kept. */
	struct sample *sample;
	size_t count, room;
};

/* --- collect_samples.c: each adds to @collector->sample. Return: 0 or -errno. */

/* Room for @more samples behind those there are; NULL if memory is short. */
struct sample *collector_room(struct collector *collector, size_t more);

/* What the kernel has counted, by the snapshot and the ledger of this collection. */
int collector_kernel_samples(struct collector *collector);

/* What living processes have: levels, and counters that have counted nothing yet. */
int collector_process_samples(struct collector *collector, const struct discovery *discovery, struct self *self);

/* --- collect_restore.c */

/* Series that go on by themselves: before anybody is sent one, the next agent must know of it. Return: 0 or -ENOMEM. */
int collector_remember_seen(struct collector *collector);

/* --- collect_forget.c */

/* Whose life this collection judges; NULL: nobody's. */
struct lives *collector_lives(const struct collector *collector);

/* Who is due ends, unless the kernel knows of a process that lives. Return: 0 or -ENOMEM. */
int collector_judge(struct collector *collector);

/* Points of resources that end say so, and so does what the agent tells of them. */
void collector_mark_ends(struct collector *collector, struct points *points);

#endif
