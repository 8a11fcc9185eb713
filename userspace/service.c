/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service.c - resources: who a process says it is, completed with what the host knows.
 *
 * Consumes facts (naming variables, executable, unit); produces interned resources, attributes ordered by key. Where
 * the facts come from - a living process or what the kernel kept of a dead one - is for others.
 */
#include "service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <probemeter/probemeter.h>

#include "../bpf/maps.h"

#include "arena.h"
#include "container.h"
#include "host.h"
#include "log.h"
#include "pairs.h"
#include "rules.h"
#include "table.h"
#include "utf8.h"

struct entry {
	struct resource resource;
	UT_hash_handle hh;
	bool told; /* that a name was refused */
	char key[]; /* all keys and values */
};

#define INSTANCE_BYTES 37 /* a UUID */
/* Resources are for ever: points and series refer to them. */
#define MAX_RESOURCES (2 * PM_MAX_SERVICES)
#define MAX_RESOURCE_BYTES ((size_t)64 << 20)
/* For the agent's own, so that a service of its name and attributes has another. */
#define AGENT_SALT UINT64_C(0x70726f62656d6574)

struct services {
	struct entry *known;
	const struct rules *rules;
	char *default_name;
	uint64_t since_unix_ns;
	/* What is the same for every resource of this host; empty: not known. */
	char host_name[3 * 256];
	char machine_id[SERVICE_MACHINE_ID + 1];
	char arch[65];
	char host[HOST_IDENTITY_BYTES];
	size_t bytes; /* of all that are known */
	const struct resource *crowd; /* of processes that came when there was no room for another one; NULL: there was */
	char agent[INSTANCE_BYTES]; /* the agent's own service.instance.id, which nobody else may have */
};

static const char *const catalogue_scopes[] = {
	"ExecutionMetrics", "CoordinatorMetrics", "RateLimitMetrics",	 "EventMetrics", "DatabaseMetrics",
	"ConnectionMetrics", "HealthMetrics",	   "NotificationMetrics", "DLQMetrics",
};

bool service_scope_is_catalogue(const char *scope)
{
	size_t i;

	for (i = 0; i < sizeof(catalogue_scopes) / sizeof(catalogue_scopes[0]); i++)
		if (!strcmp(scope, catalogue_scopes[i]))
			return true;
	return false;
}

bool service_machine_id(const char *path, char ret[SERVICE_MACHINE_ID + 1])
{
	char id[SERVICE_MACHINE_ID + 1] = "";
	FILE *file = fopen(path, "re");
	int got = file ? fscanf(file, "%32[0-9a-f]", id) : 0;

	if (file)
		(void)fclose(file);
	/* On a first boot it may still say "uninitialized"; nil is nobody's. */
	if (got != 1 || strlen(id) != SERVICE_MACHINE_ID || strspn(id, "0") == SERVICE_MACHINE_ID)
		return false;
	memcpy(ret, id, sizeof(id));
	return true;
}

const char *service_arch(const char *machine)
{
	static const struct {
		const char *machine; /* as uname() has it, or how it begins */
		const char *arch;
	} known[] = {
		{ "x86_64", "amd64" }, { "aarch64", "arm64" }, { "arm", "arm32" }, { "i386", "x86" },  { "i486", "x86" },
		{ "i586", "x86" },     { "i686", "x86" },      { "ppc64", "ppc64" }, { "ppc", "ppc32" }, { "ia64", "ia64" },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strncmp(machine, known[i].machine, strlen(known[i].machine)))
			return known[i].arch;
	return machine;
}

/* The kernel takes any bytes for a host's name. */
static void host_read(struct services *services)
{
	struct utsname host;

	if (uname(&host)) {
		(void)strcpy(services->host_name, "localhost");
	} else {
		(void)utf8_clean(host.nodename, strlen(host.nodename), services->host_name, sizeof(services->host_name));
		(void)snprintf(services->arch, sizeof(services->arch), "%s", service_arch(host.machine));
	}
	if (!service_machine_id("/etc/machine-id", services->machine_id))
		(void)service_machine_id("/var/lib/dbus/machine-id", services->machine_id);
}

struct services *services_new(const char *default_name)
{
	struct services *services = calloc(1, sizeof(*services));

	if (!services)
		return NULL;
	services->default_name = strdup(default_name);
	if (!services->default_name) {
		services_free(services);
		return NULL;
	}
	host_read(services);
	return services;
}

void services_host(struct services *services, const char *identity)
{
	(void)snprintf(services->host, sizeof(services->host), "%s", identity);
}

