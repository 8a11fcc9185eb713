/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * soak.c - an hour of exports and more in a minute: what run.c does for the otlp exporter, without the kernel and without
 * the waiting.
 *
 *   soak CYCLES SEED      settings in the agent's own variables, OTEL_EXPORTER_OTLP_ENDPOINT and so on
 *
 * Makes events with a known truth, and from all of them merged points, deltas if asked for, requests, and sends those.
 * A line of JSON after every thousandth export tells of memory and descriptors. After the last one it says "calm" and
 * waits for a line on stdin, so that the collector can be made to behave; then comes the flush, and the truth.
 */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../bpf/maps.h"
#include "arena.h"
#include "delta.h"
#include "encode.h"
#include "merge.h"
#include "options.h"
#include "sender.h"
#include "split.h"

#define WINDOW 1000 /* exports per line */
#define SERIES_FIRST 8
#define SERIES_MAX 40 /* per metric with a label; new ones come all the while */
#define OCTAVES 12
#define EIGHTHS 8
#define BACKOFF_MS 1

enum metric_number { ORDERS, BARE, OPEN, LATENCY, SIZE, METRICS };

static const double size_bound[] = { 1, 10, 100, 1000 };
static const struct metric metrics[METRICS] = {
	[ORDERS] = { .id = 1, .kind = PROBEMETER_KIND_COUNTER, .scope = "Soak", .name = "soak.orders", .unit = "{order}",
		     .description = "", .label_count = 1, .label = { "which" } },
	[BARE] = { .id = 2, .kind = PROBEMETER_KIND_COUNTER, .scope = "Soak", .name = "soak.bare", .unit = "",
		   .description = "" },
	[OPEN] = { .id = 3, .kind = PROBEMETER_KIND_UPDOWNCOUNTER, .scope = "Soak", .name = "soak.open", .unit = "{order}",
		   .description = "", .label_count = 1, .label = { "which" } },
	[LATENCY] = { .id = 4, .kind = PROBEMETER_KIND_HISTOGRAM, .scope = "Soak", .name = "soak.latency", .unit = "ms",
		      .description = "", .label_count = 1, .label = { "which" } },
	[SIZE] = { .id = 5, .kind = PROBEMETER_KIND_HISTOGRAM, .scope = "Soak", .name = "soak.size", .unit = "By",
		   .description = "", .label_count = 1, .label = { "which" }, .bound_count = 4, .bound = size_bound },
};

/* One series' truth. A histogram's values lie in the middle of an octave's eighth, where a double holds every sum. */
struct series {
	bool there;
	int64_t value;
	uint64_t zeros;
	uint64_t count[OCTAVES][EIGHTHS];
	struct cell cell[OCTAVES * EIGHTHS + 1]; /* what the kernel would have */
	uint64_t start_unix_ns;
};

struct soak {
	struct options options;
	struct resource resource;
	struct sender *sender;
	struct delta *delta;
	struct arena *arena;
	struct series series[METRICS][SERIES_MAX];
	char label[SERIES_MAX][8];
	uint64_t random;
	/* So far. */
	unsigned long exports, requests, failed, retries, uncertain, timeouts, rejected;
	bool busy;
	/* Of this window. */
	double rss_kib;
	unsigned long measured, descriptors;
};

static uint64_t now_unix_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* xorshift64*: the same events for the same seed. */
static uint64_t draw(struct soak *soak, uint64_t below)
{
	soak->random ^= soak->random >> 12;
	soak->random ^= soak->random << 25;
	soak->random ^= soak->random >> 27;
	return (soak->random * 0x2545f4914f6cdd1dull >> 33) % below;
}

static double value_of(int octave, int eighth)
{
	return ldexp(1 + (eighth + 0.5) / EIGHTHS, octave);
}

/* As bpf/maps.h has it. */
static uint64_t where_of(const struct metric *metric, int octave, int eighth)
{
	/* Of a scale of 3: bounds are powers of 2^(1/8). */
	uint32_t index = (uint32_t)(ceil(EIGHTHS * log2(ldexp(value_of(octave, eighth), -octave))) - 1);

	if (metric->bound_count)
		for (index = 0; index < metric->bound_count && metric->bound[index] < value_of(octave, eighth);)
			index++;
	return PM_BUCKET(octave + 1023, 0, index);
}

static void record(struct soak *soak, const struct metric *metric, struct series *series)
{
	int octave = (int)draw(soak, OCTAVES), eighth = (int)draw(soak, EIGHTHS);
	struct cell *cell = &series->cell[1 + octave * EIGHTHS + eighth];

	if (!draw(soak, 20)) {
		series->zeros++;
		series->cell[0].count++;
		return;
	}
	series->count[octave][eighth]++;
	cell->where = where_of(metric, octave, eighth);
	cell->count++;
	cell->sum += (uint64_t)ldexp(value_of(octave, eighth), PM_MANTISSA_BITS - octave);
}

