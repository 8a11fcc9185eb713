/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.h - probe sites of an object to the counting programs.
 */
#ifndef PROBEMETER_ATTACH_H
#define PROBEMETER_ATTACH_H

#include "discover.h"
#include "kernel.h"

/* Which instructions of a stub are probed. Every hit passes exactly one of them. */
enum attach_way {
	ATTACH_NOTED, /* the nop that the USDT note names: a trap, on every kernel */
	ATTACH_FAST5, /* the 5-byte nop, and the slow one for whom the guard turns away */
	ATTACH_FAST10, /* the 10-byte nop, and the slow one */
	ATTACH_WAYS,
};

extern const char *const attach_way_name[ATTACH_WAYS];

struct attachment;
struct bpf_program;
struct pins;

/* How to attach an object. */
struct attach_plan {
	enum attach_way way;
	uint32_t number; /* of its links' pins */
	bool known; /* an earlier agent attached it */
	bool keep_only; /* take the links that are pinned and make none */
};

/* An attachment of nothing yet. @pins: NULL, or where its links are pinned as @object's. NULL if memory is short. */
struct attachment *attach_new(const struct pins *pins, uint32_t object);

/**
 * attach_sites - probe places of one file, in every process that maps it, now and later
 * @fd:   the file; need not stay open
 * @site: in this order
 *
 * Return: 0 or -errno, and then some may be attached: attach_free() undoes all.
 */
int attach_sites(const struct kernel *kernel, struct attachment *attachment, const struct bpf_program *program, int fd,
		 const struct kernel_site *site, uint32_t count);

/* The places of a stub to probe for this way, in the order to attach them. Return: how many, 1 or 2. */
uint32_t attach_places(enum attach_way way, const struct descriptor *descriptor, uint64_t cookie,
		       struct kernel_site ret[2]);

/**
 * attach_object - attach all counters and histograms of an object; levels need none
 * @object: with its metrics interned; object->attachment is set, and freed by attach_free()
 *
 * Links that are pinned under the plan's number are taken as they are. The semaphore is raised with the last probe of a
 * site, so that no event that finds it raised is missed.
 *
 * Return: 0, or -errno if a site could not be attached: then none of the object's is.
 */
int attach_object(const struct kernel *kernel, const struct pins *pins, const struct attach_plan *plan,
		  struct object *object);

/* A hash of all that attach_object() would attach: places, semaphores, cookies. Return: 0 or -ENOMEM. */
int attach_hash(const struct kernel *kernel, enum attach_way way, const struct object *object, uint64_t *ret);

/* Is that the hash of no sites at all, as where all metrics are levels? */
bool attach_hash_is_empty(uint64_t hash);

/* Links that could not be pinned: their counting ends with this agent. */
size_t attach_unpinned(const struct attachment *attachment);

/* Links that were made, rather than found pinned. */
size_t attach_made(const struct attachment *attachment);

/* Sites attached: stubs, not places. */
size_t attach_count(const struct attachment *attachment);

/* Close the links; pinned ones go on. */
void attach_free(struct attachment *attachment);

/* End the links, pinned or not. */
void attach_remove(struct attachment *attachment);

#endif
