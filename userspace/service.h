/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service.h - whose metrics: from a process's own words to an OTLP resource.
 */
#ifndef PROBEMETER_SERVICE_H
#define PROBEMETER_SERVICE_H

#include "points.h"

struct rules;
struct services;

#define SERVICE_MACHINE_ID 32 /* hexadecimal digits */

/* What is known about one process, or about the processes of one kernel-side service. Any pointer may be NULL. */
struct service_facts {
	const char *otel_service_name;
	const char *otel_resource_attributes;
	const char *tracing_service_name;
	const char *executable; /* path, or at least a name */
	const char *unit; /* systemd's, without its suffix */
	bool catalogue; /* carries metrics of the documented catalogue */
	const char *cgroup; /* text of /proc/PID/cgroup */
	bool has_uid;
	uint32_t uid;
	int pid; /* not 0: the process is a resource of its own */
	uint64_t start_ticks; /* its start, since boot */
};

/* @default_name: for processes that name none and carry the catalogue. */
struct services *services_new(const char *default_name);

/* What goes into every service.instance.id from now on, so that no other host has the same: host_identity() of host.h. */
void services_host(struct services *services, const char *identity);

/* From now on names are given and allowed by @rules, which outlive @services. */
void services_rules(struct services *services, const struct rules *rules);

/* Of all that is not the process's own in a resource: rules, default name, host. Where it differs, so may names. */
uint64_t services_hash(const struct services *services);

/* Resources that are new from now on start no earlier than this; nor do those that are known, if @all. */
void services_since(struct services *services, uint64_t since_unix_ns, bool all);

/* @resource starts earlier than was known. */
void services_restart(const struct resource *resource, uint64_t since_unix_ns);

/* Nobody has a pointer to @resource any more. */
void services_drop(struct services *services, const struct resource *resource);
void services_free(struct services *services);

/**
 * services_resource - the resource that these facts make
 * @ret: interned: equal resources are one pointer; lives as long as @services
 *
 * A name that the rules do not allow the process is passed over, and one line of the log says so, once per name and
 * resource.
 *
 * Return: 0 or -ENOMEM.
 *
 * Every resource has service.name, service.instance.id, host.name, host.id (if the host has a machine id), host.arch,
 * os.type and telemetry.sdk.*; what the process says of itself wins, and whatever else it says goes along.
 *
 * Source: OpenTelemetry resource environment variables; semantic conventions, "Host" and "OS"; design: OTEL_SERVICE_NAME,
 * then service.name in OTEL_RESOURCE_ATTRIBUTES, then TRACING_SERVICE_NAME, then the agent's rules, then the default.
 */
int services_resource(struct services *services, const struct service_facts *facts, const struct resource **ret);

/* The agent's own resource: @name NULL is "probemeter"; @given are further attributes. It has a service.version. */
int services_agent(struct services *services, const char *name, const struct attribute *given, size_t given_count,
		   const struct resource **ret);

/* What file @path says the host's id is, to @ret; false, and @ret untouched, if there is none. */
bool service_machine_id(const char *path, char ret[SERVICE_MACHINE_ID + 1]);

/* host.arch for what uname() calls @machine: the semantic conventions' word, or @machine where they have none. */
const char *service_arch(const char *machine);

/* A resource that an earlier agent made, from its attributes without those of service_of_build(): the same one that its
 * living processes make. Return: 0 or -ENOMEM. */
int services_again(struct services *services, struct attribute *attribute, size_t count, const struct resource **ret);

/* Does this attribute only say which build of the agent speaks? */
bool service_of_build(const struct attribute *attribute);

/* service.name of a resource. */
const char *service_name(const struct resource *resource);

/* Is this one of the scopes of the documented catalogue? */
bool service_scope_is_catalogue(const char *scope);

/* The unit in the text of /proc/PID/cgroup, copied to @ret without ".service"; -ENOENT if there is none. */
int service_unit(const char *cgroup, char *ret, size_t size);

#endif