void services_rules(struct services *services, const struct rules *rules)
{
	services->rules = rules;
}

uint64_t services_hash(const struct services *services)
{
	const char *const said[] = { services->default_name, services->host_name, services->machine_id, services->arch,
				     services->host };
	uint64_t hash = rules_hash(services->rules);
	size_t i;

	for (i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		hash = probemeter_hash_label_(hash, said[i]);
	return hash;
}

static void entry_free(struct services *services, struct entry *entry)
{
	HASH_DEL(services->known, entry);
	free(entry->resource.attribute);
	free(entry);
}

void services_free(struct services *services)
{
	struct entry *entry, *next;

	if (!services)
		return;
	HASH_ITER(hh, services->known, entry, next)
		entry_free(services, entry);
	free(services->default_name);
	free(services);
}

void services_since(struct services *services, uint64_t since_unix_ns, bool all)
{
	struct entry *entry;

	services->since_unix_ns = since_unix_ns;
	for (entry = services->known; entry && all; entry = entry->hh.next)
		entry->resource.since_unix_ns = since_unix_ns;
}

void services_restart(const struct resource *resource, uint64_t since_unix_ns)
{
	((struct resource *)resource)->since_unix_ns = since_unix_ns;
}

void services_drop(struct services *services, const struct resource *resource)
{
	if (services->crowd == resource)
		services->crowd = NULL;
	services->bytes -= ((struct entry *)resource)->hh.keylen;
	entry_free(services, (struct entry *)resource);
}

const char *service_name(const struct resource *resource)
{
	size_t i;

	for (i = 0; i < resource->attribute_count; i++)
		if (!strcmp(resource->attribute[i].key, "service.name"))
			return resource->attribute[i].value;
	return "";
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct attribute *)a)->key, ((const struct attribute *)b)->key);
}

/* Set @key unless it is there already or @value is empty. */
static void attribute_default(struct attribute *list, size_t *count, const char *key, const char *value)
{
	size_t i;

	if (!value || !*value)
		return;
	for (i = 0; i < *count; i++)
		if (!strcmp(list[i].key, key))
			return;
	list[(*count)++] = (struct attribute){ key, value };
}

/* The key is made in @scratch first: most resources are known, and asking for them must take no memory for good.
 * @crowd: also if there is no room. Else that is -ENOSPC. */
static int intern(struct services *services, struct arena *scratch, struct attribute *list, size_t count, bool crowd,
		  const struct resource **ret)
{
	struct entry *found, *fresh;
	size_t size = 0, i;
	char *key, *at;

	qsort(list, count, sizeof(*list), by_key);
	for (i = 0; i < count; i++)
		size += strlen(list[i].key) + strlen(list[i].value) + 2;
	key = arena_alloc(scratch, size, 1);
	if (!key)
		return -ENOMEM;
	for (i = 0, at = key; i < count; i++)
		at = stpcpy(stpcpy(at, list[i].key) + 1, list[i].value) + 1;
	HASH_FIND(hh, services->known, key, size, found);
	if (!found && !crowd && (HASH_COUNT(services->known) >= MAX_RESOURCES || services->bytes + size > MAX_RESOURCE_BYTES))
		return -ENOSPC;
	if (!found) {
		fresh = calloc(1, sizeof(*fresh) + size);
		if (!fresh)
			return -ENOMEM;
		memcpy(fresh->key, key, size);
		fresh->resource.attribute = calloc(count, sizeof(*list));
		if (!fresh->resource.attribute) {
			free(fresh);
			return -ENOMEM;
		}
		fresh->resource.attribute_count = count;
		fresh->resource.since_unix_ns = services->since_unix_ns;
		for (i = 0, at = fresh->key; i < count; i++) {
			fresh->resource.attribute[i].key = at;
			at += strlen(at) + 1;
			fresh->resource.attribute[i].value = at;
			at += strlen(at) + 1;
		}
		HASH_ADD(hh, services->known, key, size, fresh);
		services->bytes += size;
		found = fresh;
	}
	*ret = &found->resource;
	return 0;
}

/* 128 bits over a host and all that a service says of itself, written as a UUID: the same at each start, different on
 * another host and for a service of the same name with other attributes, which a receiver would else take for one. */
