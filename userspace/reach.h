/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reach.h - can the kernel's probes fire in a process at all?
 */
#ifndef PROBEMETER_REACH_H
#define PROBEMETER_REACH_H

#include <stdbool.h>
#include <sys/types.h>

#include "descriptor.h"

struct reach_mapping {
	uint64_t start, end, offset;
	uint64_t device, inode; /* inode 0: anonymous memory */
	bool executable;
};

struct reach {
	struct reach_mapping *mapping;
	size_t count;
	bool valgrind;
};

/* What @pid maps now; empty if it cannot be read. Return: 0 or -ENOMEM. Free with reach_free(). */
int reach_read(pid_t pid, struct reach *ret);
void reach_free(struct reach *reach);

/**
 * reach_problem - why the site of a metric cannot fire in a process
 * @mapped: an address in a mapping of the object's file
 * @bias:   of the object, see descriptors_bias()
 *
 * Return: words for people, constant; NULL if nothing is in the way.
 */
const char *reach_problem(const struct reach *reach, const struct descriptors *descriptors, const struct descriptor *d,
			  uint64_t mapped, uint64_t bias);

/**
 * reach_next - files of which nothing is mapped executable any more, though their first page is mapped
 * @at:   where to begin; 0 at first
 * @ret:  an open descriptor, which the caller closes
 * @path: room for PATH_MAX
 *
 * Return: the number to go on with, or 0 if there are no more.
 */
size_t reach_next(const struct reach *reach, pid_t pid, size_t at, int *ret, char *path);

/* The bias of an object whose first page is mapped at @start, whatever for. Return: 0 or -ENOENT. */
int reach_bias(const struct descriptors *descriptors, uint64_t start, uint64_t *ret);

#endif
