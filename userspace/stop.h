/* SPDX-License-Identifier: BSD-2-Clause */
/* stop.h - end a running agent, and with --detach all that it left in the kernel. */
#ifndef PROBEMETER_STOP_H
#define PROBEMETER_STOP_H

struct options;

/* The command. Return: exit code; 0 only if what was asked for is so. */
int stop(const struct options *options);

/**
 * stop_detach - remove every pinned link and map, and look whether they are gone
 *
 * The caller holds the lock, so that nobody pins meanwhile. Says what it found in the log.
 *
 * Return: 0, or -EBUSY if something of ours is still in the kernel or a semaphore is still raised for no known reason.
 */
int stop_detach(const struct options *options);

#endif
