/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * owner.c - from the kernel's service ids and from processes to resources.
 *
 * Consumes what the BPF program kept of a service's first process (naming variables, inode of the executable) and
 * what /proc says of the living; produces resources. A process that is gone is named by what the kernel kept.
 */
#include "owner.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "probe.skel.h"

struct owners {
	struct services *services;
	const struct resource *resource[PM_MAX_SERVICES]; /* by the kernel's service id */
	size_t settled;
};

struct owners *owners_new(struct services *services)
{
	struct owners *owners = calloc(1, sizeof(*owners));

	if (owners)
		owners->services = services;
	return owners;
}

void owners_free(struct owners *owners)
{
	free(owners);
}

const struct resource *owners_get(const struct owners *owners, uint32_t service)
{
	return service < PM_MAX_SERVICES ? owners->resource[service] : NULL;
}

const struct resource *owners_of_process(struct owners *owners, struct process *process)
{
	struct service_facts facts;
	struct arena *arena;

	if (process->resource)
		return process->resource;
	arena = arena_new();
	if (arena && !discover_facts(process, arena, &facts))
		(void)services_resource(owners->services, &facts, &process->resource);
	arena_free(arena);
	return process->resource;
}

/* The naming variables as service.bpf.h stored them: a piece's last byte says whether the variable goes on in the next. */
static int variables_read(const struct kernel *kernel, uint32_t service, struct arena *arena, struct service_facts *ret)
{
	static const struct {
		const char *name;
		size_t offset;
	} known[] = {
		{ "OTEL_SERVICE_NAME=", offsetof(struct service_facts, otel_service_name) },
		{ "OTEL_RESOURCE_ATTRIBUTES=", offsetof(struct service_facts, otel_resource_attributes) },
		{ "TRACING_SERVICE_NAME=", offsetof(struct service_facts, tracing_service_name) },
	};
	struct pm_string_key key = { .owner = PM_OWNER_SERVICE | service };
	char text[PM_SERVICE_PIECES * PM_PIECE] = "", piece[PM_PIECE];
	int fd = bpf_map__fd(kernel->skeleton->maps.strings);
	size_t i;

	for (; key.piece < PM_SERVICE_PIECES && !bpf_map_lookup_elem(fd, &key, piece); key.piece++) {
		char more = piece[PM_PIECE - 1];

		piece[PM_PIECE - 1] = '\0';
		strcat(text, piece); /* fits: pieces without their last byte */
		if (more)
			continue;
		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			const char **to = (const char **)((char *)ret + known[i].offset);

			if (strncmp(text, known[i].name, strlen(known[i].name)) || *to)
				continue;
			*to = arena_strdup(arena, text + strlen(known[i].name));
			if (!*to)
				return -ENOMEM;
		}
		text[0] = '\0';
	}
	return 0;
}

/* The living process that the kernel saw first, if it is still the same one. */
static struct process *first_process(const struct discovery *discovery, const struct pm_service *service)
{
	/* /proc has ticks where the kernel has ns: cut the same way. */
	uint64_t ticks = service->start_ns / (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK));
	struct process *process = discover_find(discovery, (pid_t)service->tgid);

	return process && process->start_ticks == ticks ? process : NULL;
}

static const struct object *executable_of(const struct discovery *discovery, const struct pm_service_key *key)
{
	const struct object *object;

	/* The kernel's device number has 20 bits of minor. */
	for (object = discovery->objects.list; object; object = object->hh.next)
		if (object->id.inode == key->inode && object->id.device >> 32 == key->device >> 20 &&
		    (object->id.device & 0xffffffff) == (key->device & 0xfffff))
			return object;
	return NULL;
}

int owners_resolve(struct owners *owners, const struct kernel *kernel, const struct snapshot *snapshot,
		   const struct discovery *discovery)
{
	size_t i;
	int err = 0;

	for (i = 0; i < snapshot->service_count && !err; i++) {
		const struct raw_service *raw = &snapshot->service[i];
		struct service_facts facts = { 0 };
		const struct object *executable;
		struct process *process;
		struct arena *arena;

		if (raw->service.id >= PM_MAX_SERVICES || owners->resource[raw->service.id])
			continue;
		process = first_process(discovery, &raw->service);
		if (process && owners_of_process(owners, process)) {
			owners->resource[raw->service.id] = process->resource;
			continue;
		}
		arena = arena_new();
		if (!arena)
			return -ENOMEM;
		err = variables_read(kernel, raw->service.id, arena, &facts);
		executable = executable_of(discovery, &raw->key);
		if (executable) {
			facts.executable = executable->path;
			facts.catalogue = executable->catalogue;
		}
		if (!err)
			err = services_resource(owners->services, &facts, &owners->resource[raw->service.id]);
		arena_free(arena);
	}
	return err;
}
