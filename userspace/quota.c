/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quota.c - counts what each owner has taken, and what is taken in all.
 *
 * The same rule as the kernel side's for cells and series: half for one, all for all.
 */
#include "quota.h"

#include <stdlib.h>

#include "table.h"

struct share {
	const void *owner;
	size_t taken;
	UT_hash_handle hh;
};

struct quota {
	struct share *share;
	size_t limit, taken;
};

struct quota *quota_new(size_t limit)
{
	struct quota *quota = calloc(1, sizeof(*quota));

	if (quota)
		quota->limit = limit;
	return quota;
}

bool quota_take(struct quota *quota, const void *owner, size_t amount)
{
	struct share *share;

	if (amount > quota->limit - quota->taken)
		return false;
	HASH_FIND_PTR(quota->share, &owner, share);
	if (amount > quota->limit / 2 - (share ? share->taken : 0))
		return false;
	if (!share) {
		share = calloc(1, sizeof(*share));
		if (!share)
			return false;
		share->owner = owner;
		HASH_ADD_PTR(quota->share, owner, share);
	}
	share->taken += amount;
	quota->taken += amount;
	return true;
}

size_t quota_taken(const struct quota *quota, const void *owner)
{
	struct share *share;

	if (!owner)
		return quota->taken;
	HASH_FIND_PTR(quota->share, &owner, share);
	return share ? share->taken : 0;
}

void quota_return(struct quota *quota, const void *owner, size_t amount)
{
	struct share *share;

	HASH_FIND_PTR(quota->share, &owner, share);
	if (!share)
		return;
	quota->taken -= amount;
	share->taken -= amount;
	if (share->taken)
		return;
	HASH_DEL(quota->share, share);
	free(share);
}

void quota_give(struct quota *quota, const void *owner)
{
	struct share *share;

	HASH_FIND_PTR(quota->share, &owner, share);
	if (share)
		quota_return(quota, owner, share->taken);
}

void quota_reset(struct quota *quota)
{
	struct share *share, *next;

	HASH_ITER(hh, quota->share, share, next) {
		HASH_DEL(quota->share, share);
		free(share);
	}
	quota->taken = 0;
}

void quota_free(struct quota *quota)
{
	if (!quota)
		return;
	quota_reset(quota);
	free(quota);
}
