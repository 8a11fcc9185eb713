/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * level.h - levels (up-down counters and gauges): a table in the linked object's own memory.
 *
 * A level must be right whenever an agent comes and gone when the process is, so it is kept here, agent or not, and
 * the agent reads the table at each snapshot. An ADD is a hash, a look-up and one atomic addition; a SET is two atomic
 * stores. No trap, no system call, no lock: usable from any thread and from signal handlers.
 *
 * Who may run between these lines: any other thread, a signal handler of this one, a fork. A slot is taken by an
 * atomic increment, filled by its taker alone, and published by a compare-and-swap of its index entry; whoever loses
 * that race leaves its slot unpublished and uses the winner's. So a reader never sees half a slot, and a child forked
 * in the middle finds either nothing or a complete slot.
 *
 * The site remains for other tools (the value is the new level); the agent does not attach to it.
 */
#ifndef PROBEMETER_LEVEL_H
#define PROBEMETER_LEVEL_H

#include <probemeter/site.h>

PROBEMETER_QUIET_BEGIN_

PROBEMETER_INLINE_ struct probemeter_levels *probemeter_levels_(void)
{
	struct probemeter_levels *table;

	/* In assembly like the table itself, so that no compiler or LTO partition has to know the symbol. */
	__asm__(".weak probemeter_levels\n.hidden probemeter_levels\n"
		PROBEMETER_LEVELS_ADDRESS_
		: "=r"(table));
	return table;
}

/* Take a slot and its text. NULL: the table is full. @overflow takes from the reserved part. */
PROBEMETER_INLINE_ unsigned probemeter_level_take_(struct probemeter_levels *table, uint64_t key, int metric,
						   int overflow, const char *const *labels, unsigned count)
{
	unsigned limit = overflow ? PROBEMETER_LEVEL_SLOTS : PROBEMETER_LEVEL_SLOTS - PROBEMETER_LEVEL_RESERVED;
	struct probemeter_level_slot *slot;
	unsigned bytes = 0, text, taken, i;
	char *to;

	for (i = 0; i < count; i++)
		bytes += (unsigned)probemeter_length_(labels[i]) + 1;
	/* Looked at before it is taken, so that a full table does not count on for ever and wrap. */
	if (__atomic_load_n(&table->used, __ATOMIC_RELAXED) >= limit ||
	    (bytes && __atomic_load_n(&table->text_used, __ATOMIC_RELAXED) + bytes > PROBEMETER_LEVEL_TEXT))
		return 0;
	/* Threads that race for the last room run past the end. Who needs none, an overflow slot, still gets in. */
	text = __atomic_fetch_add(&table->text_used, bytes, __ATOMIC_RELAXED);
	if (bytes && text + bytes > PROBEMETER_LEVEL_TEXT)
		return 0;
	taken = __atomic_fetch_add(&table->used, 1, __ATOMIC_RELAXED);
	if (taken >= limit)
		return 0;
	slot = &table->slot[taken];
	slot->metric = metric;
	slot->text = text;
	slot->flags = overflow ? PROBEMETER_LEVEL_OVERFLOW : 0;
	for (i = 0, to = table->text + text; i < count; i++) {
		uint64_t length = probemeter_length_(labels[i]);

		if (length)
			memcpy(to, labels[i], length);
		to[length] = '\0';
		to += length + 1;
	}
	/* The key last: the agent, which does not look at the index, takes a slot with a key for complete. */
	__atomic_store_n(&slot->key, key, __ATOMIC_RELEASE);
	return taken + 1;
}

/* The slot of @key, made if there is none; 0 if the table is full. A key that loses the race for its index entry to the
 * same key elsewhere leaves a duplicate slot, whose value stays 0. */
