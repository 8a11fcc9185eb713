/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * life.h - which resources still live, and which may be forgotten. Pure.
 */
#ifndef PROBEMETER_LIFE_H
#define PROBEMETER_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "points.h"

struct lives;

/* @delay_ns: how long nobody must have lived. NULL if memory is short. */
struct lives *lives_new(uint64_t delay_ns);
void lives_free(struct lives *lives);

/*
 * One collection: begin, one call for whatever is known of a resource, turn. Times are CLOCK_MONOTONIC. Return: 0 or
 * -ENOMEM.
 */
void lives_begin(struct lives *lives, uint64_t now_ns);
int lives_know(struct lives *lives, const struct resource *resource); /* there is something to forget */
int lives_alive(struct lives *lives, const struct resource *resource); /* it has a living process */
int lives_hits(struct lives *lives, const struct resource *resource, uint64_t hits); /* all so far; it lives if there are new ones */
void lives_turn(struct lives *lives);

/* The resources whose time has come: idle for long enough, and all that they counted was delivered. Start with NULL. */
const struct resource *lives_due(const struct lives *lives, const struct resource *after);

/* What becomes of a due one: it lives after all, or its series end with this collection. */
void lives_wait(struct lives *lives, const struct resource *resource);
void lives_end(struct lives *lives, const struct resource *resource);

/* The resources whose series end, in this collection as they may have in the last. Start with NULL. And is this one? */
const struct resource *lives_ends(const struct lives *lives, const struct resource *after);
bool lives_ending(const struct lives *lives, const struct resource *resource);

/* The resources whose end was delivered: to be forgotten, or to be told to wait. Start with NULL. */
const struct resource *lives_over(const struct lives *lives, const struct resource *after);
void lives_forget(struct lives *lives, const struct resource *resource);

/**
 * lives_sent - the last collection is on its way
 * @points: as they were encoded
 *
 * Return: 0 or -ENOMEM, and then nothing counts as delivered.
 */
int lives_sent(struct lives *lives, const struct points *points);

/* A request with @count points from @first on was not taken. */
void lives_failed(struct lives *lives, size_t first, size_t count);

/* Whatever was sent and did not fail was delivered. */
void lives_delivered(struct lives *lives);

#endif
