/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * abi.h - the numbers and layouts that a service and an agent agree on.
 *
 * Read by services (through probemeter.h), by the agent and by the BPF programs, so that no layout is
 * written down twice. All of it is for ever: a change needs a new tag, a new level table version or a new
 * note type, and old ones stay understood. ABI.md is the same in prose.
 */
#ifndef PROBEMETER_ABI_H
#define PROBEMETER_ABI_H

#define PROBEMETER_MAX_LABELS 4
/* A label value is cut behind this many bytes, by the hash and by the readers alike. */
#define PROBEMETER_LABEL_BYTES 511
#define PROBEMETER_MAX_BOUNDS 128

/* Descriptor: an allocated ELF note (owner, type), then tagged fields until its end.
 * Field: u16 tag, u16 payload bytes (a multiple of 4), payload. A place is an i32: target minus the place's own address. */
#define PROBEMETER_NOTE_SECTION ".note.probemeter"
#define PROBEMETER_NOTE_OWNER "probemeter"
#define PROBEMETER_NOTE_TYPE 1
#define PROBEMETER_TAG_METRIC 1 /* u32 kind, u32 number of labels */
#define PROBEMETER_TAG_TEXT 2 /* place, u32 bytes: scope, name, unit, description, labels, each with its NUL */
#define PROBEMETER_TAG_SEMAPHORE 3 /* place of a u16 that the kernel raises */
#define PROBEMETER_TAG_SITE 4 /* place of the nop (x86-64: of one byte) that the USDT note names as well */
#define PROBEMETER_TAG_FAST 5 /* place of the 5-byte nop, place of the 10-byte nop: only where the guard lets pass; x86-64 alone */
#define PROBEMETER_TAG_SLOW 6 /* place of the 1-byte nop for everyone else; x86-64 alone */
#define PROBEMETER_TAG_BOUNDS 7 /* place, u32 bytes: ascending IEEE-754 binary64 */
#define PROBEMETER_TAG_LEVELS 8 /* place, u32 version: the linked object's level table */

/* Kinds: what a metric is, and how its processes add up. */
#define PROBEMETER_KIND_COUNTER 1 /* summed */
#define PROBEMETER_KIND_UPDOWNCOUNTER 2 /* summed over live processes */
#define PROBEMETER_KIND_UPDOWNCOUNTER_LATEST 3 /* latest set by a live process */
#define PROBEMETER_KIND_GAUGE 4 /* latest set by a live process, binary64 */
#define PROBEMETER_KIND_HISTOGRAM 5 /* summed, binary64 */

/* The level table, version 1. */
#define PROBEMETER_LEVELS_VERSION 1
#define PROBEMETER_LEVEL_SLOTS 2048
#define PROBEMETER_LEVEL_RESERVED 64 /* of them kept for overflow slots, one per metric */
#define PROBEMETER_LEVEL_INDEX 4096
#define PROBEMETER_LEVEL_TEXT 131072
/* Bytes of the table that a fork wipes, the values: a whole number of pages on x86-64; on arm64, whose pages may have 64 KiB,
 * together with as many that lie unused before the table. */
#define PROBEMETER_LEVEL_WIPED 32768
#define PROBEMETER_LEVEL_BYTES 225280

#ifndef __ASSEMBLER__

/* One level of this process. @value is an int64, or a binary64 for a gauge; @set_ns is CLOCK_MONOTONIC of the last
 * SET, 0 if there was none. The two words are written one after the other, each atomically. */
struct probemeter_level_value {
	unsigned long long value;
	unsigned long long set_ns;
};

#define PROBEMETER_LEVEL_OVERFLOW 1u
/* Whose level it is. Complete before its index is published, never changed afterwards. */
struct probemeter_level_slot {
	unsigned long long key; /* label hash mixed with the metric */
	int metric; /* the metric's semaphore minus the table's address */
	unsigned text; /* offset of the label values in text[], each with its NUL */
	unsigned flags;
	unsigned pad;
};

struct probemeter_levels {
	/* Wiped in a forked child (MADV_WIPEONFORK): a child's share starts at zero. */
	struct probemeter_level_value value[PROBEMETER_LEVEL_SLOTS];
	/* The rest stays: a child finds its parent's keys. */
	unsigned used; /* slots handed out; may run past the end */
	unsigned text_used; /* bytes handed out; may run past the end */
	unsigned wiped; /* 1: the kernel agreed to wipe the values */
	unsigned lost; /* updates that found no slot, not even for overflow; 0 from headers that did not count them */
	unsigned short index[PROBEMETER_LEVEL_INDEX]; /* by key, open addressing: slot + 1, 0 = free */
	struct probemeter_level_slot slot[PROBEMETER_LEVEL_SLOTS];
	char text[PROBEMETER_LEVEL_TEXT];
};

/* The wiped part must be whole pages: the assembler reserves and madvise()s these numbers. */
#ifdef __cplusplus
#define PROBEMETER_ASSERT_(test) static_assert(test, #test)
#else
#define PROBEMETER_ASSERT_(test) _Static_assert(test, #test)
#endif
PROBEMETER_ASSERT_(sizeof(struct probemeter_level_value[PROBEMETER_LEVEL_SLOTS]) == PROBEMETER_LEVEL_WIPED);
PROBEMETER_ASSERT_(sizeof(struct probemeter_level_slot) == 24);
PROBEMETER_ASSERT_(sizeof(struct probemeter_levels) <= PROBEMETER_LEVEL_BYTES);

#endif /* !__ASSEMBLER__ */
#endif
