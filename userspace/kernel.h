/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.h - the BPF programs and maps of this agent, loaded.
 */
#ifndef PROBEMETER_KERNEL_H
#define PROBEMETER_KERNEL_H

#include <stddef.h>
#include <stdint.h>

struct bpf_program;
struct probe_bpf;

struct kernel {
	struct probe_bpf *skeleton;
	int cpus; /* possible ones: per-CPU values have that many */
};

/* How much room the maps get. */
struct kernel_limits {
	uint32_t cells;
	uint32_t series;
	uint32_t services;
	uint32_t series_per_metric; /* per metric and service, the overflow series included */
};

/* Bytes of kernel memory that these limits allow at most, on a host with @cpus possible CPUs. */
uint64_t kernel_bytes(const struct kernel_limits *limits, int cpus);

/**
 * kernel_load - load programs and maps
 * @limits: room
 * @ret:    untouched on failure
 *
 * Return: 0 or -errno; -EPERM without the capabilities. The caller says what to do about it.
 */
int kernel_load(const struct kernel_limits *limits, struct kernel *ret);
void kernel_free(struct kernel *kernel);

#endif