static void instance_id(const struct services *services, const struct attribute *list, size_t count, uint64_t salt,
			char ret[INSTANCE_BYTES])
{
	uint64_t half[2] = { 1 + salt, 2 + salt };
	size_t n, i;

	for (n = 0; n < 2; n++) {
		half[n] = probemeter_hash_label_(half[n], services->host);
		for (i = 0; i < count; i++)
			half[n] = probemeter_hash_label_(probemeter_hash_label_(half[n], list[i].key), list[i].value);
	}
	(void)snprintf(ret, INSTANCE_BYTES, "%08x-%04x-8%03x-%04x-%012llx", (unsigned)(half[0] >> 32), (unsigned)(half[0] >> 16) & 0xffff,
		       (unsigned)half[0] & 0xfff, (unsigned)(0x8000 | (half[1] >> 48 & 0x3fff)),
		       (unsigned long long)(half[1] & 0xffffffffffffull));
}

static const struct attribute of_build[] = {
	{ "telemetry.sdk.name", "probemeter" },
	{ "telemetry.sdk.language", "c" },
	{ "telemetry.sdk.version", PROBEMETER_VERSION },
};

bool service_of_build(const struct attribute *attribute)
{
	size_t i;

	for (i = 0; i < sizeof(of_build) / sizeof(of_build[0]); i++)
		if (!strcmp(attribute->key, of_build[i].key) && !strcmp(attribute->value, of_build[i].value))
			return true;
	return false;
}

#define OWN_ATTRIBUTES 16
#define NO_NAME "unknown_service"

/* @name NULL: those that have none of their own. */
static int complete(struct services *services, struct arena *scratch, const struct attribute *given, size_t given_count,
		    const char *name, const char *version, const struct service_facts *facts, const struct resource **ret)
{
	struct attribute *list = arena_alloc(scratch, (given_count + OWN_ATTRIBUTES) * sizeof(*list), sizeof(void *));
	char instance[INSTANCE_BYTES], container[CONTAINER_ID_BYTES] = "", pod[CONTAINER_POD_BYTES] = "", process[24] = "";
	size_t count = 0, i;

	if (!list)
		return -ENOMEM;
	if (facts->cgroup)
		container_of_cgroup(facts->cgroup, container, pod);
	attribute_default(list, &count, "service.name", name ? name : NO_NAME);
	/* What a process is as a process is not for its environment to say, which its children inherit. */
	if (facts->pid)
		(void)snprintf(process, sizeof(process), "%d", facts->pid);
	attribute_default(list, &count, "process.pid", process);
	for (i = 0; i < given_count; i++)
		if (strcmp(given[i].key, "service.instance.id") ||
		    (!facts->pid && (version || strcmp(given[i].value, services->agent))))
			attribute_default(list, &count, given[i].key, given[i].value);
	attribute_default(list, &count, "container.id", container);
	attribute_default(list, &count, "k8s.pod.uid", pod);
	qsort(list, count, sizeof(*list), by_key);
	/* Not over the version that is known here: an update of the agent does not make another instance of it. With its pid,
	 * its start is what tells a process from those before it. */
	instance_id(services, list, count, version ? AGENT_SALT : facts->pid ? facts->start_ticks : 0, instance);
	attribute_default(list, &count, "service.instance.id", instance);
	for (i = 0; version && i < count; i++)
		if (!strcmp(list[i].key, "service.instance.id"))
			(void)snprintf(services->agent, sizeof(services->agent), "%s", list[i].value);
	attribute_default(list, &count, "service.version", version);
	attribute_default(list, &count, "host.name", services->host_name);
	attribute_default(list, &count, "host.id", services->machine_id);
	attribute_default(list, &count, "host.arch", services->arch);
	attribute_default(list, &count, "os.type", "linux");
	for (i = 0; i < sizeof(of_build) / sizeof(of_build[0]); i++)
		attribute_default(list, &count, of_build[i].key, of_build[i].value);
	return intern(services, scratch, list, count, !name, ret);
}

static const char *clean(struct arena *scratch, const char *text)
{
	size_t length = strlen(text);
	char *out = arena_alloc(scratch, 3 * length + 1, 1);

	if (out)
		(void)utf8_clean(text, length, out, 3 * length + 1);
	return out;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The first of the names a process may have; the first one it may not have at @ret_refused. */
static const char *name_choose(const struct services *services, const struct service_facts *facts,
			       const struct attribute *given, size_t given_count, struct arena *scratch,
			       const char **ret_refused)
{
	const char *executable = facts->executable ? base_name(facts->executable) : "";
	const char *claims[] = {
		facts->otel_service_name,
		pairs_find(given, given_count, "service.name"),
		facts->tracing_service_name,
		rules_service(services->rules, facts),
		facts->catalogue ? services->default_name : NULL,
		facts->unit,
		arena_printf(scratch, NO_NAME "%s%s", *executable ? ":" : "", executable),
	};
	size_t i;

	for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		const char *name = claims[i] && *claims[i] ? clean(scratch, claims[i]) : NULL;

		/* What the rules give they allow. */
		if (name && (i == 3 || rules_name(services->rules, name, facts)))
			return name;
		if (name && !*ret_refused)
			*ret_refused = name;
	}
	return NO_NAME;
}

