/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe_way - the agent's own counting programs at the nops that a test wants probed, and not at the fastest.
 *
 *   probe_way noted|fast5|fast10 FILE...   all counters and histograms of the files, as the agent does it in that way
 *   probe_way plain FILE OFFSET...         at plain places of one file
 *
 * Prints a line once it has attached, {"refused": 0}, and answers every line on stdin with the hits that the kernel has
 * counted so far, by file or by place: {"hits": [...]}. Where the kernel does not probe such an instruction it says
 * {"refused": 524} instead and ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "attach.h"
#include "descriptor.h"
#include "probe.skel.h"
#include "../bpf/maps.h"

#define ENOTSUPP 524 /* the kernel's own, in no header of ours */

static const char *const way_word[ATTACH_WAYS] = { "noted", "fast5", "fast10" };

/* What is counted under @number: hits of a file, or of a place. */
static uint64_t hits(const struct kernel *kernel, uint32_t number)
{
	uint64_t found = 0;
	uint32_t slot, cpu;

	for (slot = 0; slot < kernel->slots; slot++) {
		uint64_t where = kernel->places[slot / PM_GROUP].slot[slot % PM_GROUP].where;

		for (cpu = 0; where && PM_WHERE_METRIC(where) == number && cpu < kernel->cpus; cpu++)
			found += kernel->cells[(size_t)cpu * kernel->slots + slot].count;
	}
	return found;
}

static int attach_stubs(const struct kernel *kernel, enum attach_way way, const char *path, uint32_t number,
			struct attachment *attachment)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	struct arena *arena = arena_new();
	struct descriptors found = { 0 };
	struct kernel_site places[2];
	size_t i;

	err = fd < 0 ? -errno : !arena ? -ENOMEM : descriptors_read(fd, arena, &found);
	for (i = 0; i < found.count && !err; i++) {
		const struct descriptor *d = &found.descriptor[i];
		const struct bpf_program *program = d->metric.kind == PROBEMETER_KIND_COUNTER ?
							    kernel->skeleton->progs.counter :
							    kernel->skeleton->progs.histogram;

		err = attach_sites(kernel, attachment, program, fd, places,
				   attach_places(way, d, PM_COOKIE(number, d->metric.label_count), places));
	}
	arena_free(arena);
	if (fd >= 0)
		(void)close(fd);
	return err;
}

static int attach_plain(const struct kernel *kernel, const char *path, char *const *offset, uint32_t count,
			struct attachment *attachment)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = fd < 0 ? -errno : 0;
	uint32_t i;

	for (i = 0; i < count && !err; i++) {
		struct kernel_site site = { .offset = strtoull(offset[i], NULL, 10), .cookie = PM_COOKIE(i + 1, 0) };

		err = attach_sites(kernel, attachment, kernel->skeleton->progs.counter, fd, &site, 1);
	}
	if (fd >= 0)
		(void)close(fd);
	return err;
}

int main(int argc, char **argv)
{
	const struct kernel_limits limits = { .cells = 4096, .series = 256, .services = 64, .series_per_metric = 64 };
	struct attachment *attachment = attach_new(NULL, 0);
	uint32_t count = (uint32_t)argc - 2, number;
	struct kernel kernel = { 0 };
	enum attach_way way;
	char line[16];
	int err;

	if (argc < 3 || !attachment)
		return 2;
	for (way = 0; way < ATTACH_WAYS && strcmp(argv[1], way_word[way]); way++)
		;
	err = kernel_load(&limits, KERNEL_LINKS_AUTO, NULL, &kernel);
	if (err)
		goto out;
	if (way == ATTACH_WAYS) {
		count--;
		err = attach_plain(&kernel, argv[2], argv + 3, count, attachment);
	}
	for (number = 1; way < ATTACH_WAYS && number <= count && !err; number++)
		err = attach_stubs(&kernel, way, argv[number + 1], number, attachment);
	if (err == -ENOTSUPP) {
		printf("{\"refused\": %d}\n", -err);
		err = 0;
		goto out;
	}
	if (err)
		goto out;
	printf("{\"refused\": 0}\n");
	while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin)) {
		printf("{\"hits\": [");
		for (number = 1; number <= count; number++)
			printf("%s%llu", number > 1 ? ", " : "", (unsigned long long)hits(&kernel, number));
		printf("]}\n");
	}
out:
	if (err)
		fprintf(stderr, "probe_way %s: '%s': %s\n", argv[1], argv[2], strerror(-err));
	attach_free(attachment);
	kernel_free(&kernel);
	return err ? 1 : 0;
}