static void fire(struct soak *soak)
{
	uint64_t events = 1 + draw(soak, 30);

	while (events--) {
		size_t m = draw(soak, METRICS), room = metrics[m].label_count ? SERIES_MAX : 1, s = draw(soak, room);
		struct series *series = &soak->series[m][s];

		/* Those behind the first few come one by one, later and later. */
		if (!series->there && s >= SERIES_FIRST && draw(soak, 40 * s))
			continue;
		if (!series->there)
			series->start_unix_ns = now_unix_ns();
		series->there = true;
		if (metrics[m].kind == PROBEMETER_KIND_HISTOGRAM)
			record(soak, &metrics[m], series);
		else if (metrics[m].kind == PROBEMETER_KIND_COUNTER)
			series->value += (int64_t)draw(soak, 1000);
		else
			series->value += (int64_t)draw(soak, 201) - 100;
	}
}

/* What the collector of the agent would hand to merge. */
static struct sample *sample_make(struct soak *soak, size_t *ret_count)
{
	struct sample *sample = arena_array(soak->arena, METRICS * SERIES_MAX, sizeof(*sample));
	size_t count = 0;

	for (size_t m = 0; sample && m < METRICS; m++) {
		for (size_t s = 0; s < SERIES_MAX; s++) {
			struct series *series = &soak->series[m][s];

			if (!series->there)
				continue;
			sample[count] = (struct sample){ .resource = &soak->resource, .metric = &metrics[m],
							 .start_unix_ns = series->start_unix_ns, .cell = series->cell,
							 .level = (uint64_t)series->value };
			if (metrics[m].label_count)
				sample[count].value[0] = soak->label[s];
			sample[count].cell_count = metrics[m].kind == PROBEMETER_KIND_HISTOGRAM ? OCTAVES * EIGHTHS + 1 : 1;
			if (metrics[m].kind == PROBEMETER_KIND_COUNTER)
				series->cell[0].sum = (uint64_t)series->value;
			count++;
		}
	}
	*ret_count = count;
	return sample;
}

/* As account() of run.c. */
static void account(struct soak *soak)
{
	const struct sender_result *result;
	struct ship_result trouble;
	size_t count;

	(void)sender_trouble(soak->sender, &trouble);
	count = sender_results(soak->sender, &result);
	for (size_t i = 0; i < count; i++) {
		if (result[i].delivery == DELIVERY_DONE && soak->delta)
			delta_acknowledge(soak->delta, result[i].first, result[i].count);
		soak->failed += result[i].delivery != DELIVERY_DONE;
		soak->requests += result[i].delivery != DELIVERY_UNTRIED;
		soak->retries += result[i].ship.retries;
		soak->uncertain += result[i].ship.uncertain;
		soak->timeouts += result[i].err == -ETIMEDOUT;
		soak->rejected += result[i].ship.rejected;
	}
	if (count)
		soak->busy = false;
}

static int requests_make(struct soak *soak, struct requests *ret)
{
	const struct merge_rule rule = { .time_unix_ns = now_unix_ns(),
					 .exponential = soak->options.aggregation == AGGREGATION_EXPONENTIAL };
	/* Often several requests, so that one is delivered and the next is not. */
	size_t limit = draw(soak, 3) ? SPLIT_MAX_BYTES : 1200 + draw(soak, 6000), count;
	struct sample *sample;
	struct points points;
	char why[256];
	int err;

	arena_reset(soak->arena);
	sample = sample_make(soak, &count);
	if (!sample)
		return -ENOMEM;
	err = merge_fold(sample, count, &rule, soak->arena, &points);
	if (!err && soak->delta)
		err = delta_points(soak->delta, &points, soak->arena, &points);
	if (!err && encode_check(&points, why, sizeof(why))) {
		fprintf(stderr, "soak: %s\n", why);
		err = -EINVAL;
	}
	if (!err)
		err = split_points(&points, limit, ENCODE_PROTOBUF, soak->arena, ret);
	if (!err && ret->too_large_count)
		err = -EMSGSIZE;
	return err;
}

static unsigned long descriptors_open(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned long count = 0;

	while (directory && readdir(directory))
		count++;
	if (directory)
		(void)closedir(directory);
	return count;
}

static void measure(struct soak *soak)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long resident = 0, open_now;

	if (file) {
		if (fscanf(file, "%*u %lu", &resident) != 1)
			resident = 0;
		(void)fclose(file);
	}
	soak->rss_kib += (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
	soak->measured++;
	open_now = descriptors_open();
	if (open_now > soak->descriptors)
		soak->descriptors = open_now;
	if (soak->exports % WINDOW)
		return;
	printf("{\"export\": %lu, \"rss_kib\": %.1f, \"descriptors\": %lu}\n", soak->exports,
	       soak->rss_kib / (double)soak->measured, soak->descriptors);
	(void)fflush(stdout);
	soak->rss_kib = 0;
	soak->measured = soak->descriptors = 0;
}

