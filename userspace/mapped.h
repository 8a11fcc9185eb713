/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mapped.h - an array of the kernel's as memory of this process.
 */
#ifndef PROBEMETER_MAPPED_H
#define PROBEMETER_MAPPED_H

#include <stddef.h>

struct bpf_map;

/* All of it, writable. Zeroed: none, and may be closed. */
struct mapped {
	void *at;
	size_t size;
};

/* Return: 0 or -errno. */
int mapped_open(const struct bpf_map *map, struct mapped *ret);
void mapped_close(struct mapped *mapped);

#endif
