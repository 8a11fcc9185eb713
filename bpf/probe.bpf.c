/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * probe.bpf.c - what runs at each hit: find the cell, add the value.
 *
 * Consumes the registers of a stub (value, label hash, label pointers) and the attach cookie (metric, labels).
 * Produces cells, series with their label values, services, and drops by metric and reason.
 *
 * Concurrency, for all of it: a uprobe program may be preempted by the same program on the same CPU, and runs on every
 * CPU at once. So nothing here lives in scratch memory: keys are on the stack. A new entry of a hash map is inserted with
 * zeros and BPF_NOEXIST, looked up again and then added to atomically, so whoever comes first, all additions land in
 * the one entry. What is counted per CPU takes atomic additions too: on one CPU two programs can interleave between load
 * and store.
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <linux/errno.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#include "kernel.h"
#include "maps.h"
#include "value.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#ifndef PT_REGS_PARM6 /* libbpf 1.1 stops at five */
#ifdef __TARGET_ARCH_arm64
#define PT_REGS_PARM6(ctx) (((const struct user_pt_regs *)(ctx))->regs[5])
#else
#define PT_REGS_PARM6(ctx) ((ctx)->r9)
#endif
#endif

/* Set before load. */
const volatile __u32 series_per_metric = PM_SERIES_PER_METRIC;
const volatile __u32 series_per_service = PM_MAX_SERIES / 2;
const volatile __u32 pieces_per_service = 2 * PM_MAX_SERIES;
const volatile __u32 pieces_in_all = 4 * PM_MAX_SERIES; /* the rest of strings is for the names of services */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_MAX_SERIES);
	__type(key, struct pm_series_key);
	__type(value, struct pm_series);
} series SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_MAX_SERIES);
	__type(key, struct pm_usage_key);
	__type(value, __u64);
} usage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_MAX_STRINGS);
	__type(key, struct pm_string_key);
	__type(value, char[PM_PIECE]);
} strings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_MAX_METRICS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct pm_bounds);
} bounds SEC(".maps");

/* Never filled and never jumped through: see stack_of_its_own(). */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} nowhere SEC(".maps");
const volatile bool never = false;

/* One counter for all CPUs: drops are rare. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_MAX_METRICS *PM_DROP_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_NEXT_COUNT);
	__uint(map_flags, BPF_F_MMAPABLE); /* the agent makes ids, too, in a handover */
	__type(key, __u32);
	__type(value, __u64);
} next_id SEC(".maps");

/* The agent's own; no program touches it. It is a map so that it lives and dies with the others. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_JOURNAL_BYTES / PM_PAGE);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, char[PM_PAGE]);
} journal SEC(".maps");

#include "turn.bpf.h"
#include "service.bpf.h"
#include "cell.bpf.h"
#include "file.bpf.h"

/*
 * Keys are on the stack, and since Linux 6.13 the stack of a program of our type is one per CPU ("private stack", made for
 * kprobes, which nobody preempts). A uprobe program that is preempted finds another one's keys there when it goes on: counts
 * under wrong labels, and a kernel that follows a pointer of another task (seen on 7.3 with PREEMPT_LAZY). A program that
 * holds a tail call keeps the task's own stack. That this one is never made, the verifier knows: it costs nothing.
 * Source: kernel/bpf/verifier.c, check_max_stack_depth().
 */
static __always_inline void stack_of_its_own(void *ctx)
{
	if (never)
		bpf_tail_call(ctx, &nowhere, 0);
}

