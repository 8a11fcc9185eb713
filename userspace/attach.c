/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.c - uprobe links, per inode.
 *
 * Consumes an object with its descriptors and interned metrics; produces links that count for every process that maps
 * the file, now and later. The file is named through our own descriptor of it, so that it may lie in another mount
 * namespace or be deleted.
 */
#include "attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bpf/value.h"
#include "log.h"
#include "probe.skel.h"

const char *const attach_way_name[ATTACH_WAYS] = {
	[ATTACH_NOTED] = "1-byte nop",
	[ATTACH_FAST5] = "5-byte nop",
	[ATTACH_FAST10] = "10-byte nop",
};

struct attachment {
	size_t sites;
	size_t count, room;
	struct {
		struct bpf_link *event; /* perf event, or NULL: */
		int multi; /* descriptor of a link for many */
	} *link;
};

struct attachment *attach_new(void)
{
	return calloc(1, sizeof(struct attachment));
}

static int reserve(struct attachment *attachment, size_t more)
{
	void *grown;

	if (attachment->count + more <= attachment->room)
		return 0;
	grown = realloc(attachment->link, (attachment->count + more) * sizeof(*attachment->link));
	if (!grown)
		return -ENOMEM;
	attachment->link = grown;
	attachment->room = attachment->count + more;
	return 0;
}

static int sites_multi(struct attachment *attachment, const struct bpf_program *program, int fd,
		       const struct kernel_site *site, uint32_t count)
{
	int link;

	if (reserve(attachment, 1))
		return -ENOMEM;
	link = kernel_link_multi(bpf_program__fd(program), fd, site, count);
	if (link < 0)
		return link;
	attachment->link[attachment->count].event = NULL;
	attachment->link[attachment->count++].multi = link;
	return 0;
}

static int sites_events(struct attachment *attachment, const struct bpf_program *program, int fd,
			const struct kernel_site *site, uint32_t count)
{
	char path[40];
	uint32_t i;

	if (reserve(attachment, count))
		return -ENOMEM;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (i = 0; i < count; i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, opts, .ref_ctr_offset = site[i].semaphore, .bpf_cookie = site[i].cookie);
		struct bpf_link *link = bpf_program__attach_uprobe_opts(program, -1, path, site[i].offset, &opts);

		if (!link)
			return -errno;
		attachment->link[attachment->count++].event = link;
	}
	return 0;
}

int attach_sites(const struct kernel *kernel, struct attachment *attachment, const struct bpf_program *program, int fd,
		 const struct kernel_site *site, uint32_t count)
{
	return kernel->links == KERNEL_LINKS_UPROBE_MULTI ? sites_multi(attachment, program, fd, site, count) :
							   sites_events(attachment, program, fd, site, count);
}

uint32_t attach_places(enum attach_way way, const struct descriptor *descriptor, uint64_t cookie,
		       struct kernel_site ret[2])
{
	uint64_t fast = way == ATTACH_FAST5 ? descriptor->fast5 : way == ATTACH_FAST10 ? descriptor->fast10 : 0;
	uint32_t count = 0;

	/* The semaphore rises with the last place: whoever sees it raised finds all of them probed. */
	if (fast && descriptor->slow)
		ret[count++] = (struct kernel_site){ fast, 0, cookie };
	ret[count] = (struct kernel_site){ count ? descriptor->slow : descriptor->noted, descriptor->semaphore, cookie };
	return count + 1;
}

static const struct bpf_program *program_for(const struct kernel *kernel, const struct metric *metric)
{
	switch (metric->kind) {
	case PROBEMETER_KIND_COUNTER:
		return kernel->skeleton->progs.counter;
	case PROBEMETER_KIND_HISTOGRAM:
		return metric->bound_count ? kernel->skeleton->progs.histogram_bounds : kernel->skeleton->progs.histogram;
	default:
		return NULL; /* a level: read from the process, never trapped */
	}
}

/* Declared bounds go into the kernel in the order of integers. */
static int bounds_store(const struct kernel *kernel, const struct metric *metric)
{
	struct pm_bounds bounds = { .count = metric->bound_count };
	uint32_t i;

	for (i = 0; i < metric->bound_count; i++) {
		uint64_t bits;

		memcpy(&bits, &metric->bound[i], sizeof(bits));
		bounds.bound[i] = order_of(bits);
	}
	return bpf_map_update_elem(bpf_map__fd(kernel->skeleton->maps.bounds), &metric->id, &bounds, BPF_ANY) ? -errno : 0;
}

/* All sites of @object that @program counts. The fast places of all come before the slow ones, which raise semaphores. */
static int attach_program(const struct kernel *kernel, enum attach_way way, const struct object *object,
			  const struct bpf_program *program, struct attachment *attachment)
{
	size_t count = object->descriptors.count, i;
	struct kernel_site *site = calloc(2 * count, sizeof(*site)), places[2];
	uint32_t early = 0, late = 0, n;
	int err = 0;

	if (!site)
		return -ENOMEM;
	for (i = 0; i < count && !err; i++) {
		const struct metric *metric = object->metric[i];

		if (!metric || program_for(kernel, metric) != program)
			continue;
		n = attach_places(way, &object->descriptors.descriptor[i], PM_COOKIE(metric->id, metric->label_count), places);
		if (n == 2)
			site[early++] = places[0];
		site[count + late++] = places[n - 1];
		if (metric->bound_count)
			err = bounds_store(kernel, metric);
	}
	memmove(site + early, site + count, late * sizeof(*site));
	if (!err && late)
		err = attach_sites(kernel, attachment, program, object->fd, site, early + late);
	attachment->sites += late;
	free(site);
	return err;
}

int attach_object(const struct kernel *kernel, enum attach_way way, struct object *object)
{
	const struct bpf_program *programs[] = { kernel->skeleton->progs.counter, kernel->skeleton->progs.histogram,
						 kernel->skeleton->progs.histogram_bounds };
	struct attachment *attachment = attach_new();
	int err = attachment ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; i < sizeof(programs) / sizeof(programs[0]) && !err; i++)
		err = attach_program(kernel, way, object, programs[i], attachment);
	if (err) {
		attach_free(attachment);
		return err;
	}
	object->attachment = attachment;
	return 0;
}

size_t attach_count(const struct attachment *attachment)
{
	return attachment ? attachment->sites : 0;
}

void attach_free(struct attachment *attachment)
{
	if (!attachment)
		return;
	while (attachment->count) {
		attachment->count--;
		if (attachment->link[attachment->count].event)
			(void)bpf_link__destroy(attachment->link[attachment->count].event);
		else
			(void)close(attachment->link[attachment->count].multi);
	}
	free(attachment->link);
	free(attachment);
}
