/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * collect.c - what one export costs: the agent's own objects, from snapshot to request body, without the network.
 *
 *   collect --limits CPUS   prints this host's default limits, and the kernel bytes that they allow on CPUS CPUs
 *   collect --bounds UNIT   prints the bounds of a histogram of this unit that declares none
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
#include <zlib.h>

#include "arena.h"
#include "attach.h"
#include "bucket.h"
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
	struct remember *remember;
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
	const struct attach_plan plan = { .way = ATTACH_NOTED };
	struct bench *bench = context;
	size_t i;

	object->metric = calloc(object->descriptors.count, sizeof(struct metric *));
	for (i = 0; object->metric && i < object->descriptors.count; i++)
		if (!metrics_intern(bench->metrics, &object->descriptors.descriptor[i].metric, &object->metric[i]))
			(void)collector_metric_starts(bench->collector, object->metric[i], clock_ns(CLOCK_REALTIME));
	if (!object->metric || attach_object(&bench->kernel, NULL, &plan, object))
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
	int err = kernel_load(&limits, KERNEL_LINKS_AUTO, NULL, &bench->kernel);

	if (err)
		return err;
	bench->metrics = metrics_new();
	bench->services = services_new("bench");
	bench->arena = arena_new();
	if (!bench->metrics || !bench->services || !bench->arena || services_agent(bench->services, NULL, NULL, 0, &own))
		return -ENOMEM;
	if (remember_new(&bench->kernel.journal, bench->metrics, bench->services, &bench->remember))
		return -ENOMEM;
	bench->collector = collector_new(&bench->kernel, bench->metrics, bench->services, bench->remember, own, 300, false);
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

/* Bytes of @body as ship.c compresses it: gzip at zlib's default level. 0: memory is short. */
static size_t gzip_bytes(const uint8_t *body, size_t size)
{
	z_stream stream = { .next_in = (Bytef *)body, .avail_in = (uInt)size };
	uint8_t *packed = malloc(compressBound(size) + 64);
	size_t bytes = 0;

	if (!packed || deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY)) {
		free(packed);
		return 0;
	}
	stream.next_out = packed;
	stream.avail_out = (uInt)(compressBound(size) + 64);
	if (deflate(&stream, Z_FINISH) == Z_STREAM_END)
		bytes = stream.total_out;
	(void)deflateEnd(&stream);
	free(packed);
	return bytes;
}

static int collect(struct bench *bench)
{
	uint64_t cpu_ns, points_ns, start_ns, json_ns;
	struct points points;
	unsigned long calls;
	struct requests requests;
	uint8_t *json;
	size_t size = 0, gzipped = 0, json_size, in_arena, i;
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
	for (i = 0; i < requests.count; i++) {
		size += requests.request[i].size;
		gzipped += gzip_bytes(requests.request[i].body, requests.request[i].size);
	}
	/* Not part of an export in protobuf: the same points in the other encoding, and both as small as they get. */
	json_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	err = encode_otlp(&points, ENCODE_JSON, bench->arena, &json, &json_size);
	json_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - json_ns;
	if (err)
		return err;
	printf("{\"cpu_ms\": %.3f, \"encode_ms\": %.3f, \"wall_ms\": %.3f, \"allocations\": %lu, \"series\": %llu, \"cells\": %llu, "
	       "\"points\": %zu, \"body_bytes\": %zu, \"gzip_bytes\": %zu, \"json_ms\": %.3f, \"json_bytes\": %zu, "
	       "\"json_gzip_bytes\": %zu, \"arena_bytes\": %zu}\n",
	       (double)cpu_ns / 1e6, (double)points_ns / 1e6, (double)start_ns / 1e6, calls,
	       (unsigned long long)bench->self.series, (unsigned long long)bench->self.cells, points.count, size,
	       gzipped, (double)json_ns / 1e6, json_size, gzip_bytes(json, json_size), in_arena);
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

static void bounds_print(const char *unit)
{
	const struct metric metric = { .unit = unit };
	double room[BUCKET_MAX_DEFAULT_BOUNDS];
	const double *bound;
	uint32_t count = bucket_bounds(&metric, room, &bound), i;

	for (i = 0; i < count; i++)
		printf("%.17g\n", bound[i]);
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
	if (argc == 3 && !strcmp(argv[1], "--bounds")) {
		bounds_print(argv[2]);
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
