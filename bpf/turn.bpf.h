/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * turn.bpf.h - whose turn is it to count, while two generations of programs are attached to the same sites.
 *
 * An agent of another schema cannot go on with the maps it finds. It makes a set of its own, one generation higher, and
 * attaches its programs beside the old ones: no site is ever without a probe. Each hit then runs both, and exactly one of
 * them counts. Which one is decided by one word that all generations share, `turn`: first the old generation's number,
 * from one store on the new one's.
 *
 * A hit whose two programs run on either side of that store must not be lost nor counted twice. The kernel runs the
 * consumer that came last first (consumer_add() puts it at the head, in all versions from 5.15 to 6.18), so the new
 * program of a hit runs before the old one, on the same thread, with nothing of that thread in between. Hence:
 *
 *     new, not its turn yet:  leaves a mark for its thread and does not count;
 *     new, its turn:          takes the mark away and counts;
 *     old, its turn:          counts;
 *     old, no more its turn:  counts if the mark is there: then the new one has not.
 *
 * Whichever side of the store the two of them are on, one counts. The agent sees to the ends: it moves the turn only when no
 * hit is under way that began before the new program was attached, and clears the marks once the old programs are gone
 * (userspace/handover.c). PM_TURN_BOTH in the word says that old programs may still be there; without it, and that is
 * always but for the moment of a handover, the new program spares itself the mark. Word and marks are the same for all
 * schemas, for ever.
 */
#ifndef PROBEMETER_TURN_BPF_H
#define PROBEMETER_TURN_BPF_H

/* Set before load: the generation of this set of maps and programs. */
const volatile __u64 generation = 1;

volatile __u64 turn SEC(".data.turn") = 1;

/* By thread. Filled ahead, so that no mark fails for want of memory. More threads than fit may each lose the one hit that
 * straddles the turn. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_MAX_MARKS);
	__type(key, __u32);
	__type(value, __u32);
} marks SEC(".maps");

static __noinline int turn_shared(__u64 now)
{
	__u32 thread = (__u32)bpf_get_current_pid_tgid(), one = 1;

	if ((now & ~PM_TURN_BOTH) == generation) {
		bpf_map_delete_elem(&marks, &thread);
		return 1;
	}
	if ((now & ~PM_TURN_BOTH) > generation)
		return bpf_map_lookup_elem(&marks, &thread) != NULL;
	bpf_map_update_elem(&marks, &thread, &one, BPF_ANY);
	return 0;
}

/* Is this hit ours to count? To be asked once per hit, before anything is written. */
static __always_inline bool turn_is_ours(void)
{
	__u64 now = turn;

	return now == generation || turn_shared(now);
}

#endif
