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

#include "../bpf/maps.h"
#include "log.h"
#include "probe.skel.h"

const char *const attach_way_name[ATTACH_WAYS] = {
	[ATTACH_NOTED] = "1-byte nop",
	[ATTACH_FAST5] = "5-byte nop",
	[ATTACH_FAST10] = "10-byte nop",
};

struct attachment {
	size_t sites;
	size_t link_count;
	struct bpf_link *link[];
};

int attach_site(const struct bpf_program *program, int fd, uint64_t offset, uint64_t semaphore, uint64_t cookie,
		struct bpf_link **ret)
{
	LIBBPF_OPTS(bpf_uprobe_opts, opts, .ref_ctr_offset = semaphore, .bpf_cookie = cookie);
	struct bpf_link *link;
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	link = bpf_program__attach_uprobe_opts(program, -1, path, offset, &opts);
	if (!link)
		return -errno;
	*ret = link;
	return 0;
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
		double bound = metric->bound[i] + 0.0; /* -0 becomes 0 */
		uint64_t bits;

		memcpy(&bits, &bound, sizeof(bits));
		bounds.bound[i] = PM_ORDER(bits);
	}
	return bpf_map_update_elem(bpf_map__fd(kernel->skeleton->maps.bounds), &metric->id, &bounds, BPF_ANY) ? -errno : 0;
}

int attach_object(const struct kernel *kernel, enum attach_way way, struct object *object)
{
	const struct descriptors *descriptors = &object->descriptors;
	struct attachment *attachment =
		calloc(1, sizeof(*attachment) + 2 * descriptors->count * sizeof(attachment->link[0]));
	size_t i;
	int err;

	if (!attachment)
		return -ENOMEM;
	for (i = 0; i < descriptors->count; i++) {
		const struct descriptor *d = &descriptors->descriptor[i];
		const struct metric *metric = object->metric[i];
		const struct bpf_program *program = metric ? program_for(kernel, metric) : NULL;
		uint64_t fast = way == ATTACH_FAST5 ? d->fast5 : way == ATTACH_FAST10 ? d->fast10 : 0, cookie;

		if (!program)
			continue;
		err = metric->bound_count ? bounds_store(kernel, metric) : 0;
		if (err)
			goto fail;
		cookie = PM_COOKIE(metric->id, metric->label_count);
		if (fast && d->slow) {
			err = attach_site(program, object->fd, fast, 0, cookie, &attachment->link[attachment->link_count]);
			if (err)
				goto fail;
			attachment->link_count++;
		}
		err = attach_site(program, object->fd, fast && d->slow ? d->slow : d->noted, d->semaphore, cookie,
				  &attachment->link[attachment->link_count]);
		if (err)
			goto fail;
		attachment->link_count++;
		attachment->sites++;
	}
	object->attachment = attachment;
	return 0;
fail:
	attach_free(attachment);
	return err;
}

size_t attach_count(const struct attachment *attachment)
{
	return attachment ? attachment->sites : 0;
}

void attach_free(struct attachment *attachment)
{
	if (!attachment)
		return;
	/* Backwards: a site's semaphore falls before its fast probe goes. */
	while (attachment->link_count)
		(void)bpf_link__destroy(attachment->link[--attachment->link_count]);
	free(attachment);
}
