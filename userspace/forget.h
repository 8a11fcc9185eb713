/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forget.h - give back what the kernel's maps hold of services that nobody will come back to.
 */
#ifndef PROBEMETER_FORGET_H
#define PROBEMETER_FORGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot.h"

struct forget;

/* Return: 0, -ENOTSUP in a pid namespace of its own, where not every process is seen, or -errno. */
int forget_new(const struct kernel *kernel, struct forget **ret);
void forget_free(struct forget *forget);

/**
 * forget_living - which services do living processes hold?
 * @ret: shape [PM_MAX_SERVICES]; untouched on failure
 *
 * By what the kernel keeps with each process, so idle and stopped ones count, and those that a discovery missed.
 *
 * Return: 0 or -errno.
 */
int forget_living(const struct forget *forget, bool *ret);

/**
 * forget_close - let nobody into these services any more
 * @id:       shape [PM_MAX_SERVICES]: which
 * @service:  all there are, in any order
 * @now_unix_ns: what comes later starts no earlier
 *
 * On return every hit that found one of them by its key has ended; whoever holds one is seen by forget_living(). Then
 * forget_reopen() or forget_fence() each.
 *
 * Return: 0 or -errno, and then they must be reopened.
 */
int forget_close(struct forget *forget, const bool *id, const struct raw_service *service, size_t count,
		 uint64_t now_unix_ns);

/* Undo it for one. */
void forget_reopen(struct forget *forget, uint32_t id);

/* Nobody holds those that are still closed: on return no hit of theirs is under way, nor can another one come. Their
 * numbers stand still. Return: 0 or -errno, and then they must be reopened. */
int forget_fence(struct forget *forget);

/* Those that are closed now, to @ret (shape [PM_MAX_SERVICES]). */
void forget_closed(const struct forget *forget, bool *ret);

/**
 * forget_give_back - free what is still closed
 * @snapshot: read since forget_fence()
 * @ret:      shape [PM_MAX_SERVICES]: those that are gone, whose ids may come again
 *
 * Return: 0 or -errno; then the rest is done by another call.
 */
int forget_give_back(struct forget *forget, const struct snapshot *snapshot, bool *ret);

/* What a killed agent has left halfway: those that it had begun to give back stay closed, for forget_give_back(); the
 * others are put back. Return: how many stay closed. */
size_t forget_recover(struct forget *forget);

/* Ids that were handed out, are in no service and were not given back, to @ret (shape [PM_MAX_SERVICES]): losers of a race to
 * make one, unless a hit is about to make a service of it just now. So close them, and reopen those that are in a service
 * then. @kept: shape [PM_MAX_SERVICES]: not these, whatever it looks like. */
void forget_orphans(const struct forget *forget, const struct raw_service *service, size_t count, const bool *kept,
		    bool *ret);

#endif
