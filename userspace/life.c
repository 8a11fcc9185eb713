/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * life.c - from signs of life and deliveries to the end of a resource's series.
 *
 * Consumes, at each collection, who has a living process or new hits, and what became of each export; produces who is due
 * to end, whose points carry the end, and who may be forgotten. A resource goes through it in this order, and any sign of
 * life on the way takes it back to the start:
 *
 *	idle        since a collection that found nobody alive and no new hits;
 *	due         once the delay has passed and an export collected since then was delivered: so all that it counted
 *	            has arrived;
 *	ending      its points say that the series end, in each export until one of them was delivered;
 *	over        to be forgotten.
 *
 * Whether the kernel agrees that nobody lives, and giving back what it holds, is forget.c's.
 */
#include "life.h"

#include <errno.h>
#include <stdlib.h>

#include "table.h"

struct life {
	UT_hash_handle hh;
	const struct resource *resource;
	uint64_t hits, before; /* of this collection and the last */
	uint64_t idle_ns; /* the collection since which nobody lives; 0: somebody does */
	uint64_t delivered_ns; /* the last collection that arrived, or had nothing to send */
	bool alive;
	bool ending; /* its points say so since this collection or an earlier one */
	bool over;
	bool sent, sent_ending, failed; /* of what is on its way */
};

/* Neighbouring points of one resource on their way. The resource may be gone by now: it is only compared. */
struct run {
	const struct resource *resource;
	size_t first, count;
};

struct lives {
	struct life *life; /* by resource */
	uint64_t delay_ns;
	uint64_t now_ns; /* of the last collection */
	uint64_t sent_ns; /* of the collection on its way; 0: none is */
	struct run *run;
	size_t runs, room;
};

struct lives *lives_new(uint64_t delay_ns)
{
	struct lives *lives = calloc(1, sizeof(*lives));

	if (lives)
		lives->delay_ns = delay_ns;
	return lives;
}

static void life_free(struct lives *lives, struct life *life)
{
	HASH_DEL(lives->life, life);
	free(life);
}

void lives_free(struct lives *lives)
{
	struct life *life, *next;

	if (!lives)
		return;
	HASH_ITER(hh, lives->life, life, next)
		life_free(lives, life);
	free(lives->run);
	free(lives);
}

static struct life *find(const struct lives *lives, const struct resource *resource)
{
	struct life *life;

	HASH_FIND_PTR(lives->life, &resource, life);
	return life;
}

static struct life *get(struct lives *lives, const struct resource *resource)
{
	struct life *life = find(lives, resource);

	if (life)
		return life;
	life = calloc(1, sizeof(*life));
	if (!life)
		return NULL;
	life->resource = resource;
	HASH_ADD_PTR(lives->life, resource, life);
	return life;
}

void lives_begin(struct lives *lives, uint64_t now_ns)
{
	struct life *life;

	lives->now_ns = now_ns;
	for (life = lives->life; life; life = life->hh.next) {
		life->before = life->hits;
		life->hits = 0;
		life->alive = false;
	}
}

int lives_know(struct lives *lives, const struct resource *resource)
{
	return get(lives, resource) ? 0 : -ENOMEM;
}

int lives_alive(struct lives *lives, const struct resource *resource)
{
	struct life *life = get(lives, resource);

	if (!life)
		return -ENOMEM;
	life->alive = true;
	return 0;
}

int lives_hits(struct lives *lives, const struct resource *resource, uint64_t hits)
{
	struct life *life = get(lives, resource);

	if (!life)
		return -ENOMEM;
	life->hits += hits;
	return 0;
}

static void revive(struct life *life)
{
	life->idle_ns = 0;
	life->ending = life->over = false;
}

void lives_turn(struct lives *lives)
{
	struct life *life;

	for (life = lives->life; life; life = life->hh.next) {
		if (life->alive || life->hits != life->before)
			revive(life);
		/* Its last hits are in this collection: from here on it is idle. */
		if (!life->alive && !life->idle_ns)
			life->idle_ns = lives->now_ns;
	}
}

static bool is_due(const struct lives *lives, const struct life *life)
{
	return life->idle_ns && !life->ending && life->delivered_ns >= life->idle_ns &&
	       lives->now_ns - life->idle_ns >= lives->delay_ns;
}

static const struct life *after(const struct lives *lives, const struct resource *resource)
{
	const struct life *life = resource ? find(lives, resource) : NULL;

	return life ? life->hh.next : lives->life;
}

const struct resource *lives_due(const struct lives *lives, const struct resource *previous)
{
	const struct life *life;

	for (life = after(lives, previous); life && !is_due(lives, life); life = life->hh.next)
		;
	return life ? life->resource : NULL;
}

void lives_wait(struct lives *lives, const struct resource *resource)
{
	struct life *life = find(lives, resource);

	if (!life)
		return;
	revive(life);
	life->idle_ns = lives->now_ns;
}

void lives_end(struct lives *lives, const struct resource *resource)
{
	struct life *life = find(lives, resource);

	if (life)
		life->ending = true;
}

const struct resource *lives_ends(const struct lives *lives, const struct resource *previous)
{
	const struct life *life;

	for (life = after(lives, previous); life && !life->ending; life = life->hh.next)
		;
	return life ? life->resource : NULL;
}

bool lives_ending(const struct lives *lives, const struct resource *resource)
{
	const struct life *life = find(lives, resource);

	return life && life->ending;
}

const struct resource *lives_over(const struct lives *lives, const struct resource *previous)
{
	const struct life *life;

	for (life = after(lives, previous); life && !life->over; life = life->hh.next)
		;
	return life ? life->resource : NULL;
}

void lives_forget(struct lives *lives, const struct resource *resource)
{
	struct life *life = find(lives, resource);

	if (life)
		life_free(lives, life);
}

static int run_add(struct lives *lives, const struct resource *resource, size_t first)
{
	if (lives->runs == lives->room) {
		size_t room = lives->room ? 2 * lives->room : 64;
		struct run *grown = realloc(lives->run, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		lives->run = grown;
		lives->room = room;
	}
	lives->run[lives->runs++] = (struct run){ .resource = resource, .first = first, .count = 1 };
	return 0;
}

int lives_sent(struct lives *lives, const struct points *points)
{
	struct life *life;
	size_t i;

	lives->sent_ns = 0;
	lives->runs = 0;
	for (i = 0; i < points->count; i++) {
		const struct resource *resource = points->point[i].resource;

		if (lives->runs && lives->run[lives->runs - 1].resource == resource)
			lives->run[lives->runs - 1].count++;
		else if (run_add(lives, resource, i))
			return -ENOMEM;
	}
	for (life = lives->life; life; life = life->hh.next) {
		life->sent = true;
		life->sent_ending = life->ending;
		life->failed = false;
	}
	lives->sent_ns = lives->now_ns;
	return 0;
}

void lives_failed(struct lives *lives, size_t first, size_t count)
{
	size_t i;

	for (i = 0; i < lives->runs; i++) {
		const struct run *run = &lives->run[i];
		struct life *life;

		if (run->first >= first + count || first >= run->first + run->count)
			continue;
		life = find(lives, run->resource);
		if (life)
			life->failed = true;
	}
}

void lives_delivered(struct lives *lives)
{
	struct life *life;

	for (life = lives->life; lives->sent_ns && life; life = life->hh.next) {
		/* Who came after it was sent was not in it. */
		if (life->sent && !life->failed) {
			life->delivered_ns = lives->sent_ns;
			life->over |= life->ending && life->sent_ending;
		}
		life->sent = false;
	}
	lives->sent_ns = 0;
	lives->runs = 0;
}
