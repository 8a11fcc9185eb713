/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collect.c - what one export costs: the agent's own objects, from snapshot to request body, without the network.
 *
 *   collect --limits CPUS   prints this host's default limits, and the kernel bytes that they allow on CPUS CPUs
 *   collect                 obeys lines on stdin: "sweep" look for processes and attach; "collect" one export;
 *                           "memory" the maps
 *
 * Answers are JSON, one line each. Calls of malloc and its relatives are counted for the whole process, libraries
 * included, by taking their place.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arena.h"
#include "attach.h"
#include "collect.h"
#include "split.h"

/* glibc's own, under the names that remain when somebody defines malloc. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static unsigned long allocations;

void *malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	allocations++;
	return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	allocations++;
	return __libc_realloc(old, size);
}

struct bench {
	struct kernel kernel;
	struct metrics *metrics;
	struct services *services;
	struct collector *collector;
	struct discovery discovery;
	struct discover_events events;
	struct arena *arena;
	struct self self;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* As run.c does. */
static void found(void *context, struct object *object)
{
	struct bench *bench = context;
	size_t i;

	object->metric = calloc(object->descriptors.count, sizeof(struct metric *));
	for (i = 0; object->metric && i < object->descriptors.count; i++)
		if (!metrics_intern(bench->metrics, &object->descriptors.descriptor[i].metric, &object->metric[i]))
			collector_metric_starts(bench->collector, object->metric[i], clock_ns(CLOCK_REALTIME));
	if (!object->metric || attach_object(&bench->kernel, ATTACH_NOTED, object))
		fprintf(stderr, "collect: '%s' cannot be attached\n", object->path);
}

static void gone(void *context, struct object *object)
{
	(void)context;
	attach_free(object->attachment);
	object->attachment = NULL;
}

static int start(struct bench *bench)
{
	const struct kernel_limits limits = kernel_limits_default();
	const struct resource *own;
	int err = kernel_load(&limits, KERNEL_LINKS_AUTO, &bench->kernel);

	if (err)
		return err;
	bench->metrics = metrics_new();
	bench->services = services_new("bench");
	bench->arena = arena_new();
	if (!bench->metrics || !bench->services || !bench->arena || services_agent(bench->services, NULL, NULL, 0, &own))
		return -ENOMEM;
	bench->collector = collector_new(&bench->kernel, bench->metrics, bench->services, own, 300, false);
	bench->events = (struct discover_events){ .found = found, .gone = gone, .context = bench };
	return bench->collector ? 0 : -ENOMEM;
}

static int sweep(struct bench *bench)
{
	int err = discover_sweep(&bench->discovery, &bench->events);

	if (!err)
		err = collector_services(bench->collector, &bench->discovery);
	printf("{\"error\": %d}\n", -err);
	return err;
}

static int collect(struct bench *bench)
{
	uint64_t cpu_ns, points_ns, start_ns;
	struct points points;
	unsigned long calls;
	struct requests requests;
	size_t size = 0, in_arena, i;
	int err;

	calls = allocations;
	start_ns = clock_ns(CLOCK_MONOTONIC);
	cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	arena_reset(bench->arena);
	err = collector_points(bench->collector, &bench->discovery, &bench->self, clock_ns(CLOCK_REALTIME), bench->arena,
			       &points);
	points_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (!err)
		err = split_points(&points, SPLIT_MAX_BYTES, ENCODE_PROTOBUF, bench->arena, &requests);
	if (err)
		return err;
	cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
	points_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - points_ns;
	start_ns = clock_ns(CLOCK_MONOTONIC) - start_ns;
	calls = allocations - calls;
	in_arena = arena_bytes(bench->arena);
	for (i = 0; i < requests.count; i++)
		size += requests.request[i].size;
	printf("{\"cpu_ms\": %.3f, \"encode_ms\": %.3f, \"wall_ms\": %.3f, \"allocations\": %lu, \"series\": %llu, \"cells\": %llu, "
	       "\"points\": %zu, \"body_bytes\": %zu, \"arena_bytes\": %zu}\n",
	       (double)cpu_ns / 1e6, (double)points_ns / 1e6, (double)start_ns / 1e6, calls,
	       (unsigned long long)bench->self.series, (unsigned long long)bench->self.cells, points.count, size, in_arena);
	return 0;
}

static void memory(const struct bench *bench)
{
	const struct kernel_limits limits = kernel_limits_default();

	printf("{\"bytes\": %llu, \"at_most\": %llu}\n", (unsigned long long)kernel_bytes_now(&bench->kernel),
	       (unsigned long long)kernel_bytes(&limits, bench->kernel.cpus));
}

static void limits_print(uint32_t cpus)
{
	const struct kernel_limits limits = kernel_limits_default();

	printf("{\"cpus\": %u, \"cells\": %u, \"series\": %u, \"services\": %u, \"series_per_metric\": %u, \"bytes\": %llu}\n",
	       cpus, limits.cells, limits.series, limits.services, limits.series_per_metric,
	       (unsigned long long)kernel_bytes(&limits, cpus));
}

int main(int argc, char **argv)
{
	static struct bench bench;
	char line[32];
	int err;

	if (argc == 3 && !strcmp(argv[1], "--limits")) {
		limits_print((uint32_t)strtoul(argv[2], NULL, 10));
		return 0;
	}
	err = argc == 1 ? start(&bench) : -EINVAL;
	printf("ready\n");
	while (!err && fflush(stdout) == 0 && fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "sweep\n"))
			err = sweep(&bench);
		else if (!strcmp(line, "collect\n"))
			err = collect(&bench);
		else if (!strcmp(line, "memory\n"))
			memory(&bench);
		else
			err = -EINVAL;
	}
	if (err)
		fprintf(stderr, "collect: %s\n", strerror(-err));
	return err ? 1 : 0;
}
