/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limit.h - how much room the maps get: what was asked for, made whole, or refused with a reason.
 */
#ifndef PROBEMETER_LIMIT_H
#define PROBEMETER_LIMIT_H

#include <stddef.h>

#include "kernel.h"

/* As given by flags. 0: not given. */
struct limits_asked {
	unsigned cardinality; /* series per metric and service, the overflow series included */
	unsigned service_series, service_cells, service_label_bytes;
	unsigned series, cells, label_bytes, services;
	unsigned memory_mib; /* kernel memory of all maps */
};

/**
 * limits_choose - all limits from those that were given
 * @cpus:  possible ones: rows of cells
 * @ret:   every number set; untouched on failure
 * @why:   on failure one line: what does not fit together, with the numbers and the flags to change
 *
 * What is not given is as kernel_limits_default() has it. Where a memory was given, series and cells that were not are
 * halved until all fits.
 *
 * Return: 0 or -EINVAL.
 */
int limits_choose(const struct limits_asked *asked, uint32_t cpus, struct kernel_limits *ret, char *why, size_t size);

/* All of them in words, one line. */
void limits_describe(const struct kernel_limits *limits, char *ret, size_t size);

#endif
