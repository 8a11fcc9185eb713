/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.c - the empty program, attached by the agent's own code until stdin ends.
 *
 *   attach empty.bpf.o FILE          to all counters and histograms of FILE, at the nop that the agent would take
 *   attach empty.bpf.o FILE OFFSET   to one plain place, as any tool attaches to a USDT probe
 *
 * Prints one line once it is attached: the nop and the kind of link.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "attach.h"
#include "descriptor.h"
#include "trial.h"

/* As kernel.c does with its own programs. */
static struct bpf_program *program_load(const char *path, enum kernel_links links)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program = object ? bpf_object__next_program(object, NULL) : NULL;

	if (!program)
		return NULL;
	if (links == KERNEL_LINKS_UPROBE_MULTI && bpf_program__set_expected_attach_type(program, KERNEL_UPROBE_MULTI))
		return NULL;
	return bpf_object__load(object) ? NULL : program;
}

/* Every stub of the file. The fast places come before the slow ones, which raise the semaphores. */
static int stubs(int fd, enum attach_way way, struct kernel_site *ret, uint32_t room, uint32_t *ret_count)
{
	struct arena *arena = arena_new();
	struct descriptors found = { 0 };
	struct kernel_site places[2];
	uint32_t count = 0, n;
	size_t i;
	int pass, err = arena ? descriptors_read(fd, arena, &found) : -ENOMEM;

	for (pass = 0; pass < 2 && !err; pass++)
		for (i = 0; i < found.count && count < room; i++) {
			int kind = (int)found.descriptor[i].metric.kind;

			if (kind != PROBEMETER_KIND_COUNTER && kind != PROBEMETER_KIND_HISTOGRAM)
				continue;
			n = attach_places(way, &found.descriptor[i], 0, places);
			if (pass || n == 2)
				ret[count++] = places[pass ? n - 1 : 0];
		}
	*ret_count = count;
	arena_free(arena);
	return err;
}

int main(int argc, char **argv)
{
	struct attachment *attachment = attach_new(NULL, 0);
	struct kernel kernel = { 0 };
	struct kernel_site site[64];
	struct bpf_program *program;
	struct trial trial;
	uint32_t count = 0;
	int fd, err;

	if (argc < 3 || argc > 4 || !attachment)
		return 2;
	fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : trial_run(KERNEL_LINKS_AUTO, &trial);
	if (err)
		goto out;
	kernel.links = trial.links;
	program = program_load(argv[1], kernel.links);
	err = program ? 0 : -EINVAL;
	if (err)
		goto out;
	if (argc == 4) {
		trial.way = ATTACH_NOTED;
		site[count++] = (struct kernel_site){ .offset = strtoull(argv[3], NULL, 0) };
	} else {
		err = stubs(fd, trial.way, site, sizeof(site) / sizeof(site[0]), &count);
	}
	if (!err)
		err = attach_sites(&kernel, attachment, program, fd, site, count);
	if (err)
		goto out;
	printf("%s, %s\n", attach_way_name[trial.way], kernel.links == KERNEL_LINKS_UPROBE_MULTI ? "uprobe_multi" : "perf_event");
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
out:
	if (err)
		fprintf(stderr, "attach: '%s': %s\n", argv[2], strerror(-err));
	attach_free(attachment); /* the rest goes with the process */
	return err ? 1 : 0;
}
