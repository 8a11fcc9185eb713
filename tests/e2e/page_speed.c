/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_speed - what a large page costs, without kernel and network, and what it costs to remember what was before.
 *
 * 10,000 series, a fifth of them histograms. Prints one line of JSON: per format the fewest milliseconds of CPU time over
 * some rounds, and the bytes; and the same for a moment of 100 metrics that is remembered.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bucket.h"
#include "history.h"
#include "prometheus.h"

#define SERIES 10000
#define PER_METRIC 100
#define ROUNDS 15
#define REMEMBERED 3 /* series of each metric */

static double cpu_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static struct metric *metric_new(struct arena *arena, size_t number)
{
	struct metric *metric = arena_alloc(arena, sizeof(*metric), 8);

	*metric = (struct metric){
		.kind = number % 5 ? PROBEMETER_KIND_COUNTER : PROBEMETER_KIND_HISTOGRAM,
		.scope = "Speed",
		.name = arena_printf(arena, "speed.metric%zu.%s", number, number % 5 ? "total" : "duration"),
		.unit = number % 5 ? "{event}" : "s",
		.description = "What a large page costs",
		.label_count = 2,
		.label = { "endpoint", "status" },
	};
	return metric;
}

/* One moment of 100 metrics with a few series each. */
static int remember(const struct point *point)
{
	static struct point some[SERIES / PER_METRIC * REMEMBERED];
	const struct points points = { .point = some, .count = SERIES / PER_METRIC * REMEMBERED };
	struct history *history = history_new();
	double least = 1e9, begun, took;
	size_t i;
	uint64_t round;

	if (!history)
		return 1;
	for (i = 0; i < points.count; i++)
		some[i] = point[i / REMEMBERED * PER_METRIC + i % REMEMBERED];
	for (round = 1; round < 10 * ROUNDS; round++) {
		begun = cpu_ms();
		history_add(history, &points, round * HISTORY_STEP_NS);
		took = cpu_ms() - begun;
		least = took < least ? took : least;
	}
	printf(", \"history\": {\"ms\": %.4f, \"bytes\": %zu}", least, history_bytes(history));
	history_free(history);
	return 0;
}

int main(void)
{
	static struct attribute attributes[] = {
		{ "service.name", "speed" }, { "service.instance.id", "11111111-2222-3333-4444-555555555555" },
		{ "host.name", "here" },
	};
	static const struct resource resource = { .attribute = attributes, .attribute_count = 3 };
	static struct point point[SERIES];
	static double room[BUCKET_MAX_DEFAULT_BOUNDS];
	static uint64_t bucket[BUCKET_MAX_DEFAULT_BOUNDS + 1];
	struct points points = { .time_unix_ns = 2000000000, .point = point, .count = SERIES };
	struct arena *arena = arena_new(), *scratch = arena_new();
	const char *const name[] = { "text", "openmetrics" };
	const struct metric *metric = NULL;
	const double *bound;
	uint32_t bounds;
	size_t i;
	int format, round;

	(void)mallopt(M_MMAP_THRESHOLD, 1 << 17); /* as the agent has it */
	if (!arena || !scratch)
		return 1;
	for (i = 0; i < SERIES; i++) {
		if (!(i % PER_METRIC))
			metric = metric_new(arena, i / PER_METRIC);
		bounds = bucket_bounds(metric, room, &bound);
		bucket[bounds / 2] = 1234;
		point[i] = (struct point){
			.resource = &resource,
			.metric = metric,
			.value = { arena_printf(arena, "/api/v1/things/%zu", i), "200" },
			.type = metric->kind == PROBEMETER_KIND_COUNTER ? POINT_SUM : POINT_HISTOGRAM,
			.monotonic = true,
			.temporality = TEMPORALITY_CUMULATIVE,
			.start_unix_ns = 1000000000,
		};
		if (metric->kind == PROBEMETER_KIND_COUNTER) {
			point[i].integer = (int64_t)i * 7;
			continue;
		}
		point[i].count = 1234;
		point[i].sum = 1.5 * (double)i;
		point[i].has_sum = true;
		point[i].bound = bound;
		point[i].bound_count = bounds;
		point[i].bucket = bucket;
	}
	printf("{");
	for (format = PROMETHEUS_TEXT; format <= PROMETHEUS_OPENMETRICS; format++) {
		struct prometheus_conflicts conflicts;
		struct writer *writer = NULL;
		double least = 1e9, begun, took;
		size_t size = 0;

		for (round = 0; round < ROUNDS; round++) {
			writer = calloc(1, sizeof(*writer));
			arena_reset(scratch);
			begun = cpu_ms();
			if (!writer || prometheus_write(writer, &points, (enum prometheus_format)format, scratch, &conflicts))
				return 1;
			took = cpu_ms() - begun;
			least = took < least ? took : least;
			size = writer->size;
			free(writer->bytes);
			free(writer);
		}
		printf("%s\"%s\": {\"ms\": %.2f, \"bytes\": %zu, \"left_out\": %zu}", format ? ", " : "", name[format], least, size,
		       conflicts.count);
	}
	if (remember(point))
		return 1;
	printf("}\n");
	arena_free(arena);
	arena_free(scratch);
	return 0;
}
