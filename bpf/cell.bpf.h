/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * cell.bpf.h - the table of cells: where (service, metric, label hash, bucket) is counted.
 *
 * A hash table in two plain array maps, because a look-up in a kernel hash map costs 26 ns and one in an array 1 ns
 * (measured on Linux 6.18 by BPF_PROG_TEST_RUN). `places` holds the keys: groups of PM_GROUP slots, two cache lines
 * each. `cells` holds the numbers, slot by slot, once per CPU. The agent maps both into its memory and reads them
 * without a system call. A key goes to one of PM_GROUP_TRIES neighbouring groups, one of an overflow
 * series to one of PM_GROUP_TRIES_OVERFLOW; the hash is salted, so that nobody who picks label hashes picks groups.
 *
 * Who else may run between these lines: the same program, on any CPU, and on this one by preemption. A free slot
 * (where = 0) is taken by compare-and-swap to where | PM_WHERE_BUSY by exactly one of them, which then writes the hash
 * and at last `where` by an atomic exchange. So a slot whose `where` matches has its hash complete. Whoever looks for
 * the same key in the meantime sees no match and takes another slot: then two slots have one key, later look-ups find
 * the first, and the agent adds both. No addition is ever lost.
 *
 * The agent gives slots back (userspace/forget.c): those of a service for which no program runs any more nor ever will, so
 * that nobody looks for their keys. It sets the numbers to 0 and at last `where`; whoever takes the slot by compare-and-swap
 * finds zeros. No look-up ends at a free slot, it goes through all slots of all groups a key may be in: so a slot that became
 * free hides none behind it.
 */
#ifndef PROBEMETER_CELL_BPF_H
#define PROBEMETER_CELL_BPF_H

/* Set before load: slots is a power of two, groups = slots / PM_GROUP. */
const volatile __u32 slots = PM_MAX_CELLS;
const volatile __u32 cells_per_service = PM_MAX_CELLS / 4;
const volatile __u64 salt = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_MAX_CELLS / PM_GROUP);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pm_group);
} places SEC(".maps");

/* [cpu][slot] */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_MAX_CELLS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pm_cell);
} cells SEC(".maps");

/* [slot]: how often its sums went past 2^64, all CPUs together. A histogram's does so every 2^32 events or more. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_MAX_CELLS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} carries SEC(".maps");

/* By service: what one can take from the others is bounded. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_MAX_SERVICES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pm_taken);
} taken SEC(".maps");

static __always_inline __u64 cell_mix(__u64 hash, __u64 where)
{
	return pm_mix(hash, where, salt);
}

static __always_inline struct pm_group *cell_group(__u64 mix, __u32 try)
{
	__u32 at = ((mix >> 3) + try) & (slots / PM_GROUP - 1);

	return bpf_map_lookup_elem(&places, &at);
}

static __always_inline __u32 cell_slot(__u64 mix, __u32 try, __u32 in_group)
{
	return (((mix >> 3) + try) & (slots / PM_GROUP - 1)) * PM_GROUP + in_group;
}

static __noinline int cell_carry(__u32 slot)
{
	__u64 *carry = bpf_map_lookup_elem(&carries, &slot);

	if (carry)
		__sync_fetch_and_add(carry, 1);
	return 0;
}

/* Add to a slot's cell on this CPU. Two atomic additions: a program that preempts this one may add in between. */
static __always_inline bool cell_add(__u32 slot, __u64 sum)
{
	__u32 at = bpf_get_smp_processor_id() * slots + slot;
	struct pm_cell *cell = bpf_map_lookup_elem(&cells, &at);

	if (!cell)
		return false;
	/* Count before sum: a reader that takes the sum first never sees it run ahead. */
	__sync_fetch_and_add(&cell->count, 1);
	if (__sync_fetch_and_add(&cell->sum, sum) > ~sum)
		(void)cell_carry(slot);
	return true;
}

/* The common case: the key is in its first group. Starts where it was put if there was no crowd. */
static __always_inline bool cell_hit(__u64 hash, __u64 where, __u64 sum)
{
	__u64 mix = cell_mix(hash, where);
	struct pm_group *group = cell_group(mix, 0);
	__u32 i, at;

	if (!group)
		return false;
	for (i = 0; i < PM_GROUP; i++) {
		at = (mix + i) & (PM_GROUP - 1);
		if (group->slot[at].where == where && group->slot[at].hash == hash)
			return cell_add(cell_slot(mix, 0, at), sum);
	}
	return false;
}

static __always_inline __u32 cell_tries(__u64 where)
{
	return where & PM_BUCKET_OVERFLOW ? PM_GROUP_TRIES_OVERFLOW : PM_GROUP_TRIES;
}

/* Any group it may be in. Return: slot, or -1. Not static: the verifier looks at it once. */
__noinline int cell_find(__u64 hash, __u64 where)
{
	__u64 mix = cell_mix(hash, where);
	struct pm_group *group;
	__u32 try, i, at;

	for (try = 0; try < PM_GROUP_TRIES_OVERFLOW && try < cell_tries(where); try++) {
		group = cell_group(mix, try);
		if (!group)
			break;
		for (i = 0; i < PM_GROUP; i++) {
			at = (mix + i) & (PM_GROUP - 1);
			if (group->slot[at].where == where && group->slot[at].hash == hash)
				return cell_slot(mix, try, at);
		}
	}
	return -1;
}

/* A free slot for the key. Return: slot, or -1 if its groups are full. */
__noinline int cell_take(__u64 hash, __u64 where)
{
	__u64 mix = cell_mix(hash, where);
	struct pm_group *group;
	__u32 try, i, at;

	for (try = 0; try < PM_GROUP_TRIES_OVERFLOW && try < cell_tries(where); try++) {
		group = cell_group(mix, try);
		if (!group)
			break;
		for (i = 0; i < PM_GROUP; i++) {
			at = (mix + i) & (PM_GROUP - 1);
			if (group->slot[at].where ||
			    __sync_val_compare_and_swap(&group->slot[at].where, 0, where | PM_WHERE_BUSY))
				continue;
			group->slot[at].hash = hash;
			barrier();
			__sync_lock_test_and_set(&group->slot[at].where, where);
			return cell_slot(mix, try, at);
		}
	}
	return -1;
}

/* The slot of a key, found or made. Overflow cells are not held to the service's share: they are what is left to it.
 * Return: slot, or -1 if there is no room. */
static __always_inline int cell_make(__u64 hash, __u64 where)
{
	__u32 service = PM_WHERE_SERVICE(where), all = 0;
	int slot = cell_find(hash, where);
	struct pm_taken *own, *in_all;

	if (slot >= 0)
		return slot;
	own = bpf_map_lookup_elem(&taken, &service);
	in_all = bpf_map_lookup_elem(&taken, &all);
	if (!own || !in_all)
		return -1;
	/* Looked at, then added to: programs that race here may go over a share by as many as they are. The last eighth is for
	 * overflow series alone, and leaves the groups room enough for them. */
	if (!(where & PM_BUCKET_OVERFLOW) && (own->cells >= cells_per_service || in_all->cells >= slots / 8 * 7))
		return -1;
	slot = cell_take(hash, where);
	if (slot >= 0) {
		__sync_fetch_and_add(&own->cells, 1);
		__sync_fetch_and_add(&in_all->cells, 1);
	}
	return slot;
}

#endif
