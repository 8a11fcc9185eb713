/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * self.c - the agent about itself: scope probemeter.agent.
 *
 * Consumes counters of the agent, what the system says of this process, and the kernel's drops; produces samples like
 * everybody else's, and the table of them in operating.md.
 */
#include "self.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cost.h"
#include "drops.h"
#include "encode.h"

#define OWN(kind_name, metric_name, metric_unit, words)                                                       \
	{                                                                                                     \
		.kind = PROBEMETER_KIND_##kind_name, .scope = ENCODE_AGENT_SCOPE, .name = metric_name,        \
		.unit = metric_unit, .description = words                                                     \
	}
#define FIELD(name) offsetof(struct self, name)

/* Those that are one number each, 64 bits of struct self. */
static const struct {
	struct metric metric;
	size_t offset;
} plain[] = {
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.sites", "{site}", "Probe sites attached"), FIELD(sites) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.processes", "{process}", "Living processes with descriptors"),
	  FIELD(processes) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.levels.lost", "{update}",
	      "Updates of levels that found no room in the tables of living processes; those levels are wrong"),
	  FIELD(levels_lost) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.services", "{service}", "Services that fired, as the kernel tells them apart"),
	  FIELD(services) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.services.limit", "{service}", "Services that there is room for"),
	  FIELD(services_limit) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.series", "{series}", "Series in the kernel"), FIELD(series) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.series.limit", "{series}", "Series that there is room for"),
	  FIELD(series_limit) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.cells", "{cell}", "Cells in the kernel"), FIELD(cells) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.cells.limit", "{cell}", "Cells that there is room for"), FIELD(cells_limit) },
	{ OWN(UPDOWNCOUNTER, "probemeter.agent.kernel.memory", "By", "Kernel memory of the maps, as the kernel says"),
	  FIELD(kernel_bytes) },
	{ OWN(COUNTER, "probemeter.agent.export.bytes", "By", "Bodies of requests that were answered, as sent, compressed or not"),
	  FIELD(wire_bytes) },
	{ OWN(COUNTER, "probemeter.agent.export.retries", "{retry}", "Requests sent again"), FIELD(retries) },
	{ OWN(COUNTER, "probemeter.agent.points.rejected", "{point}", "Points that the collector said it dropped"),
	  FIELD(points_rejected) },
	{ OWN(COUNTER, "probemeter.agent.points.dropped", "{point}", "Points larger than a request may be, in no export"),
	  FIELD(points_dropped) },
	{ OWN(COUNTER, "probemeter.agent.points.unanswered", "{point}",
	      "Delta points whose answer was lost, and that may therefore be counted twice"),
	  FIELD(points_unanswered) },
	{ OWN(UPDOWNCOUNTER, "process.memory.usage", "By", "Resident memory of the agent"), FIELD(memory_bytes) },
	{ OWN(GAUGE, "process.cpu.utilization", "1", "CPU time of the agent since the last export, by elapsed time and CPUs"),
	  FIELD(cpu_utilization) },
};

static const double duration_bounds[SELF_DURATION_BOUNDS] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30 };

static const struct metric duration = {
	.kind = PROBEMETER_KIND_HISTOGRAM,
	.scope = ENCODE_AGENT_SCOPE,
	.name = "probemeter.agent.export.duration",
	.unit = "s",
	.description = "Duration of exports, with all tries and the waits between them",
	.bound_count = SELF_DURATION_BOUNDS,
	.bound = duration_bounds,
};

static const struct metric exports = {
	.kind = PROBEMETER_KIND_COUNTER,
	.scope = ENCODE_AGENT_SCOPE,
	.name = "probemeter.agent.exports",
	.unit = "{export}",
	.description = "Exports by result: delivered, failed",
	.label_count = 1,
	.label = { "result" },
};

static const struct metric dropped = {
	.kind = PROBEMETER_KIND_COUNTER,
	.scope = ENCODE_AGENT_SCOPE,
	.name = "probemeter.agent.events.dropped",
	.unit = "{event}",
	.description = "Events fired while attached and not counted, by reason and metric",
	.label_count = 2,
	.label = { "reason", "metric" },
};

static const struct metric attach_duration = OWN(HISTOGRAM, "probemeter.agent.attach.duration", "s",
						 "From a new file's first mapping, by exec or dlopen, to its probes attached");

#define PLAIN (sizeof(plain) / sizeof(plain[0]))
#define RESULTS 2
#define DURATIONS 2

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

void self_count_request(struct self *self, const struct ship_result *result)
{
	if (result->status)
		self->wire_bytes += result->wire_bytes;
	self->retries += result->retries;
	/* The collector's word, and it may say anything. */
	if (__builtin_add_overflow(self->points_rejected, result->rejected, &self->points_rejected))
		self->points_rejected = UINT64_MAX;
}

void self_count_export(struct self *self, bool delivered, uint64_t duration_ms)
{
	size_t i;

	for (i = 0; i < SELF_DURATION_BOUNDS; i++)
		if ((double)duration_ms <= 1000 * duration_bounds[i])
			break;
	self->duration_bucket[i]++;
	self->duration_ms += duration_ms;
	if (delivered)
		self->exports_delivered++;
	else
		self->exports_failed++;
}

/* Resident memory as /proc has it; what was known before where that cannot be read. */
static void measure_memory(struct self *self)
{
	unsigned long pages;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return;
	if (fscanf(file, "%*u %lu", &pages) == 1)
		self->memory_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
	(void)fclose(file);
}

