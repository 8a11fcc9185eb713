/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.c - load the BPF object that is built into this binary.
 *
 * Consumes limits; produces a loaded skeleton with maps of that size. Attaching is attach.c's.
 */
#include "kernel.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "../bpf/maps.h"
#include "log.h"
#include "probe.skel.h"

/* libbpf's own words, one line each: warnings only matter together with our message, so they are for the curious. */
static int libbpf_log(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[1024];
	size_t length;

	if (level == LIBBPF_DEBUG)
		return 0;
	(void)vsnprintf(line, sizeof(line), format, args);
	length = strlen(line);
	if (length && line[length - 1] == '\n')
		line[length - 1] = '\0';
	log_message(LOG_DEBUG, "%s", line);
	return 0;
}

/* Maps that allocate on demand keep memory in line with use. Before 6.1 (bpf_mem_alloc) a program that allocates may
 * run into the allocator it interrupted, so there maps are filled ahead. */
static int allocates_safely(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return 0;
	return major > 6 || (major == 6 && minor >= 1);
}

uint64_t kernel_bytes(const struct kernel_limits *limits, int cpus)
{
	/* Per element: kernel's struct htab_elem (48 bytes), key, value or pointer; 16 bytes of bucket per entry, rounded up
	 * to a power of two. Per-CPU values take their size once per possible CPU. */
	const uint64_t element = 48, bucket = 32;
	uint64_t cell = element + bucket + sizeof(struct pm_cell_key) + 8 + (uint64_t)cpus * sizeof(struct pm_cell);
	uint64_t series = element + bucket + sizeof(struct pm_series_key) + sizeof(struct pm_series);
	uint64_t usage = element + bucket + sizeof(struct pm_usage_key) + 8;
	uint64_t string = element + bucket + sizeof(struct pm_string_key) + PM_PIECE;
	uint64_t service = element + bucket + sizeof(struct pm_service_key) + sizeof(struct pm_service);

	return limits->cells * cell + limits->series * (series + usage + 4 * string) + limits->services * (service + 4 * string) +
	       PM_MAX_METRICS * PM_DROP_REASONS * 8ull;
}

int kernel_load(const struct kernel_limits *limits, struct kernel *ret)
{
	struct probe_bpf *skeleton;
	int err;

	libbpf_set_print(libbpf_log);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	skeleton = probe_bpf__open();
	if (!skeleton)
		return -errno;
	err = bpf_map__set_max_entries(skeleton->maps.cells, limits->cells);
	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.series, limits->series);
	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.usage, limits->series);
	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.strings, 4 * (limits->series + limits->services));
	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.services, limits->services);
	if (!err && allocates_safely()) {
		struct bpf_map *on_demand[] = { skeleton->maps.cells, skeleton->maps.series, skeleton->maps.usage,
						skeleton->maps.strings, skeleton->maps.services };
		size_t i;

		for (i = 0; !err && i < sizeof(on_demand) / sizeof(on_demand[0]); i++)
			err = bpf_map__set_map_flags(on_demand[i], BPF_F_NO_PREALLOC);
	}
	if (err)
		goto fail;
	skeleton->rodata->series_per_metric = limits->series_per_metric;
	err = probe_bpf__load(skeleton);
	if (err)
		goto fail;
	ret->skeleton = skeleton;
	ret->cpus = libbpf_num_possible_cpus();
	return 0;
fail:
	probe_bpf__destroy(skeleton);
	return err;
}

void kernel_free(struct kernel *kernel)
{
	probe_bpf__destroy(kernel->skeleton);
	kernel->skeleton = NULL;
}