/* One export, and mostly what becomes of it; sometimes the next one finds it still under way. */
static int turn(struct soak *soak)
{
	struct pollfd done = { .fd = sender_fd(soak->sender), .events = POLLIN };
	struct requests requests;
	int err;

	fire(soak);
	account(soak);
	if (!soak->busy) {
		err = requests_make(soak, &requests);
		if (!err && requests.count)
			err = sender_submit(soak->sender, &requests);
		if (err)
			return err;
		soak->busy = requests.count;
		soak->exports++;
		measure(soak);
	}
	while (soak->busy && draw(soak, 10)) {
		(void)poll(&done, 1, 1000);
		account(soak);
	}
	return 0;
}

static int finish(struct soak *soak)
{
	unsigned long failed;
	struct requests requests;
	int err;

	sender_end(soak->sender);
	account(soak);
	fire(soak);
	err = requests_make(soak, &requests);
	if (err)
		return err;
	failed = soak->failed;
	err = sender_flush(soak->sender, &requests, 0);
	account(soak);
	soak->exports++;
	return err ? err : soak->failed > failed ? -EIO : 0;
}

static void truth_tell(const struct soak *soak)
{
	const char *between = "";

	printf("{\"truth\": [");
	for (size_t m = 0; m < METRICS; m++) {
		for (size_t s = 0; s < SERIES_MAX; s++) {
			const struct series *series = &soak->series[m][s];

			if (!series->there)
				continue;
			printf("%s{\"metric\": \"%s\", \"label\": \"%s\", ", between, metrics[m].name,
			       metrics[m].label_count ? soak->label[s] : "");
			between = ", ";
			if (metrics[m].kind != PROBEMETER_KIND_HISTOGRAM) {
				printf("\"value\": %lld}", (long long)series->value);
				continue;
			}
			printf("\"values\": [[0, %llu]", (unsigned long long)series->zeros);
			for (int octave = 0; octave < OCTAVES; octave++)
				for (int eighth = 0; eighth < EIGHTHS; eighth++)
					printf(", [%.17g, %llu]", value_of(octave, eighth),
					       (unsigned long long)series->count[octave][eighth]);
			printf("]}");
		}
	}
	printf("], \"exports\": %lu, \"requests\": %lu, \"failed\": %lu, \"retries\": %lu, \"uncertain\": %lu, "
	       "\"timeouts\": %lu, \"rejected\": %lu}\n", soak->exports, soak->requests, soak->failed, soak->retries,
	       soak->uncertain, soak->timeouts, soak->rejected);
	(void)fflush(stdout);
}

static int start(struct soak *soak)
{
	static char *const argv[] = { "probemeter", "run", NULL };
	static struct attribute attribute = { "service.name", "soak" };
	char error[256];
	int err = options_parse(2, argv, getenv, &soak->options, error, sizeof(error));

	if (err) {
		fprintf(stderr, "soak: %s\n", error);
		return err;
	}
	for (size_t i = 0; i < soak->options.warning_count; i++)
		fprintf(stderr, "soak: %s\n", soak->options.warning[i]);
	soak->options.backoff_ms = BACKOFF_MS;
	/* Resident from the beginning, so that what grows later is the exporter. */
	memset(soak->series, 0, sizeof(soak->series));
	soak->resource = (struct resource){ .attribute = &attribute, .attribute_count = 1 };
	for (size_t s = 0; s < SERIES_MAX; s++)
		(void)snprintf(soak->label[s], sizeof(soak->label[s]), "%zu", s);
	soak->arena = arena_new();
	soak->sender = sender_new(&soak->options);
	if (soak->options.preference != PREFERENCE_CUMULATIVE)
		soak->delta = delta_new();
	return soak->arena && soak->sender && (soak->delta || soak->options.preference == PREFERENCE_CUMULATIVE) ? 0 : -ENOMEM;
}

int main(int argc, char **argv)
{
	static struct soak soak;
	unsigned long cycles = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	char line[16];
	int err;

	(void)mallopt(M_MMAP_THRESHOLD, 1 << 17); /* as in main.c */
	soak.random = argc > 2 ? strtoull(argv[2], NULL, 10) | 1 : 1;
	err = start(&soak);
	while (!err && soak.exports < cycles)
		err = turn(&soak);
	if (!err) {
		puts("calm");
		(void)fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			err = -EPIPE;
	}
	if (!err)
		err = finish(&soak);
	if (!err)
		truth_tell(&soak);
	else
		fprintf(stderr, "soak: %s\n", strerror(-err));
	sender_free(soak.sender);
	delta_free(soak.delta);
	arena_free(soak.arena);
	options_free(&soak.options);
	return err ? 1 : 0;
}
