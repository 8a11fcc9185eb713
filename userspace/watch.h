/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch.h - keeps discovery up to date: what to look at, and when.
 */
#ifndef PROBEMETER_WATCH_H
#define PROBEMETER_WATCH_H

#include "discover.h"

struct watch;
struct texts;

/**
 * watch_new - listen, and look at the whole host and @attach for the first time
 * @attach: paths and glob patterns to attach to whoever may run them; must outlive it, as must all else
 *
 * Return: NULL if memory is short.
 */
struct watch *watch_new(struct discovery *discovery, const struct discover_events *calls, const struct texts *attach);

/* Poll this for input, and then call watch_wake(); -1: not now. */
int watch_fd(const struct watch *watch);
void watch_wake(struct watch *watch, uint64_t now_ns);

/* When watch_run() has something to do, CLOCK_MONOTONIC. */
uint64_t watch_due(const struct watch *watch);

/**
 * watch_run - do what is due
 * @ret_settled: true if processes were looked at
 *
 * Return: 0 or -errno.
 */
int watch_run(struct watch *watch, uint64_t now_ns, bool *ret_settled);

/* A file waits for what its processes say: they are looked at in this turn, not a second later. */
void watch_hurry(struct watch *watch, uint64_t now_ns);

/* Bring discovery up to date with this moment: before levels are read. Return: 0 or -errno. */
int watch_settle(struct watch *watch, uint64_t now_ns);

void watch_free(struct watch *watch);

#endif