void self_measure(struct self *self, const struct kernel *kernel)
{
	uint64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID), now_ns = clock_ns(CLOCK_MONOTONIC);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (self->measured_ns && now_ns > self->measured_ns)
		self->cpu_utilization = (double)(cpu_ns - self->cpu_ns) / (double)(now_ns - self->measured_ns) /
					(double)(cpus > 0 ? cpus : 1);
	self->cpu_ns = cpu_ns;
	self->measured_ns = now_ns;
	measure_memory(self);
	self->kernel_bytes = kernel_bytes_now(kernel);
	self->services_limit = kernel->limits.services;
	self->series_limit = kernel->limits.series;
	self->cells_limit = kernel->limits.cells;
}

static bool was_dropped(const uint64_t *drop, uint32_t metric, size_t reason)
{
	return drop[PM_DROP_INDEX(metric, reason)] && drop_reasons[reason].name;
}

size_t self_count(const struct metrics *metrics, const uint64_t *drop)
{
	size_t count = PLAIN + RESULTS + DURATIONS, i;
	uint32_t metric;

	for (metric = 0; metrics_get(metrics, metric); metric++)
		for (i = 0; i < PM_DROP_REASONS; i++)
			count += was_dropped(drop, metric, i);
	return count;
}

/* The sum of all in the first cell, in units of 2^-20 s: which cell it is in makes no difference to the point. */
static int duration_sample(const struct self *self, struct arena *arena, struct sample *ret)
{
	struct cell *cell = arena_array(arena, SELF_DURATION_BOUNDS + 1, sizeof(*cell));
	size_t i;

	if (!cell)
		return -ENOMEM;
	for (i = 0; i <= SELF_DURATION_BOUNDS; i++) {
		cell[i].where = PM_BUCKET(1023 + PM_MANTISSA_BITS - 20, 0, i);
		cell[i].count = self->duration_bucket[i];
	}
	cell[0].sum = ((uint128_t)self->duration_ms << 20) / 1000;
	*ret = (struct sample){ .metric = &duration, .cell = cell, .cell_count = SELF_DURATION_BOUNDS + 1 };
	return 0;
}

int self_samples(const struct self *self, const struct metrics *metrics, const uint64_t *drop,
		 const struct resource *resource, uint64_t start_unix_ns, struct arena *arena, struct sample *ret)
{
	const struct {
		const char *result;
		uint64_t count;
	} results[RESULTS] = { { "delivered", self->exports_delivered }, { "failed", self->exports_failed } };
	size_t total = self_count(metrics, drop), count = 0, i;
	struct cell *cell = arena_array(arena, total, sizeof(*cell));
	uint32_t metric;

	if (!cell)
		return -ENOMEM;
	for (i = 0; i < PLAIN; i++, count++) {
		uint64_t value;

		memcpy(&value, (const char *)self + plain[i].offset, sizeof(value));
		cell[count].sum = value;
		ret[count] = (struct sample){ .metric = &plain[i].metric, .level = value, .set_ns = 1 };
	}
	for (i = 0; i < RESULTS; i++, count++) {
		cell[count].sum = results[i].count;
		ret[count] = (struct sample){ .metric = &exports, .value = { results[i].result } };
	}
	for (metric = 0; metrics_get(metrics, metric); metric++)
		for (i = 0; i < PM_DROP_REASONS; i++) {
			if (!was_dropped(drop, metric, i))
				continue;
			cell[count].sum = drop[PM_DROP_INDEX(metric, i)];
			ret[count++] = (struct sample){
				.metric = &dropped,
				.value = { drop_reasons[i].name, metrics_get(metrics, metric)->name },
			};
		}
	for (i = 0; i < count; i++) {
		cell[i].count = 1;
		ret[i].cell = &cell[i];
		ret[i].cell_count = 1;
	}
	if (duration_sample(self, arena, &ret[count++]))
		return -ENOMEM;
	ret[count++] = (struct sample){
		.metric = &attach_duration,
		.cell = self->attach.cell,
		.cell_count = DURATION_OCTAVES,
	};
	for (i = 0; i < count; i++) {
		ret[i].resource = resource;
		ret[i].start_unix_ns = ret[i].metric == &dropped ? self->dropped_start_unix_ns : start_unix_ns;
	}
	return 0;
}

static void document_row(FILE *out, const struct metric *metric)
{
	static const char *const kinds[] = {
		[PROBEMETER_KIND_COUNTER] = "counter",
		[PROBEMETER_KIND_UPDOWNCOUNTER] = "up-down counter",
		[PROBEMETER_KIND_GAUGE] = "gauge",
		[PROBEMETER_KIND_HISTOGRAM] = "histogram",
	};
	uint32_t i;

	fprintf(out, "| `%s` | %s | `%s` |", metric->name, kinds[metric->kind], metric->unit);
	for (i = 0; i < metric->label_count; i++)
		fprintf(out, "%s `%s`", i ? "," : "", metric->label[i]);
	fprintf(out, " | %s |\n", metric->description);
}

void self_document(FILE *out)
{
	size_t i;

	fprintf(out, "| metric | kind | unit | attributes | meaning |\n|---|---|---|---|---|\n");
	document_row(out, &dropped);
	document_row(out, costs_metric());
	document_row(out, &exports);
	document_row(out, &duration);
	document_row(out, &attach_duration);
	for (i = 0; i < PLAIN; i++)
		document_row(out, &plain[i].metric);
}
