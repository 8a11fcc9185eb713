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
	ATTACH_NOTED, /* the 1-byte nop that the USDT note names: a trap, on every kernel */
	ATTACH_FAST5, /* the 5-byte nop, and the slow one for whom the guard turns away */
	ATTACH_FAST10, /* the 10-byte nop, and the slow one */
	ATTACH_WAYS,
};

extern const char *const attach_way_name[ATTACH_WAYS];

struct attachment;
struct bpf_link;
struct bpf_program;

/* One link: @offset into the file behind @fd, for every process, also later ones. @semaphore 0: none.
 * Return: 0 or -errno. */
int attach_site(const struct bpf_program *program, int fd, uint64_t offset, uint64_t semaphore, uint64_t cookie,
		struct bpf_link **ret);

/**
 * attach_object - attach all counters and histograms of an object; levels need none
 * @way:    how
 * @object: with its metrics interned; object->attachment is set, and freed by attach_free()
 *
 * The semaphore is raised with the last probe of a site, so that no event that finds it raised is missed.
 *
 * Return: 0, or -errno if a site could not be attached: then none of the object's is.
 */
int attach_object(const struct kernel *kernel, enum attach_way way, struct object *object);

/* Sites attached. */
size_t attach_count(const struct attachment *attachment);

void attach_free(struct attachment *attachment);

#endif
