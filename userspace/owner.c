/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * owner.c - from the kernel's service ids and from processes to resources.
 *
 * Consumes what the BPF program kept of a service's first process (naming variables, executable, cgroup, user) and
 * what /proc says of the living; produces resources. A process that is gone is named by what the kernel kept.
 */
#include "owner.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arena.h"
#include "probe.skel.h"
#include "rules.h"

struct owners {
	const struct kernel *kernel;
	struct services *services;
	struct remember *remember;
	const struct rules *rules;
	struct metrics *metrics;
	bool per_process;
	const struct resource *resource[PM_MAX_SERVICES]; /* by the kernel's service id */
	bool told[PM_MAX_SERVICES]; /* the kernel, that it is excluded */
	size_t settled;
};

/* Who is not counted belongs to nobody: settled, and never shown. */
static const struct resource nobody;

struct owners *owners_new(const struct kernel *kernel, struct services *services, struct metrics *metrics,
			  struct remember *remember)
{
	struct owners *owners = calloc(1, sizeof(*owners));

	if (owners)
		*owners = (struct owners){ .kernel = kernel, .services = services, .metrics = metrics, .remember = remember };
	return owners;
}

void owners_choose(struct owners *owners, const struct rules *rules, bool per_process)
{
	owners->rules = rules;
	owners->per_process = per_process;
	services_rules(owners->services, rules);
}

void owners_set(struct owners *owners, uint32_t service, const struct resource *resource)
{
	if (service < PM_MAX_SERVICES)
		owners->resource[service] = resource;
}

void owners_anew(struct owners *owners)
{
	const uint8_t no = 0;
	uint32_t service;

	memset(owners->resource, 0, sizeof(owners->resource));
	memset(owners->told, 0, sizeof(owners->told));
	for (service = 0; service < PM_MAX_SERVICES; service++)
		(void)bpf_map_update_elem(bpf_map__fd(owners->kernel->skeleton->maps.excluded), &service, &no, BPF_ANY);
}

void owners_free(struct owners *owners)
{
	free(owners);
}

static const struct resource *shown(const struct resource *resource)
{
	return resource == &nobody ? NULL : resource;
}

const struct resource *owners_get(const struct owners *owners, uint32_t service)
{
	return service < PM_MAX_SERVICES ? shown(owners->resource[service]) : NULL;
}

bool owners_settled(const struct owners *owners, uint32_t service)
{
	return service < PM_MAX_SERVICES && owners->resource[service];
}

void owners_forget(struct owners *owners, uint32_t service)
{
	owners->resource[service] = NULL;
	owners->told[service] = false;
}

bool owners_excludes(const struct owners *owners, uint32_t service)
{
	return service < PM_MAX_SERVICES && owners->resource[service] == &nobody;
}

/* Return: 0 or -ENOMEM. */
static int judge(struct owners *owners, const struct service_facts *facts, const struct resource **ret)
{
	if (rules_process(owners->rules, facts))
		return services_resource(owners->services, facts, ret);
	*ret = &nobody;
	return 0;
}

static const struct {
	const char *name;
	size_t offset;
} naming[] = {
	{ "OTEL_SERVICE_NAME=", offsetof(struct service_facts, otel_service_name) },
	{ "OTEL_RESOURCE_ATTRIBUTES=", offsetof(struct service_facts, otel_resource_attributes) },
	{ "TRACING_SERVICE_NAME=", offsetof(struct service_facts, tracing_service_name) },
};

/* A string that service.bpf.h stored in pieces: a piece's last byte says whether it goes on in the next. */
struct joined {
	char text[PM_SERVICE_PIECES * PM_PIECE];
};

/* Add a piece. Return: true if the string is complete; the next call begins another. */
static bool join(struct joined *joined, bool first, const char *piece)
{
	size_t length = first ? 0 : strlen(joined->text);

	(void)snprintf(joined->text + length, sizeof(joined->text) - length, "%.*s", PM_PIECE - 1, piece);
	return !piece[PM_PIECE - 1];
}

static int variable_set(const char *text, struct arena *arena, struct service_facts *ret)
{
	size_t i;

	for (i = 0; i < sizeof(naming) / sizeof(naming[0]); i++) {
		const char **to = (const char **)((char *)ret + naming[i].offset);

		if (strncmp(text, naming[i].name, strlen(naming[i].name)) || *to)
			continue;
		*to = arena_strdup(arena, text + strlen(naming[i].name));
		return *to ? 0 : -ENOMEM;
	}
	return 0;
}

