/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * trim.bpf.h - the counting programs of metrics of which some label is left out (userspace/trim.h).
 *
 * The hash that the service computed is of all its labels, so these read those that stay and hash them here: two label
 * sets that differ in nothing else are one series. That costs a read of every label value at each hit, and only where it
 * was asked for: other metrics have the programs of probe.bpf.c, and these are not even loaded then.
 */
#ifndef PROBEMETER_TRIM_BPF_H
#define PROBEMETER_TRIM_BPF_H

/* Add a label value, cut as label_read() cuts it. Not static, so that the verifier looks at it once. */
__noinline int label_hash(__u64 *hash, __u64 at)
{
	char piece[PM_PIECE] __attribute__((aligned(8)));
	__u64 mix;
	long n;
	int i, word;

	if (!hash)
		return -EINVAL;
	mix = *hash;
	for (i = 0; i < PM_LABEL_PIECES; i++) {
		__builtin_memset(piece, 0, sizeof(piece));
		n = at ? bpf_probe_read_user_str(piece, i == PM_LABEL_PIECES - 1 ? 8 : PM_PIECE, (void *)at) : 1;
		if (n < 0)
			return n;
		for (word = 0; word < PM_PIECE / 8; word++)
			mix = hash_add(mix, ((__u64 *)piece)[word]);
		/* A piece is full if and only if another one follows, so where one value ends is in the hash, too. */
		mix = hash_add(mix, n);
		if (n < PM_PIECE)
			break;
		at += PM_PIECE - 1;
	}
	*hash = mix;
	return 0;
}

static __noinline int labels_hash(struct pt_regs *ctx, __u64 cookie, __u64 *hash)
{
	__u32 labels = PM_COOKIE_LABELS(cookie), left_out = PM_COOKIE_LEFT_OUT(cookie);

	if (!ctx || !hash)
		return -EINVAL;
	if (labels > 0 && !(left_out & 1) && label_hash(hash, PT_REGS_PARM3(ctx)))
		return -EFAULT;
	if (labels > 1 && !(left_out & 2) && label_hash(hash, PT_REGS_PARM4(ctx)))
		return -EFAULT;
	if (labels > 2 && !(left_out & 4) && label_hash(hash, PT_REGS_PARM5(ctx)))
		return -EFAULT;
	if (labels > 3 && !(left_out & 8) && label_hash(hash, PT_REGS_PARM6(ctx)))
		return -EFAULT;
	return 0;
}

static __always_inline int count_trimmed(struct pt_regs *ctx, __u64 cookie, __u64 bucket, __u64 sum)
{
	__u32 metric = PM_COOKIE_METRIC(cookie), service;
	__u64 hash = 0;
	int slot;

	if (!labels_hash(ctx, cookie, &hash))
		return count(ctx, hash, metric, bucket, sum);
	/* Not to be read, though the service has touched it a moment ago. Which series is meant nobody knows: the overflow. */
	service = service_current(metric);
	if (!service)
		return drop(metric, PM_DROP_NO_SERVICE);
	if (service_excluded(service))
		return 0;
	slot = cell_make(0, PM_WHERE(service, metric) | bucket | PM_BUCKET_OVERFLOW);
	if (slot < 0 || !cell_add(slot, sum))
		return drop(metric, PM_DROP_NO_CELL);
	return 0;
}

SEC("uprobe")
int counter_trimmed(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__s64 n = PT_REGS_PARM1(ctx);

	stack_of_its_own(ctx);
	if (n < 0)
		return drop(PM_COOKIE_METRIC(cookie), PM_DROP_NEGATIVE);
	return count_trimmed(ctx, cookie, 0, n);
}

SEC("uprobe")
int histogram_trimmed(struct pt_regs *ctx)
{
	struct parts parts = parts_of(PT_REGS_PARM1(ctx));
	__u64 cookie = bpf_get_attach_cookie(ctx);
	struct placed placed;

	stack_of_its_own(ctx);
	if (parts.exponent == EXPONENT_MAX)
		return drop(PM_COOKIE_METRIC(cookie), PM_DROP_NOT_FINITE);
	placed = placed_by_eighth(parts);
	return count_trimmed(ctx, cookie, placed.bucket, placed.sum);
}

SEC("uprobe")
int histogram_bounds_trimmed(struct pt_regs *ctx)
{
	__u64 bits = PT_REGS_PARM1(ctx), cookie = bpf_get_attach_cookie(ctx);
	struct parts parts = parts_of(bits);
	struct placed placed;

	stack_of_its_own(ctx);
	if (parts.exponent == EXPONENT_MAX)
		return drop(PM_COOKIE_METRIC(cookie), PM_DROP_NOT_FINITE);
	placed = placed_by_bound(parts, bounds_below(PM_COOKIE_METRIC(cookie), bits));
	return count_trimmed(ctx, cookie, placed.bucket, placed.sum);
}

#endif
