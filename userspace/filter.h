/* SPDX-License-Identifier: BSD-2-Clause */
/* filter.h - seccomp filters: how one is made and how the kernel gets it, whatever is in it. */
#ifndef PROBEMETER_FILTER_H
#define PROBEMETER_FILTER_H

#include <linux/filter.h>

struct filter {
	unsigned short count;
	struct sock_filter code[BPF_MAXINSNS];
};

/**
 * filter_make - have a filter made in a child, so that it is all that can go wrong there
 * @write_to: makes it and writes it to a descriptor; 0 or -errno
 *
 * Return: 0, or -errno of @write_to, of fork() or pipe(); -ENOMEM if the child died.
 */
int filter_make(int (*write_to)(int fd), struct filter *ret);

/**
 * filter_load - put the calling thread behind @filter, with no_new_privs
 *
 * Return: 0 or -errno.
 */
int filter_load(const struct filter *filter);

/**
 * filter_possible - would filter_load() do? Tried, in a child.
 *
 * Return: 0 or -errno.
 */
int filter_possible(void);

#endif