/* What exec gave this process, if the kernel kept it: its environment may read otherwise by now. */
static int started_read(const struct owners *owners, pid_t pid, struct arena *arena, struct service_facts *ret)
{
	int handle = (int)syscall(SYS_pidfd_open, pid, 0), err = 0;
	struct service_facts kept = *ret;
	struct pm_started started;
	struct joined joined;
	bool first = true;
	uint32_t i;

	if (handle < 0)
		return 0;
	if (!bpf_map_lookup_elem(bpf_map__fd(owners->kernel->skeleton->maps.started), &handle, &started) &&
	    started.pieces && started.pieces <= PM_STARTED_PIECES) {
		for (i = 0; i < sizeof(naming) / sizeof(naming[0]); i++)
			*(const char **)((char *)&kept + naming[i].offset) = NULL;
		for (i = 0; i < started.pieces && !err; i++) {
			first = join(&joined, first, started.text[i]);
			if (first)
				err = variable_set(joined.text, arena, &kept);
		}
		*ret = kept;
	}
	(void)close(handle);
	return err;
}

/* What a living process says. Return: 0, -ESRCH if it is gone, -ENOMEM. */
static int process_facts(const struct owners *owners, const struct process *process, struct arena *arena,
			 struct service_facts *ret)
{
	int err = discover_facts(process, arena, ret);

	return err ? err : started_read(owners, process->pid, arena, ret);
}

const struct resource *owners_of_process(struct owners *owners, struct process *process)
{
	struct service_facts facts;
	struct arena *arena;

	/* Its user may change at any time, the rest only by an exec. */
	if (process->resource && !rules_by_uid(owners->rules))
		return shown(process->resource);
	arena = arena_new();
	if (arena && !process_facts(owners, process, arena, &facts)) {
		if (owners->per_process) {
			facts.pid = process->pid;
			facts.start_ticks = process->start_ticks;
		}
		(void)judge(owners, &facts, &process->resource);
	}
	arena_free(arena);
	return shown(process->resource);
}

