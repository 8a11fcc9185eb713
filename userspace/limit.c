/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limit.c - choose and check the room of the maps.
 *
 * Consumes numbers from the command line; produces the limits that kernel.c loads the maps with. Pure. The limits
 * themselves are kept by the BPF programs, and headroom.c says who comes near one.
 */
#include "limit.h"

#include <errno.h>
#include <stdio.h>

#include "../bpf/maps.h"

#define CELLS_LEAST 1024
#define SERIES_LEAST 64
#define MIB (1u << 20)

static uint32_t power_of_two_below(uint32_t number)
{
	return 1u << (31 - __builtin_clz(number));
}

/* A part may not be more than all. */
static int share_check(const char *flag, const char *flag_of_all, uint32_t part, uint32_t all, char *why, size_t size)
{
	if (part <= all)
		return 0;
	(void)snprintf(why, size, "--%s %u: more than --%s, which is %u; lower the one or raise the other", flag, part,
		       flag_of_all, all);
	return -EINVAL;
}

/* Halve what was not asked for, the larger part first, until it fits or nothing is left to halve. */
static void shrink(const struct limits_asked *asked, uint32_t cpus, uint64_t bytes, struct kernel_limits *limits)
{
	for (;;) {
		uint64_t cells = (uint64_t)limits->cells * (sizeof(struct pm_slot) + cpus * sizeof(struct pm_cell));
		bool series = !asked->series && limits->series / 2 >= SERIES_LEAST;

		if (kernel_bytes(limits, cpus) <= bytes)
			return;
		if (!asked->cells && limits->cells / 2 >= CELLS_LEAST && (!series || cells >= kernel_bytes(limits, cpus) / 2))
			limits->cells /= 2;
		else if (series)
			limits->series /= 2;
		else
			return;
	}
}

int limits_choose(const struct limits_asked *asked, uint32_t cpus, struct kernel_limits *ret, char *why, size_t size)
{
	struct kernel_limits limits = kernel_limits_default();
	uint64_t most = (uint64_t)asked->memory_mib * MIB;

	if (asked->cells & (asked->cells - 1)) {
		(void)snprintf(why, size, "--max-cells %u: expected a power of two, such as %u", asked->cells,
			       power_of_two_below(asked->cells));
		return -EINVAL;
	}
	if ((uint64_t)asked->cells * cpus * sizeof(struct pm_cell) > INT32_MAX) {
		(void)snprintf(why, size, "--max-cells %u: on %u possible CPUs the kernel takes at most %u", asked->cells, cpus,
			       power_of_two_below(INT32_MAX / (uint32_t)sizeof(struct pm_cell) / cpus));
		return -EINVAL;
	}
	limits.cells = asked->cells ? asked->cells : limits.cells;
	limits.series = asked->series ? asked->series : limits.series;
	limits.services = asked->services ? asked->services : limits.services;
	limits.series_per_metric = asked->cardinality ? asked->cardinality : limits.series_per_metric;
	limits.pieces = asked->label_bytes / PM_PIECE;
	limits.service_cells = asked->service_cells;
	limits.service_series = asked->service_series;
	limits.service_pieces = asked->service_label_bytes / PM_PIECE;
	if (most)
		shrink(asked, cpus, most, &limits);
	if (most && kernel_bytes(&limits, cpus) > most) {
		(void)snprintf(why, size,
			       "--max-memory %u: %u cells on %u possible CPUs, %u series and %u services may take %.1f MiB; raise it, "
			       "or give lower --max-cells, --max-series, --max-label-bytes or --max-services",
			       asked->memory_mib, limits.cells, cpus, limits.series, limits.services,
			       (double)kernel_bytes(&limits, cpus) / MIB);
		return -EINVAL;
	}
	limits = kernel_limits_settle(&limits);
	if (share_check("max-service-series", "max-series", limits.service_series, limits.series, why, size) ||
	    share_check("max-service-cells", "max-cells", limits.service_cells, limits.cells, why, size) ||
	    share_check("max-service-label-bytes", "max-label-bytes", limits.service_pieces * PM_PIECE,
			limits.pieces * PM_PIECE, why, size) ||
	    share_check("cardinality-limit", "max-service-series", asked->cardinality, limits.service_series, why, size))
		return -EINVAL;
	*ret = limits;
	return 0;
}

void limits_describe(const struct kernel_limits *limits, char *ret, size_t size)
{
	(void)snprintf(ret, size,
		       "a metric of a service: %u series; a service: %u series, %u cells, %u KiB of label values; "
		       "the host: %u series, %u cells, %u KiB, %u services",
		       limits->series_per_metric, limits->service_series, limits->service_cells,
		       (unsigned)((uint64_t)limits->service_pieces * PM_PIECE >> 10), limits->series, limits->cells,
		       (unsigned)((uint64_t)limits->pieces * PM_PIECE >> 10), limits->services);
}
