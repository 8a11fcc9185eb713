/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remember.h - what an agent must know of the ones before it, beside the numbers in the kernel's maps.
 */
#ifndef PROBEMETER_REMEMBER_H
#define PROBEMETER_REMEMBER_H

#include "discover.h"
#include "journal.h"
#include "merge.h"
#include "metric.h"
#include "points.h"
#include "service.h"

struct remember;

/* A file whose sites were attached, by this agent or one before it. */
struct remembered {
	uint32_t number; /* names its links, pins_link() */
	struct object_id id;
	const char *path; /* as a process saw it */
	bool catalogue;
	unsigned way; /* enum attach_way */
	uint64_t sites; /* a hash of what was attached, attach_hash() */
	bool gone; /* detached since */
	bool found; /* by this agent, mapped by some process */
	struct remembered *next;
};

/* What collect_restore.c restores, one call for each. */
struct remember_events {
	void (*metric)(void *context, const struct metric *metric, uint64_t start_unix_ns);
	/* All services so far were named by others than they will be. */
	void (*anew)(void *context);
	void (*service)(void *context, uint32_t service, const struct resource *resource); /* NULL: forgotten */
	int (*seen)(void *context, const struct point *point);
	int (*spilled)(void *context, uint32_t series);
	void *context;
};

/**
 * remember_new - read what is in the journal
 * @journal:  checked; written to by the functions below; must outlive @ret
 * @metrics:  gets the metrics, under their old ids
 * @services: gets the resources
 *
 * Return: 0, -EBADMSG if the records contradict each other or lack something, -ENOMEM.
 */
int remember_new(struct journal *journal, struct metrics *metrics, struct services *services, struct remember **ret);
void remember_free(struct remember *remember);

/* Hand out what was read, and remember that services are named by @naming (services_hash()) from now on. Return: 0 or what
 * an event returned. */
int remember_restore(struct remember *remember, uint64_t naming, const struct remember_events *events);

/*
 * One more of each, unless it is there already. To be called before anything relies on it: before a metric's first link
 * is made, before what was seen is sent.
 *
 * Return: 0, -ENOSPC if the journal is full, -ENOMEM. A metric that cannot be remembered must not be attached: the next
 * agent would give its id to another one. Without the rest a later agent misnames at worst what nobody fires any more.
 */
int remember_metric(struct remember *remember, const struct metric *metric, uint64_t start_unix_ns);
int remember_trimmed(struct remember *remember, uint32_t metric, uint64_t rules);
int remember_service(struct remember *remember, uint32_t service, const struct resource *resource);
int remember_forgotten(struct remember *remember, uint32_t service); /* its id may become another one's */

/* The same for many, without any room: forget the services that @gone (shape [PM_MAX_SERVICES]) names, and what was seen of
 * each of @count resources, which may then go. */
void remember_gone(struct remember *remember, const bool *gone, const struct resource *const *resource, size_t count);
int remember_seen(struct remember *remember, const struct sample *zero);
int remember_spilled(struct remember *remember, uint32_t series);
int remember_object(struct remember *remember, const struct object *object, unsigned way, uint64_t sites,
		    struct remembered **ret);
void remember_object_gone(struct remember *remember, struct remembered *object);

/* By which rules labels were left out of this metric last, trims_hash(); 0: it is as a binary declares it. */
uint64_t remember_trimming(const struct remember *remember, uint32_t metric);

/* All of them, gone ones too. */
struct remembered *remember_objects(const struct remember *remember);

/* The object of this file, not gone; NULL if there is none. */
struct remembered *remember_find(const struct remember *remember, const struct object_id *id);

/* Of any version of the file, gone or not. @device: as in struct object_id. */
const struct remembered *remember_executable(const struct remember *remember, uint64_t device, uint64_t inode);

/**
 * remember_copy - begin another set's journal with all that still holds
 * @from: checked
 * @to:   has no such records yet
 *
 * Ids of metrics, services and series stay. Objects become known and gone: their links are the old set's, but how they were
 * attached is how they must be attached again (remember_any()).
 * In a copy each of them takes more room: where the journal is nearly full of them, the last ones are left behind.
 *
 * Return: 0, -ENOSPC, -ENOMEM, -EBADMSG.
 */
int remember_copy(const struct journal *from, struct journal *to);

/* Is so much of this journal over that a copy is worth its while? */
bool remember_worn(const struct journal *journal);

/* This very file, as it was attached last, gone or not; NULL if it never was. */
const struct remembered *remember_any(const struct remember *remember, const struct object_id *id);

/* The latest time that a point of this agent or one before it carried; 0 if nobody knows. Each told time is a store of one word,
 * once there is a record for it; without room in the journal the next agent does not know. */
uint64_t remember_told(const struct remember *remember);
void remember_tell(struct remember *remember, uint64_t unix_ns);

/* Did remember_restore() find that earlier agents went by another naming? */
bool remember_renamed(const struct remember *remember);

/* Was anything left out for want of room? */
bool remember_full(const struct remember *remember);

#endif