/* One for all that come too late. */
static int join_crowd(struct services *services, struct arena *scratch, const struct resource **ret)
{
	static const struct service_facts nothing;
	int err = 0;

	if (!services->crowd) {
		err = complete(services, scratch, NULL, 0, NULL, NULL, &nothing, &services->crowd);
		log_message(LOG_WARN, "services: more than %d resources, or %zu MiB of their attributes, since the start; new ones count as "
			    "'%s'; fewer distinct OTEL_RESOURCE_ATTRIBUTES, and a restart", MAX_RESOURCES, MAX_RESOURCE_BYTES >> 20,
			    NO_NAME);
	}
	*ret = services->crowd;
	return err;
}

int services_resource(struct services *services, const struct service_facts *facts, const struct resource **ret)
{
	const char *name, *refused = NULL;
	struct attribute *given = NULL;
	size_t given_count = 0, i;
	struct arena *scratch = arena_new();
	struct entry *entry;
	int err = -ENOMEM;

	if (!scratch)
		return -ENOMEM;
	/* A value that does not decode is discarded whole; the process keeps its name. */
	if (facts->otel_resource_attributes && *facts->otel_resource_attributes &&
	    pairs_parse(facts->otel_resource_attributes, scratch, &given, &given_count))
		given_count = 0;
	for (i = 0; i < given_count; i++) {
		given[i].key = clean(scratch, given[i].key);
		given[i].value = clean(scratch, given[i].value);
		if (!given[i].key || !given[i].value)
			goto out;
	}
	name = name_choose(services, facts, given, given_count, scratch, &refused);
	err = complete(services, scratch, given, given_count, name, NULL, facts, ret);
	if (err == -ENOSPC) {
		err = join_crowd(services, scratch, ret);
		goto out;
	}
	if (err)
		goto out;
	entry = (struct entry *)*ret;
	if (refused && !entry->told)
		log_message(LOG_WARN, "service '%s': '%s' (uid %ld) may not use this name by the rules; counted as '%s'", refused,
			    facts->executable ? facts->executable : "?", facts->has_uid ? (long)facts->uid : -1L, name);
	entry->told |= refused != NULL;
out:
	arena_free(scratch);
	return err;
}

int services_agent(struct services *services, const char *name, const struct attribute *given, size_t given_count,
		   const struct resource **ret)
{
	static const struct service_facts nothing;
	struct arena *scratch = arena_new();
	int err = -ENOMEM;

	if (scratch)
		name = clean(scratch, name ? name : "probemeter");
	if (scratch && name)
		err = complete(services, scratch, given, given_count, name, PROBEMETER_VERSION, &nothing, ret);
	arena_free(scratch);
	return err;
}

int services_again(struct services *services, struct attribute *attribute, size_t count, const struct resource **ret)
{
	static const struct service_facts nothing;
	struct arena *scratch = arena_new();
	const char *name = NO_NAME;
	int err = -ENOMEM;
	size_t i;

	for (i = 0; i < count; i++)
		if (!strcmp(attribute[i].key, "service.name"))
			name = attribute[i].value;
	if (scratch)
		err = complete(services, scratch, attribute, count, name, NULL, &nothing, ret);
	arena_free(scratch);
	return err;
}

int service_unit(const char *cgroup, char *ret, size_t size)
{
	const char *at, *start = cgroup, *found = NULL;
	size_t length = 0;

	/* Component by component. The innermost unit of the first line that has one: a user's service lies below
	 * user@N.service, a service's own cgroups have no such suffix, and on v1 some controllers know only part of the path. */
	for (at = cgroup; !found || at[-1] != '\n'; at++) {
		if (*at && *at != '/' && *at != '\n')
			continue;
		if (at - start > 8 && !memcmp(at - 8, ".service", 8)) {
			found = start;
			length = (size_t)(at - start) - 8;
		}
		if (!*at)
			break;
		start = at + 1;
	}
	if (!found || length >= size)
		return -ENOENT;
	memcpy(ret, found, length);
	ret[length] = '\0';
	return 0;
}
