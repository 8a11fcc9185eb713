/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hotplug.h - CPUs that go offline and come back, as the kernel tells it.
 */
#ifndef PROBEMETER_HOTPLUG_H
#define PROBEMETER_HOTPLUG_H

#include <stddef.h>

/* A socket to poll for input, which the caller closes, or -errno. */
int hotplug_open(void);

/* The next CPU that went or came. -EAGAIN: no more for now; -ENOBUFS: some were lost. */
int hotplug_next(int fd);

/* The CPU that a message of the kernel's (NUL-terminated strings, "ACTION@PATH" first) tells of, or -ENOENT. */
int hotplug_cpu(const char *message, size_t size);

#endif
