/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * maps.h - what the BPF programs and the agent share: keys, values, limits, cookie.
 *
 * A cell is one number that events add to: (service, metric, label hash, bucket), per CPU. A series is what a cell
 * belongs to: (service, metric, label hash), with its label values. A service is a set of processes that would give
 * the same resource: same naming variables in their environment, same executable, same cgroup.
 */
#ifndef PROBEMETER_MAPS_H
#define PROBEMETER_MAPS_H

#include <linux/types.h>

/*
 * The schema: a number for people, raised when a version is published that counts otherwise. Maps outlive the agent that
 * made them (userspace/pins.c); an agent adopts only those of its own schema, and that is this number and a hash of the
 * sources of all BPF programs (scripts/schema.sh), of sizes and of limits (kernel_schema()). So nothing here can be changed
 * without being another schema. What becomes of totals of another one is userspace/handover.c's, by layout.h.
 */
#ifndef PM_SCHEMA
#define PM_SCHEMA 1
#endif

/* Default sizes; the agent may set others before load. */
#define PM_MAX_CELLS 131072
#define PM_MAX_SERIES 32768
#define PM_MAX_STRINGS 131072
#define PM_MAX_SERVICES 4096
#define PM_MAX_TASKS 8192 /* processes remembered in the fast table; a power of two */
#define PM_MAX_METRICS 4096
#define PM_MAX_BOUNDS 128
/* What the agent remembers beside the maps, in a map of its own: see userspace/journal.h. */
#define PM_JOURNAL_BYTES (1u << 20)
#define PM_PAGE 4096
/* Threads that may fire in the moment of a handover, see turn.bpf.h; a bit of the word that says whose turn it is. */
#define PM_MAX_MARKS 4096
#define PM_TURN_BOTH (1ull << 63)
/* Series per metric and service, the overflow series included (OpenTelemetry's default cardinality limit). */
#define PM_SERIES_PER_METRIC 2000

/* What an attached site carries: which metric, how many labels, and as bits which of them are left out. */
#define PM_COOKIE(metric, labels) ((__u64)(metric) | (__u64)(labels) << 32)
#define PM_COOKIE_WITHOUT(cookie, left_out) ((cookie) | (__u64)(left_out) << 40)
#define PM_COOKIE_METRIC(cookie) ((__u32)(cookie))
#define PM_COOKIE_LABELS(cookie) ((__u32)((cookie) >> 32) & 0xff)
#define PM_COOKIE_LEFT_OUT(cookie) ((__u32)((cookie) >> 40) & 0xff)

/*
 * Where an event goes, in one word: service (20 bits), metric (20), bucket (24).
 * bucket: exponent (11 bits, biased as in binary64), sign, index (8 bits), unnamed, overflow.
 * Service ids start at 1, so that no cell is at 0.
 * index: the eighth of an octave (scale 3), or the number of declared bounds below the value. All values of one cell
 * share exponent and sign, which makes their sum a sum of integers. Zero is exponent 0 with index as declared or 0.
 */
#define PM_WHERE(service, metric) ((__u64)(service) << 44 | (__u64)(metric) << 24)
#define PM_WHERE_SERVICE(where) ((__u32)((where) >> 44))
#define PM_WHERE_METRIC(where) ((__u32)((where) >> 24) & 0xfffff)
#define PM_BUCKET(exponent, sign, index) ((__u64)(exponent) | (__u64)(sign) << 11 | (__u64)(index) << 12)
#define PM_BUCKET_EXPONENT(where) ((__u32)(where)&0x7ff)
#define PM_BUCKET_SIGN(where) ((__u32)((where) >> 11) & 1)
#define PM_BUCKET_INDEX(where) ((__u32)((where) >> 12) & 0xff)
#define PM_BUCKET_UNNAMED (1ull << 20)
#define PM_BUCKET_OVERFLOW (1ull << 21)
#define PM_WHERE_BUSY (1ull << 23) /* a slot that is being filled */

struct pm_cell_key {
	__u64 hash; /* 0 in an overflow series */
	__u64 where;
};

/* count: events. sum: of integers for a counter; for a histogram of mantissas in units of 2^(exponent - 1023 - 31),
 * rounded to 32 bits (relative error of one value at most 2^-32). sum is modulo 2^64: how often it went round is in
 * `carries`, so that the total is right also for a reader that was away. */
struct pm_cell {
	__u64 count;
	__u64 sum;
#ifdef PM_OTHER_LAYOUT /* a build that tests take for a later version */
	__u64 more;
#endif
};

/* What an earlier generation counted: [slot], and behind the slots its drops, by PM_DROP_INDEX(). Written once, by the
 * agent; a slot that is given back holds nothing. */
struct pm_carried {
	__u64 count;
	__u64 sum;
	__u64 high; /* of the sum: how often 2^64 */
};
#define PM_MANTISSA_BITS 31

/* Keys of cells, as cell.bpf.h lays them out: a free slot has where = 0. */
#define PM_GROUP 8
#define PM_GROUP_TRIES 4
#define PM_GROUP_TRIES_OVERFLOW 32 /* overflow cells come last, when it is crowded */
struct pm_slot {
	__u64 where;
	__u64 hash; /* 0 in an overflow series */
};
struct pm_group {
	struct pm_slot slot[PM_GROUP];
};

/* Where a key is looked for: group (mix >> 3) modulo the number of groups and the PM_GROUP_TRIES - 1 behind it, in each
 * from slot mix modulo PM_GROUP on. */
static inline __attribute__((always_inline)) __u64 pm_mix(__u64 hash, __u64 where, __u64 salt)
{
	__u64 mix = (hash ^ salt) * 0x9e3779b97f4a7c15ull;

	mix = ((mix ^ mix >> 32) + where) * 0xd1342543de82ef95ull;
	return mix ^ mix >> 32;
}