/* /proc has ticks where the kernel has ns: cut the same way. */
static uint64_t ticks_of(uint64_t ns)
{
	return ns / (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* The living process that the kernel saw first, if it is still the same one. */
static struct process *first_process(const struct discovery *discovery, const struct pm_service *service)
{
	struct process *process = discover_find(discovery, (pid_t)service->tgid);

	return process && process->start_ticks == ticks_of(service->start_ns) ? process : NULL;
}

/* The kernel's device number has 20 bits of minor. */
static uint64_t device_of(const struct pm_service_key *key)
{
	return (uint64_t)(key->device >> 20) << 32 | (key->device & 0xfffff);
}

static const struct object *executable_of(const struct discovery *discovery, const struct pm_service_key *key)
{
	const struct object *object;

	for (object = discovery->objects.list; object; object = object->hh.next)
		if (object->id.inode == key->inode && object->id.device == device_of(key))
			return object;
	return NULL;
}

/* One stored text: variables into @facts, or a path, put together from its last component on, to @ret. */
static int text_read(const struct owners *owners, uint32_t service, enum pm_service_field field, struct arena *arena,
		     struct service_facts *facts, const char **ret)
{
	struct pm_string_key key = { .owner = PM_OWNER_SERVICE | service, .field = (uint16_t)field };
	int fd = bpf_map__fd(owners->kernel->skeleton->maps.strings), err = 0;
	char piece[PM_PIECE];
	struct joined joined;
	bool first = true;

	for (; !err && key.piece < PM_SERVICE_PIECES && !bpf_map_lookup_elem(fd, &key, piece); key.piece++) {
		first = join(&joined, first, piece);
		if (first && field == PM_FIELD_VARIABLES) {
			err = variable_set(joined.text, arena, facts);
		} else if (first) {
			*ret = arena_printf(arena, "/%s%s", joined.text, *ret ? *ret : "");
			err = *ret ? 0 : -ENOMEM;
		}
	}
	return err;
}

/* Events of one process at which its environment could not be read. */
static bool is_unread(const struct raw_service *raw)
{
	return raw->key.environment == PM_ENVIRONMENT_UNREAD;
}

/* The facts of a service whose first process is gone: what the kernel kept. */
static int service_facts(const struct owners *owners, const struct raw_service *raw, const struct discovery *discovery,
			 struct arena *arena, struct service_facts *ret)
{
	const struct object *executable = executable_of(discovery, &raw->key);
	const struct remembered *known = remember_executable(owners->remember, device_of(&raw->key), raw->key.inode);
	const struct metric *metric = metrics_get(owners->metrics, raw->service.metric);
	struct service_facts facts = {
		.has_uid = true,
		.uid = raw->service.uid,
		.catalogue = (executable && executable->catalogue) || (known && known->catalogue) ||
			     (metric && service_scope_is_catalogue(metric->scope)),
		.pid = raw->key.process && (owners->per_process || !is_unread(raw)) ? (int)(raw->service.tgid & ~PM_TGID_OUTSIDE) : 0,
		.start_ticks = ticks_of(raw->service.start_ns),
	};
	const char *cgroup = NULL;
	char unit[256];
	int err;

	err = text_read(owners, raw->service.id, PM_FIELD_VARIABLES, arena, &facts, NULL);
	if (!err)
		err = text_read(owners, raw->service.id, PM_FIELD_EXECUTABLE, arena, NULL, &facts.executable);
	if (!err)
		err = text_read(owners, raw->service.id, PM_FIELD_CGROUP, arena, NULL, &cgroup);
	if (err)
		return err;
	/* Where its path could not be kept, the file's last known one. */
	if (!facts.executable && known)
		facts.executable = known->path;
	facts.cgroup = arena_printf(arena, "0::%s\n", cgroup ? cgroup : "/");
	if (facts.cgroup && !service_unit(facts.cgroup, unit, sizeof(unit)))
		facts.unit = arena_strdup(arena, unit);
	*ret = facts;
	return 0;
}

/* Spare the kernel the counting. */
static void exclude(struct owners *owners, uint32_t service)
{
	const uint8_t yes = 1;

	if (!owners_excludes(owners, service) || owners->told[service])
		return;
	owners->told[service] = !bpf_map_update_elem(bpf_map__fd(owners->kernel->skeleton->maps.excluded), &service, &yes,
						     BPF_ANY);
}

/* Does the process of @raw live, as far as /proc says? One that waits to be reaped has no stack. */
static bool lives(const struct raw_service *raw)
{
	uint64_t ticks, stack;
	pid_t parent;

	return !(raw->service.tgid & PM_TGID_OUTSIDE) && !discover_start((pid_t)raw->service.tgid, &ticks, &parent, &stack) &&
	       ticks == ticks_of(raw->service.start_ns) && stack;
}

/* Settle one service, and see to it that the next agent knows. */
static int resolve(struct owners *owners, const struct raw_service *raw, const struct discovery *discovery)
{
	const struct resource **to = &owners->resource[raw->service.id];
	struct process *process = first_process(discovery, &raw->service);
	struct service_facts facts, said;
	struct arena *arena;
	bool asked;
	int err = 0;
	size_t i;

	/* The kernel may still get its variables: of a process that lives before anybody looked at it, the next time. */
	if (is_unread(raw) && !process && lives(raw))
		return 0;
	/* Where users count, what the process was at that event: by now it may be somebody else. A service that an agent with
	 * other options began is not the process, or more than it. */
	if (process && !rules_by_uid(owners->rules) && (is_unread(raw) || !!raw->key.process == owners->per_process)) {
		(void)owners_of_process(owners, process);
		*to = process->resource;
	}
	if (!*to) {
		arena = arena_new();
		/* First, as what the kernel has of a process that is gone by then is all that it will have. */
		asked = arena && process && is_unread(raw) && !process_facts(owners, process, arena, &said);
		err = arena ? service_facts(owners, raw, discovery, arena, &facts) : -ENOMEM;
		for (i = 0; i < sizeof(naming) / sizeof(naming[0]) && !err && asked; i++)
			*(const char **)((char *)&facts + naming[i].offset) = *(const char **)((char *)&said + naming[i].offset);
		if (!err)
			err = judge(owners, &facts, to);
		arena_free(arena);
	}
	/* If there is no room, the next agent settles it from what the kernel kept. */
	if (!err && shown(*to))
		(void)remember_service(owners->remember, raw->service.id, *to);
	return err;
}

int owners_resolve(struct owners *owners, const struct snapshot *snapshot, const struct discovery *discovery)
{
	size_t i;
	int err = 0;

	for (i = 0; i < snapshot->service_count && !err; i++) {
		const struct raw_service *raw = &snapshot->service[i];

		if (raw->service.id < PM_MAX_SERVICES && !owners->resource[raw->service.id])
			err = resolve(owners, raw, discovery);
	}
	/* A resource may be older than the first that was heard of it, if its process was found first. */
	for (i = 0; i < snapshot->service_count; i++) {
		const struct resource *resource = owners_get(owners, snapshot->service[i].service.id);

		if (resource && resource->since_unix_ns > snapshot->service[i].service.since_unix_ns)
			services_restart(resource, snapshot->service[i].service.since_unix_ns);
	}
	for (i = 0; i < snapshot->service_count && !err && rules_choose(owners->rules); i++)
		exclude(owners, snapshot->service[i].service.id);
	return err;
}
