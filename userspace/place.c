/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * place.c - the slot of a key in the table of cells, by the rules of cell.bpf.h.
 *
 * Consumes keys; produces slots of the maps that programs count into. Who may have how many of them is for callers.
 */
#include "place.h"

#include "../bpf/maps.h"

/* The @number-th slot that a key may be in; NULL behind the last one. */
static struct pm_slot *candidate(const struct kernel *kernel, uint64_t mix, uint64_t where, uint32_t number, long *ret)
{
	uint32_t tries = where & PM_BUCKET_OVERFLOW ? PM_GROUP_TRIES_OVERFLOW : PM_GROUP_TRIES;
	uint32_t group = (uint32_t)((mix >> 3) + number / PM_GROUP) & (kernel->slots / PM_GROUP - 1);
	uint32_t at = (uint32_t)(mix + number) & (PM_GROUP - 1);

	*ret = (long)group * PM_GROUP + at;
	return number < tries * PM_GROUP ? &kernel->places[group].slot[at] : NULL;
}

long place_find(const struct kernel *kernel, uint64_t hash, uint64_t where)
{
	uint64_t mix = pm_mix(hash, where, kernel->salt);
	struct pm_slot *slot;
	uint32_t number;
	long at;

	for (number = 0; (slot = candidate(kernel, mix, where, number, &at)); number++)
		if (__atomic_load_n(&slot->where, __ATOMIC_ACQUIRE) == where && slot->hash == hash)
			return at;
	return -1;
}

long place_take(struct kernel *kernel, uint64_t hash, uint64_t where)
{
	uint64_t mix = pm_mix(hash, where, kernel->salt), expected;
	struct pm_slot *slot;
	uint32_t number;
	long at;

	for (number = 0; (slot = candidate(kernel, mix, where, number, &at)); number++) {
		expected = 0;
		if (!__atomic_compare_exchange_n(&slot->where, &expected, where | PM_WHERE_BUSY, false, __ATOMIC_SEQ_CST,
						 __ATOMIC_SEQ_CST))
			continue;
		slot->hash = hash;
		__atomic_store_n(&slot->where, where, __ATOMIC_SEQ_CST);
		return at;
	}
	return -1;
}

void place_free(struct kernel *kernel, long slot)
{
	kernel->places[slot / PM_GROUP].slot[slot % PM_GROUP] = (struct pm_slot){ 0 };
}
