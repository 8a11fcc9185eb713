/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * events.h - what processes of this host do, as the kernel tells it: executable mappings, forks, execs, exits.
 */
#ifndef PROBEMETER_EVENTS_H
#define PROBEMETER_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "object.h"

enum event_kind {
	EVENT_MAPPED, /* a file, executable: at exec, by the dynamic linker, by dlopen, by mprotect */
	EVENT_FORKED, /* a process, not a thread */
	EVENT_EXECED, /* what was mapped before is gone; what is mapped follows */
	EVENT_EXITED, /* the thread that began the process */
};

struct event {
	enum event_kind kind;
	struct mapping at; /* the process and the time; of EVENT_MAPPED all of it. A pid of the agent's namespace */
	pid_t parent; /* EVENT_FORKED */
};

#define EVENTS_RING_BYTES (128u << 10) /* per CPU; an exec takes about one KiB of it */

struct events;

/**
 * events_open - listen on every CPU
 * @ring_bytes: a power of two, at least a page; half of it and so on where the kernel allows no more (perf_event_mlock_kb)
 *
 * Return: 0, or -errno where the kernel offers none of this to us.
 */
int events_open(size_t ring_bytes, struct events **ret);

/* Listen on CPUs that have come online since. */
void events_cpus(struct events *events);

/* A CPU (-1: any) went offline or came back: the next reading takes what is left, and listens there anew. */
void events_renew(struct events *events, int cpu);

/* Wake up for input on @fd, too. Return: 0 or -errno. */
int events_also(struct events *events, int fd);

/* Poll this for input; then call events_wake(), or it stays readable. */
int events_fd(const struct events *events);
void events_wake(struct events *events);

/**
 * events_read - what happened up to @until_ns
 * @until_ns:  CLOCK_MONOTONIC. A record that a CPU is just writing has an earlier time, and comes with the next reading
 * @ret:       in the order of time, valid until the next call
 * @ret_count: of them
 * @ret_lost:  set if the kernel found no room for some, and left alone if not
 *
 * Return: 1 if there are later ones, 0 if not, -ENOMEM: then they are lost, and @ret_lost says so.
 */
int events_read(struct events *events, uint64_t until_ns, const struct event **ret, size_t *ret_count, bool *ret_lost);

/* Bytes of all rings. */
size_t events_bytes(const struct events *events);

void events_close(struct events *events);

#endif
