/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* empty.bpf.c - nothing at all: what is left is the price of getting into the kernel and back. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("uprobe")
int empty(void *ctx __attribute__((unused)))
{
	return 0;
}
