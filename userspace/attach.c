/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.c - uprobe links, per inode.
 *
 * Consumes an object with its descriptors and interned metrics; produces links that count for every process that maps
 * the file, now and later, also after this agent's end where they are pinned. The file is named through our own descriptor of it, so that it may lie in another mount
 * namespace or be deleted.
 */
#include "attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bpf/value.h"
#include "pins.h"
#include "probe.skel.h"

const char *const attach_way_name[ATTACH_WAYS] = {
#ifdef __aarch64__
	[ATTACH_NOTED] = "4-byte nop",
#else
	[ATTACH_NOTED] = "1-byte nop",
#endif
	[ATTACH_FAST5] = "5-byte nop",
	[ATTACH_FAST10] = "10-byte nop",
};

struct attachment {
	const struct pins *pins; /* NULL: links end with us */
	uint32_t object; /* number of its pins */
	size_t sites;
	size_t unpinned, made;
	bool keep_only; /* make no link that is not there */
	size_t count, room;
	int *link; /* -1: not there, with keep_only */
};

struct attachment *attach_new(const struct pins *pins, uint32_t object)
{
	struct attachment *attachment = calloc(1, sizeof(*attachment));

	if (attachment && pins && pins->persistent)
		attachment->pins = pins;
	if (attachment)
		attachment->object = object;
	return attachment;
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

static int link_make(const struct kernel *kernel, const struct bpf_program *program, int fd,
		     const struct kernel_site *site, uint32_t count)
{
	return kernel->links == KERNEL_LINKS_UPROBE_MULTI ?
		       kernel_link_multi(bpf_program__fd(program), fd, site, count) :
		       kernel_link_event(bpf_program__fd(program), fd, site);
}

/* The next link: the one that an earlier agent pinned, or else a new one, pinned before anything else is done. */
static int link_add(const struct kernel *kernel, struct attachment *attachment, const struct bpf_program *program, int fd,
		    const struct kernel_site *site, uint32_t count)
{
	uint32_t number = (uint32_t)attachment->count;
	int link = attachment->pins ? pins_link_open(attachment->pins, attachment->object, number) : -ENOENT;

	/* One that is there and cannot be opened now counts: another one beside it would count twice. */
	if (link < 0 && link != -ENOENT)
		return link;
	if (link < 0 && !attachment->keep_only) {
		link = link_make(kernel, program, fd, site, count);
		if (link < 0)
			return link;
		attachment->made++;
		/* It counts all the same, until we end. */
		if (attachment->pins && pins_link_add(attachment->pins, attachment->object, number, link))
			attachment->unpinned++;
	}
	attachment->link[attachment->count++] = link;
	return 0;
}

int attach_sites(const struct kernel *kernel, struct attachment *attachment, const struct bpf_program *program, int fd,
		 const struct kernel_site *site, uint32_t count)
{
	uint32_t at_once = kernel->links == KERNEL_LINKS_UPROBE_MULTI ? count : 1, i;
	int err = reserve(attachment, count / at_once);

	for (i = 0; i < count && !err; i += at_once)
		err = link_add(kernel, attachment, program, fd, site + i, at_once);
	return err;
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

static const struct bpf_program *program_for(const struct kernel *kernel, const struct metric *metric, bool trimmed)
{
	switch (metric->kind) {
	case PROBEMETER_KIND_COUNTER:
		return trimmed ? kernel->skeleton->progs.counter_trimmed : kernel->skeleton->progs.counter;
	case PROBEMETER_KIND_HISTOGRAM:
		if (metric->bound_count)
			return trimmed ? kernel->skeleton->progs.histogram_bounds_trimmed : kernel->skeleton->progs.histogram_bounds;
		return trimmed ? kernel->skeleton->progs.histogram_trimmed : kernel->skeleton->progs.histogram;
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

#define PROGRAMS 6

static const struct bpf_program *program_number(const struct kernel *kernel, size_t number)
{
	const struct bpf_program *programs[PROGRAMS] = {
		kernel->skeleton->progs.counter,	  kernel->skeleton->progs.histogram,
		kernel->skeleton->progs.histogram_bounds, kernel->skeleton->progs.counter_trimmed,
		kernel->skeleton->progs.histogram_trimmed,	  kernel->skeleton->progs.histogram_bounds_trimmed,
	};

	return programs[number];
}

/* All sites of @object that @program counts; @ret has room for two of each descriptor. The fast places of all come before
 * the slow ones, which raise semaphores. Return: how many places, and stubs in @ret_stubs. */
static uint32_t sites_of(const struct kernel *kernel, enum attach_way way, const struct object *object,
			 const struct bpf_program *program, struct kernel_site *ret, uint32_t *ret_stubs)
{
	size_t count = object->descriptors.count, i;
	struct kernel_site places[2];
	uint32_t early = 0, late = 0, n;

	for (i = 0; i < count; i++) {
		const struct descriptor *descriptor = &object->descriptors.descriptor[i];
		const struct metric *metric = object->metric[i];

		if (!metric || program_for(kernel, metric, descriptor->left_out) != program)
			continue;
		/* The cookie tells of the labels that the site hands over, those that are left out among them. */
		n = attach_places(way, descriptor,
				  PM_COOKIE_WITHOUT(PM_COOKIE(metric->id, descriptor->metric.label_count), descriptor->left_out),
				  places);
		if (n == 2)
			ret[early++] = places[0];
		ret[count + late++] = places[n - 1];
	}
	memmove(ret + early, ret + count, late * sizeof(*ret));
	*ret_stubs = late;
	return early + late;
}

static int bounds_of(const struct kernel *kernel, const struct object *object)
{
	size_t i;
	int err = 0;

	for (i = 0; i < object->descriptors.count && !err; i++)
		if (object->metric[i] && object->metric[i]->bound_count)
			err = bounds_store(kernel, object->metric[i]);
	return err;
}

/* FNV-1a, by words. */
#define HASH_START 0xcbf29ce484222325ull

static uint64_t hash_word(uint64_t hash, uint64_t word)
{
	return (hash ^ word) * 0x100000001b3ull;
}

int attach_hash(const struct kernel *kernel, enum attach_way way, const struct object *object, uint64_t *ret)
{
	struct kernel_site *site = calloc(2 * object->descriptors.count, sizeof(*site));
	uint64_t hash = HASH_START;
	uint32_t count, stubs, i;
	size_t n;

	if (!site)
		return -ENOMEM;
	for (n = 0; n < PROGRAMS; n++) {
		count = sites_of(kernel, way, object, program_number(kernel, n), site, &stubs);
		hash = hash_word(hash, count);
		for (i = 0; i < count; i++) {
			hash = hash_word(hash, site[i].offset);
			hash = hash_word(hash, site[i].semaphore);
			hash = hash_word(hash, site[i].cookie);
		}
	}
	free(site);
	*ret = hash;
	return 0;
}

bool attach_hash_is_empty(uint64_t hash)
{
	uint64_t empty = HASH_START;
	size_t n;

	for (n = 0; n < PROGRAMS; n++)
		empty = hash_word(empty, 0);
	return hash == empty;
}

int attach_object(const struct kernel *kernel, const struct pins *pins, const struct attach_plan *plan,
		  struct object *object)
{
	struct kernel_site *site = calloc(2 * object->descriptors.count, sizeof(*site));
	struct attachment *attachment = attach_new(pins, plan->number);
	int err = attachment && site ? bounds_of(kernel, object) : -ENOMEM;
	uint32_t count, stubs;
	size_t n;

	if (attachment)
		attachment->keep_only = plan->keep_only;
	for (n = 0; n < PROGRAMS && !err; n++) {
		const struct bpf_program *program = program_number(kernel, n);

		count = sites_of(kernel, plan->way, object, program, site, &stubs);
		if (count)
			err = attach_sites(kernel, attachment, program, object->fd, site, count);
		if (attachment)
			attachment->sites += stubs;
	}
	free(site);
	if (err) {
		/* What an earlier agent attached counts on while this one is short of something. */
		if (attachment && attachment->pins && attachment->made)
			pins_links_remove(pins, plan->number);
		attach_free(attachment);
		return err;
	}
	object->attachment = attachment;
	return 0;
}

void attach_remove(struct attachment *attachment)
{
	if (attachment && attachment->pins)
		pins_links_remove(attachment->pins, attachment->object);
	attach_free(attachment);
}

size_t attach_unpinned(const struct attachment *attachment)
{
	return attachment ? attachment->unpinned : 0;
}

size_t attach_made(const struct attachment *attachment)
{
	return attachment ? attachment->made : 0;
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
		if (attachment->link[attachment->count] >= 0)
			(void)close(attachment->link[attachment->count]);
	}
	free(attachment->link);
	free(attachment);
}
