/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * baselines.h - a file in the run directory with what a collector has acknowledged of deltas.
 */
#ifndef PROBEMETER_BASELINES_H
#define PROBEMETER_BASELINES_H

#include <stdint.h>

struct delta;

/**
 * baselines_save - for the next agent, instead of what was there
 * @life:       of the totals that they belong to, journal_header()->start_unix_ns
 * @unanswered: deltas on their way, or whose answer was lost: they may have arrived
 *
 * The file is there whole or as it was, whenever we are killed. It is no loss after a boot: the totals are gone as well.
 *
 * Return: 0 or -errno.
 */
int baselines_save(const char *directory, uint64_t life, const struct delta *delta, uint64_t unanswered);

/* @delta goes on from there. Return: 0; -ENOENT if there is none, or one of other totals; -EBADMSG; -errno. */
int baselines_load(const char *directory, uint64_t life, struct delta *delta, uint64_t *ret_unanswered);

void baselines_remove(const char *directory);

#endif