PROBEMETER_INLINE_ unsigned probemeter_level_find_(struct probemeter_levels *table, uint64_t key, int metric,
						   int overflow, const char *const *labels, unsigned count)
{
	unsigned at, seen = 0, mine = 0, probes = 0;
	unsigned short found;

	for (at = (unsigned)key % PROBEMETER_LEVEL_INDEX; probes < PROBEMETER_LEVEL_INDEX;
	     at = (at + 1) % PROBEMETER_LEVEL_INDEX, probes++) {
		found = __atomic_load_n(&table->index[at], __ATOMIC_ACQUIRE);
		if (!found) {
			if (!mine)
				mine = probemeter_level_take_(table, key, metric, overflow, labels, count);
			if (!mine)
				return 0;
			if (__atomic_compare_exchange_n(&table->index[at], &found, (unsigned short)mine, 0,
							__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
				return mine;
			/* @found is the winner now. */
		}
		seen = found;
		if (table->slot[seen - 1].key == key && table->slot[seen - 1].metric == metric)
			return seen;
	}
	return 0;
}

/* The value to work on: this metric's and these labels', or the metric's overflow slot, or NULL if even that is not to
 * be had (more than PROBEMETER_LEVEL_RESERVED level metrics in one full table): that is counted. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wattributes" /* inline and noinline: for the reason at PROBEMETER_NAKED_ */
PROBEMETER_INLINE_ __attribute__((noinline)) struct probemeter_level_value *
probemeter_level_slow_(uint64_t key, const volatile unsigned short *semaphore, const char *const *labels, unsigned count)
{
	struct probemeter_levels *table = probemeter_levels_();
	int metric = (int)((const volatile char *)semaphore - (const volatile char *)table);
	unsigned slot = probemeter_level_find_(table, key, metric, 0, labels, count);

	if (!slot)
		slot = probemeter_level_find_(table, ~(uint64_t)(unsigned)metric, metric, 1, labels, 0);
	if (!slot)
		__atomic_fetch_add(&table->lost, 1, __ATOMIC_RELAXED);
	return slot ? &table->value[slot - 1] : NULL;
}
#pragma GCC diagnostic pop

PROBEMETER_INLINE_ struct probemeter_level_value *
probemeter_level_(uint64_t hash, const volatile unsigned short *semaphore, const char *const *labels, unsigned count)
{
	struct probemeter_levels *table = probemeter_levels_();
	int metric = (int)((const volatile char *)semaphore - (const volatile char *)table);
	uint64_t key = hash ^ ((uint64_t)(unsigned)metric * PROBEMETER_HASH_LENGTH);
	unsigned found = __atomic_load_n(&table->index[(unsigned)key % PROBEMETER_LEVEL_INDEX], __ATOMIC_ACQUIRE);

	/* The first probe hits nearly always. */
	if (__builtin_expect(found && table->slot[found - 1].key == key && table->slot[found - 1].metric == metric, 1))
		return &table->value[found - 1];
	return probemeter_level_slow_(key, semaphore, labels, count);
}

PROBEMETER_QUIET_END_

#define PROBEMETER_LABEL_ARRAY_0 NULL
#define PROBEMETER_LABEL_ARRAY_1 label_array
#define PROBEMETER_LABEL_ARRAY_2 label_array
#define PROBEMETER_LABEL_ARRAY_3 label_array
#define PROBEMETER_LABEL_ARRAY_4 label_array
#define PROBEMETER_LABEL_ARRAY_OF_0
#define PROBEMETER_LABEL_ARRAY_OF_1 const char *const label_array[] = { label1 };
#define PROBEMETER_LABEL_ARRAY_OF_2 const char *const label_array[] = { label1, label2 };
#define PROBEMETER_LABEL_ARRAY_OF_3 const char *const label_array[] = { label1, label2, label3 };
#define PROBEMETER_LABEL_ARRAY_OF_4 const char *const label_array[] = { label1, label2, label3, label4 };

#define PROBEMETER_LEVEL_(id, kind, n, text)                                                                 \
	PROBEMETER_SITE_(id, kind, n, text, "-8",                                                            \
			 PROBEMETER_LEVELS_REGION_, PROBEMETER_LEVELS_FIELD_, )                                      \
	PROBEMETER_CHECKS_(id)                                                                               \
	PROBEMETER_INLINE_ int probemeter_enabled_##id(void)                                                 \
	{                                                                                                    \
		return 1;                                                                                    \
	}                                                                                                    \
	PROBEMETER_INLINE_ void probemeter_level_add_##id(int64_t change PROBEMETER_PARAMETERS_##n)          \
	{                                                                                                    \
		PROBEMETER_LABEL_ARRAY_OF_##n uint64_t hash = PROBEMETER_HASH_##n, now = 0;                  \
		struct probemeter_level_value *level =                                                       \
			probemeter_level_(hash, &probemeter_semaphore_##id, PROBEMETER_LABEL_ARRAY_##n, n);   \
                                                                                                             \
		if (level)                                                                                   \
			now = __atomic_add_fetch(&level->value, PROBEMETER_CAST_(uint64_t, change), __ATOMIC_RELAXED);         \
		if (__builtin_expect(probemeter_semaphore_##id, 0))                                          \
			probemeter_stub_##id(now, hash PROBEMETER_NAMES_##n);                                \
	}                                                                                                    \
	PROBEMETER_INLINE_ void probemeter_level_set_##id(uint64_t value PROBEMETER_PARAMETERS_##n)          \
	{                                                                                                    \
		PROBEMETER_LABEL_ARRAY_OF_##n uint64_t hash = PROBEMETER_HASH_##n;                           \
		struct probemeter_level_value *level =                                                       \
			probemeter_level_(hash, &probemeter_semaphore_##id, PROBEMETER_LABEL_ARRAY_##n, n);   \
                                                                                                             \
		if (level) {                                                                                 \
			__atomic_store_n(&level->value, value, __ATOMIC_RELAXED);                            \
			__atomic_store_n(&level->set_ns, probemeter_now_(), __ATOMIC_RELEASE);               \
		}                                                                                            \
		if (__builtin_expect(probemeter_semaphore_##id, 0))                                          \
			probemeter_stub_##id(value, hash PROBEMETER_NAMES_##n);                              \
	}

#define PROBEMETER_LEVEL_ADD_(id, n)                                                                         \
	PROBEMETER_INLINE_ void probemeter_add_##id(PROBEMETER_INTEGER_PARAMETER_(id) PROBEMETER_PARAMETERS_##n) \
	{                                                                                                    \
		probemeter_level_add_##id(PROBEMETER_INTEGER_VALUE_ PROBEMETER_NAMES_##n);                   \
	}
#define PROBEMETER_LEVEL_SET_(id, n)                                                                         \
	PROBEMETER_INLINE_ void probemeter_set_##id(PROBEMETER_INTEGER_PARAMETER_(id) PROBEMETER_PARAMETERS_##n) \
	{                                                                                                    \
		probemeter_level_set_##id(PROBEMETER_CAST_(uint64_t, PROBEMETER_INTEGER_VALUE_) PROBEMETER_NAMES_##n);         \
	}                                                                                                    \
	PROBEMETER_REFUSE_REAL_(id)

#define PROBEMETER_METRIC_UPDOWNCOUNTER_(id, n, unit, text)                                                  \
	PROBEMETER_LEVEL_(id, PROBEMETER_KIND_UPDOWNCOUNTER, n, text)                                        \
	PROBEMETER_LEVEL_ADD_(id, n) PROBEMETER_LEVEL_SET_(id, n)
#define PROBEMETER_METRIC_UPDOWNCOUNTER_LATEST_(id, n, unit, text)                                           \
	PROBEMETER_LEVEL_(id, PROBEMETER_KIND_UPDOWNCOUNTER_LATEST, n, text)                                 \
	PROBEMETER_LEVEL_SET_(id, n)
#define PROBEMETER_METRIC_GAUGE_(id, n, unit, text)                                                          \
	PROBEMETER_LEVEL_(id, PROBEMETER_KIND_GAUGE, n, text)                                                \
	PROBEMETER_INLINE_ void probemeter_set_##id(double value PROBEMETER_PARAMETERS_##n)                  \
	{                                                                                                    \
		probemeter_level_set_##id(probemeter_bits_(value) PROBEMETER_NAMES_##n);                     \
	}                                                                                                    \
	PROBEMETER_INLINE_ void probemeter_set_real_##id(double value PROBEMETER_PARAMETERS_##n)             \
	{                                                                                                    \
		probemeter_set_##id(value PROBEMETER_NAMES_##n);                                             \
	}

#endif