static __always_inline int drop(__u32 metric, enum pm_drop reason)
{
	__u32 index = PM_DROP_INDEX(metric, reason);
	__u64 *count = bpf_map_lookup_elem(&drops, &index);

	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

/* Put a piece of a label value of @own's in its place. What is there already, a try before left: it is not counted again.
 * Looked at, then added to: programs that race here may go over a share by as many as they are. */
static __always_inline long piece_put(struct pm_taken *own, struct pm_taken *all, struct pm_string_key *key, char *piece)
{
	long err;

	if (own->pieces >= pieces_per_service || all->pieces >= pieces_in_all)
		return -ENOSPC;
	err = bpf_map_update_elem(&strings, key, piece, BPF_NOEXIST);
	if (err == -EEXIST)
		return bpf_map_update_elem(&strings, key, piece, BPF_ANY);
	if (err)
		return err;
	__sync_fetch_and_add(&own->pieces, 1);
	__sync_fetch_and_add(&all->pieces, 1);
	return 0;
}

/* Read one label value into pieces. The service touched its pages a moment ago (hash.h), so a fault is rare. */
__noinline int label_read(__u32 service, __u32 owner, __u32 field, __u64 at)
{
	struct pm_string_key key = { .owner = owner, .field = field };
	struct pm_taken *own = bpf_map_lookup_elem(&taken, &service), *all;
	__u32 nobody = 0;
	char piece[PM_PIECE];
	long n;
	int i;

	all = bpf_map_lookup_elem(&taken, &nobody);
	if (!own || !all)
		return -ENOENT;

	for (i = 0; i < PM_LABEL_PIECES; i++) {
		__builtin_memset(piece, 0, sizeof(piece));
		if (at) {
			/* The last piece of the longest value: 511 = 8 * 63 + 7 bytes and a NUL. */
			n = bpf_probe_read_user_str(piece, i == PM_LABEL_PIECES - 1 ? 8 : PM_PIECE, (void *)at);
			if (n < 0)
				return n;
		} else {
			n = 1; /* NULL is the empty string */
		}
		key.piece = i;
		n = n < PM_PIECE ? -n : n;
		if (piece_put(own, all, &key, piece))
			return -ENOMEM;
		if (n < 0)
			return 0;
		at += PM_PIECE - 1;
	}
	return 0;
}

/* Two tasks may name one series at once: they write the same strings, and `named` only after them. Labels that stay are
 * numbered without those that are left out. */
static __noinline int series_name(struct pt_regs *ctx, __u32 service, __u32 id, __u64 cookie)
{
	__u32 labels = PM_COOKIE_LABELS(cookie), left_out = PM_COOKIE_LEFT_OUT(cookie), field = 0;

	if (!ctx)
		return 0;
	if (labels > 0 && !(left_out & 1) && label_read(service, id, field++, PT_REGS_PARM3(ctx)))
		return 0;
	if (labels > 1 && !(left_out & 2) && label_read(service, id, field++, PT_REGS_PARM4(ctx)))
		return 0;
	if (labels > 2 && !(left_out & 4) && label_read(service, id, field++, PT_REGS_PARM5(ctx)))
		return 0;
	if (labels > 3 && !(left_out & 8) && label_read(service, id, field++, PT_REGS_PARM6(ctx)))
		return 0;
	return 1;
}

/* The series of @key, made if the limits of its metric and of its service allow; NULL: it goes to the overflow series. */
static __always_inline struct pm_series *series_make(struct pm_series_key *key)
{
	struct pm_usage_key usage_key = { .service = key->service, .metric = key->metric };
	struct pm_series fresh = {}, *found = bpf_map_lookup_elem(&series, key);
	struct pm_taken *own;
	__u32 next = PM_NEXT_SERIES;
	__u64 *used, *counter, zero = 0;

	if (found)
		return found;
	/* Shares are looked at first and taken last: as many as race here may go over one. */
	own = bpf_map_lookup_elem(&taken, &key->service);
	if (!own || own->series >= series_per_service || own->pieces >= pieces_per_service)
		return NULL;
	used = bpf_map_lookup_elem(&usage, &usage_key);
	if (!used) {
		bpf_map_update_elem(&usage, &usage_key, &zero, BPF_NOEXIST);
		used = bpf_map_lookup_elem(&usage, &usage_key);
		if (!used)
			return NULL;
	}
	/* Looked at first, so that a flood costs no write to a shared word; taken, and given back by all who find they had no
	 * right to it: for a moment the count is too high, never too low, and the limit holds. */
	if (*used >= series_per_metric - 1)
		return NULL;
	if (__sync_fetch_and_add(used, 1) < series_per_metric - 1) {
		counter = bpf_map_lookup_elem(&next_id, &next);
		if (counter) {
			fresh.id = __sync_fetch_and_add(counter, 1) & (PM_OWNER_SERVICE - 1);
			if (!bpf_map_update_elem(&series, key, &fresh, BPF_NOEXIST)) {
				__sync_fetch_and_add(&own->series, 1);
				return bpf_map_lookup_elem(&series, key);
			}
		}
	}
	__sync_fetch_and_add(used, -1);
	return bpf_map_lookup_elem(&series, key); /* somebody else's, or none */
}

/* A cell that is not in its first group, or not there yet, or whose series has no name yet. */
static __noinline int count_slow(struct pt_regs *ctx, __u64 hash, __u64 where, __u64 sum)
{
	struct pm_series_key key = {
		.hash = hash,
		.service = PM_WHERE_SERVICE(where),
		.metric = PM_WHERE_METRIC(where),
	};
	struct pm_series *owner;
	int slot = cell_find(hash, where);

	if (!ctx)
		return 0;
	if (slot < 0) {
		owner = series_make(&key);
		/* Never back to 0: another task may have named it while this one failed to, and its cells count on that. */
		if (owner && !owner->named && series_name(ctx, key.service, owner->id, bpf_get_attach_cookie(ctx)))
			owner->named = 1;
		/* Without a name it counts on in cells of their own, which the common path does not find: so every event comes by
		 * here and tries again. */
		if (owner)
			slot = cell_make(hash, owner->named ? where : where | PM_BUCKET_UNNAMED);
	}
	if (slot < 0)
		slot = cell_make(0, where | PM_BUCKET_OVERFLOW);
	if (slot < 0 || !cell_add(slot, sum))
		return drop(key.metric, PM_DROP_NO_CELL);
	return 0;
}

static __always_inline int count(struct pt_regs *ctx, __u64 hash, __u32 metric, __u64 bucket, __u64 sum)
{
	__u32 service = service_current(metric);
	__u64 where = PM_WHERE(service, metric) | bucket;

	if (!service)
		return drop(metric, PM_DROP_NO_SERVICE);
	if (service_excluded(service))
		return 0;
	if (cell_hit(hash, where, sum))
		return 0;
	return count_slow(ctx, hash, where, sum);
}

SEC("uprobe")
int counter(struct pt_regs *ctx)
{
	__u32 metric = PM_COOKIE_METRIC(bpf_get_attach_cookie(ctx));
	__s64 n = PT_REGS_PARM1(ctx);

	stack_of_its_own(ctx);
	if (!turn_is_ours())
		return 0;
	if (n < 0)
		return drop(metric, PM_DROP_NEGATIVE);
	return count(ctx, PT_REGS_PARM2(ctx), metric, 0, n);
}

SEC("uprobe")
int histogram(struct pt_regs *ctx)
{
	__u32 metric = PM_COOKIE_METRIC(bpf_get_attach_cookie(ctx));
	struct parts parts = parts_of(PT_REGS_PARM1(ctx));
	struct placed placed;

	stack_of_its_own(ctx);
	if (!turn_is_ours())
		return 0;
	if (parts.exponent == EXPONENT_MAX)
		return drop(metric, PM_DROP_NOT_FINITE);
	placed = placed_by_eighth(parts);
	return count(ctx, PT_REGS_PARM2(ctx), metric, placed.bucket, placed.sum);
}

/* Not static, so that the verifier looks at it once, with bounds it knows nothing about. */
__noinline int bounds_below(__u32 metric, __u64 bits)
{
	struct pm_bounds *declared = bpf_map_lookup_elem(&bounds, &metric);
	__u64 value = order_of(bits);

	if (!declared)
		return 0;
	return bounds_below_of(declared, value);
}

SEC("uprobe")
int histogram_bounds(struct pt_regs *ctx)
{
	__u32 metric = PM_COOKIE_METRIC(bpf_get_attach_cookie(ctx));
	__u64 bits = PT_REGS_PARM1(ctx);
	struct parts parts = parts_of(bits);
	struct placed placed;

	stack_of_its_own(ctx);
	if (!turn_is_ours())
		return 0;
	if (parts.exponent == EXPONENT_MAX)
		return drop(metric, PM_DROP_NOT_FINITE);
	placed = placed_by_bound(parts, bounds_below(metric, bits));
	return count(ctx, PT_REGS_PARM2(ctx), metric, placed.bucket, placed.sum);
}

#include "trim.bpf.h"