struct pm_series_key {
	__u64 hash;
	__u32 service;
	__u32 metric;
};

struct pm_series {
	__u32 id; /* dense, owner of the label values in strings */
	__u32 named; /* 1 once every label value is there */
};

/* What a service has taken of what all share. That of service 0, which nobody has, is all that is taken. */
struct pm_taken {
	__u64 cells;
	__u64 series;
	__u64 pieces; /* of label values in strings */
};

struct pm_usage_key {
	__u32 service;
	__u32 metric;
};

/* A string lies in pieces: 63 bytes and a NUL each, the last one shorter. */
#define PM_PIECE 64
#define PM_LABEL_PIECES 9 /* 511 bytes need 9 */
struct pm_string_key {
	__u32 owner; /* series id, or PM_OWNER_SERVICE | service id */
	__u16 field; /* label number; for a service enum pm_service_field */
	__u16 piece;
};
#define PM_OWNER_SERVICE (1u << 31)
#define PM_SERVICE_PIECES 64

/* Texts of a service's first process. Each is strings one behind the other, a string in pieces whose last byte says
 * whether it goes on. Paths are their components, the last one first. */
enum pm_service_field { PM_FIELD_VARIABLES, PM_FIELD_CGROUP, PM_FIELD_EXECUTABLE, PM_SERVICE_FIELDS };

/* The naming variables as exec gave them, for a process that later writes over its environment. */
#define PM_STARTED_PIECES 32
struct pm_started {
	__u64 exec_id; /* plus one */
	__u64 hash;
	__u32 pieces; /* more than PM_STARTED_PIECES: not all of them are here */
	__u32 pad;
	char text[PM_STARTED_PIECES][PM_PIECE];
};

struct pm_service_key {
	__u64 environment; /* hash of the naming variables, 0: none, or PM_ENVIRONMENT_UNREAD */
	__u64 cgroup; /* a hash of v2's and of the one that says most */
	__u64 inode;
	__u64 process; /* a hash of tgid and start, or 0 where a service is all its processes */
	__u32 device;
	__u32 uid; /* the real one, where rules ask for it, else 0 */
};

/* Events of one process at which its environment could not be read: a service of its own, key_unread() in service.bpf.h. */
#define PM_ENVIRONMENT_UNREAD (~0ull)

#define PM_TGID_OUTSIDE (1u << 31)

struct pm_service {
	__u64 seal; /* of key and id, pm_seal(): what is read here belongs together */
	__u64 since_unix_ns; /* PM_NEXT_SINCE as it was when this one came */
	__u32 id; /* from 1 */
	__u32 tgid; /* of the first process seen, in the agent's pid namespace; where it is not in that, PM_TGID_OUTSIDE | its
		     * number in the initial one */
	__u64 start_ns; /* its start, CLOCK_BOOTTIME */
	__u32 uid; /* its real user */
	__u32 metric; /* what it fired first */
};

/* What a thread group leader remembers: found again in a few nanoseconds at each hit. */
struct pm_task {
	__u64 exec_id; /* an exec makes it another service */
	__u32 service;
	__u32 uid; /* so does another user, where rules ask for it */
};

/* The file of a mapping. */
struct pm_file {
	__u64 address; /* of the inode; 0: not found */
	__u64 inode;
	__u64 device; /* the kernel's number */
	__u64 magic; /* of the file system */
};

/* Declared bounds as integers that order like the doubles; PM_ORDER() turns one into the other. */
struct pm_bounds {
	__u32 count;
	__u32 pad;
	__u64 bound[PM_MAX_BOUNDS];
};
#define PM_ORDER(bits) ((bits) ^ (((__u64)((__s64)(bits) >> 63)) | 1ull << 63))

/* Why an event was not counted. drops.c has the words. */
enum pm_drop {
	PM_DROP_NEGATIVE, /* counter with n < 0 */
	PM_DROP_NOT_FINITE, /* histogram with NaN or an infinity */
	PM_DROP_NO_CELL, /* no room, not even for the overflow series */
	PM_DROP_NO_SERVICE, /* more services than there is room for */
	PM_DROP_REASONS = 8,
};
#define PM_DROP_INDEX(metric, reason) ((metric) * PM_DROP_REASONS + (reason))

/* Says that @id is the service of @key. */
static inline __attribute__((always_inline)) __u64 pm_seal(const struct pm_service_key *key, __u32 id)
{
	__u64 seal = pm_mix(key->environment, key->cgroup, id);

	return pm_mix(pm_mix(key->inode, key->process, seal), (__u64)key->device << 32 | key->uid, id);
}

/* Words that count up: the next series id, the next service id never given out, how many services were made. And when
 * services were forgotten last, before their keys were taken away: whoever comes later starts no earlier. */
enum pm_next { PM_NEXT_SERIES, PM_NEXT_SERVICE, PM_NEXT_MADE, PM_NEXT_SINCE, PM_NEXT_COUNT };

/* Service ids that were given back, a bit each. */
#define PM_VACANT_WORDS (PM_MAX_SERVICES / 64)

/* By service id: services whose key was taken away, until what they hold is given back. The agent's own note, forget.c. */
struct pm_closing {
	struct pm_service_key key;
	struct pm_service service; /* id 0: nothing here */
	__u32 freeing; /* nobody can come back to it any more */
	__u32 pad;
};

_Static_assert(sizeof(struct pm_cell_key) == 16, "no padding in keys");
_Static_assert(sizeof(struct pm_series_key) == 16, "no padding in keys");
_Static_assert(sizeof(struct pm_string_key) == 8, "no padding in keys");
_Static_assert(sizeof(struct pm_service_key) == 40, "no padding in keys");

#endif
