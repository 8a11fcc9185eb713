/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stress - a service whose death takes nothing of the truth with it: each thread writes every event down, before it is fired
 * and behind it, in a file that it shares with who judges.
 *
 *   stress --describe                                    what it fires, and how the file is laid out, as JSON
 *   stress CONTROL TRUTH PROCESS THREADS SEED [flood]    fires as CONTROL says, under the label value PROCESS
 *
 * CONTROL is a file with a struct control, which tells all services at once what to do. TRUTH is this process's own.
 *
 * A thread that was killed was in one of three states. IDLE: its account is whole. BOOKING: its event was fired, and what the
 * account's two words become stands in `count` and `sum`: who reads the file writes them once more. FIRING: its event may have
 * been counted or not, which nobody can know; it stands in `cell` and `value`, and as values are drawn from many it can be told
 * from others in a sum. All values are integers of 20 bits (histogram `stress.time`: of 1/1024), so that sums are exact in any order.
 */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Stress"
#include <probemeter/probemeter.h>

#define SIZE_BOUNDS 1, 16, 1000, 4096, 65536, 500000, 1000000
#define TIME_SCALE 1024

PROBEMETER_COUNTER(stress_count, "stress.count", "{event}", "Counted", "region", "tier")
PROBEMETER_HISTOGRAM(stress_time, "stress.time", "s", "Times", "region", "tier")
PROBEMETER_HISTOGRAM_BOUNDS(stress_size, "stress.size", "By", "Sizes", (SIZE_BOUNDS), "region", "tier")
PROBEMETER_COUNTER(stress_flood, "stress.flood", "{event}", "More label sets than there is room for", "key")
PROBEMETER_HISTOGRAM(stress_flood_size, "stress.flood.size", "{item}", "The same, with many cells each", "key")
PROBEMETER_UPDOWNCOUNTER(stress_open, "stress.open", "{event}", "Added to by all threads", "region")
PROBEMETER_UPDOWNCOUNTER(stress_share, "stress.share", "{event}", "Set by one thread of each process", "thread")
PROBEMETER_UPDOWNCOUNTER_LATEST(stress_latest, "stress.latest", "{event}", "Set by one thread", "process", "thread")
PROBEMETER_GAUGE(stress_gauge, "stress.gauge", "1", "Set by one thread", "process", "thread")

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_THREADS 128
#define BURST 100 /* events, and then a pause */
#define VALUE_BITS 20
#define OCTAVES (VALUE_BITS + 1)
#define FLOOD_KEYS 20000
#define FLOOD_SIZE_KEYS 1000

static const char *const region[] = { "eu-west", "us-east", "ap-south-1", "a region with a name longer than one piece of a name, which has 63 bytes" };
static const char *const tier[] = { "free", "premium", "gold" };
#define SETS (COUNT(region) * COUNT(tier))

static const uint64_t size_bound[] = { SIZE_BOUNDS };

/* --- what all share with who judges */

enum command { REST, RUN, END };

struct control {
	uint32_t order; /* command in the lowest two bits, and above them the number of this order */
	uint32_t hard; /* without pauses */
	uint32_t flood; /* floods flood */
};

enum state { IDLE, FIRING, BOOKING };

struct cell {
	uint64_t count, sum;
};

struct thread {
	uint32_t state, cell; /* cell, value: of the event under way */
	uint64_t value;
	uint64_t count, sum; /* what they become in that cell */
	uint32_t rests; /* the order for which it does */
	uint32_t levels; /* 1 once it has set all its levels */
	int64_t open[COUNT(region)]; /* its part */
	int64_t share, latest;
	double gauge;
	struct cell cells[];
};

struct truth {
	uint64_t threads, stride, first; /* bytes from thread to thread, and from here to the first */
};

/* --- what is counted: cells lie by metric, label set and bucket */

enum metric { TALLY, TIME, SIZE, NEGATIVE, NOT_FINITE, FLOOD, FLOOD_SIZE, METRICS };
enum kind { COUNTER, HISTOGRAM, DROPPED };
#define STEADY_METRICS FLOOD /* the ones before it are fired by who does not flood */

static const struct {
	const char *name, *reason; /* under which it is dropped */
	enum kind kind;
	uint32_t sets, buckets, scale; /* value: units of 1/scale */
} metrics[METRICS] = {
	[TALLY] = { "stress.count", NULL, COUNTER, SETS, 1, 1 },
	[TIME] = { "stress.time", NULL, HISTOGRAM, SETS, OCTAVES, TIME_SCALE },
	[SIZE] = { "stress.size", NULL, HISTOGRAM, SETS, COUNT(size_bound) + 1, 1 },
	[NEGATIVE] = { "stress.count", "negative", DROPPED, 1, 1, 1 },
	[NOT_FINITE] = { "stress.time", "not_finite", DROPPED, 1, 1, 1 },
	[FLOOD] = { "stress.flood", NULL, COUNTER, FLOOD_KEYS, 1, 1 },
	[FLOOD_SIZE] = { "stress.flood.size", NULL, HISTOGRAM, FLOOD_SIZE_KEYS, OCTAVES, 1 },
};

static uint32_t first_of(enum metric metric)
{
	uint32_t first = 0;
	unsigned i;

	for (i = 0; i < metric; i++)
		first += metrics[i].sets * metrics[i].buckets;
	return first;
}

static uint32_t first_cell[METRICS];

/* The bucket of (2^(i-1), 2^i]. */
static uint32_t octave_of(uint64_t value)
{
	uint32_t i = 0;

	while (value > 1ull << i)
		i++;
	return i;
}

static uint32_t size_bucket(uint64_t value)
{
	uint32_t i = 0;

	while (i < COUNT(size_bound) && value > size_bound[i])
		i++;
	return i;
}

/* --- an event, and its account */

struct worker {
	struct thread *thread;
	pthread_t id;
	uint64_t random;
	char name[16];
};

static volatile const struct control *control;
static const char *process_name;
static struct worker workers[MAX_THREADS];

#define barrier() __asm__ volatile("" ::: "memory")

static void begin(struct thread *thread, enum metric metric, uint32_t set, uint32_t bucket, uint64_t value)
{
	thread->cell = first_cell[metric] + set * metrics[metric].buckets + bucket;
	thread->value = value;
	__atomic_store_n(&thread->state, FIRING, __ATOMIC_RELEASE);
	barrier();
}

static void book(struct thread *thread)
{
	struct cell *cell = &thread->cells[thread->cell];

	barrier();
	thread->count = cell->count + 1;
	thread->sum = cell->sum + thread->value;
	__atomic_store_n(&thread->state, BOOKING, __ATOMIC_RELEASE);
	cell->count = thread->count;
	cell->sum = thread->sum;
	__atomic_store_n(&thread->state, IDLE, __ATOMIC_RELEASE);
}

static uint64_t random_of(struct worker *worker)
{
	uint64_t x = worker->random += 0x9e3779b97f4a7c15ull; /* splitmix64 */

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* From 1, of all sizes, more often large; some are bounds of buckets. */
static uint64_t value_of(uint64_t r)
{
	static const uint64_t edge[] = { SIZE_BOUNDS, 1u << 8, 1u << 16, 1u << VALUE_BITS };
	uint64_t value = (r & ((1u << VALUE_BITS) - 1)) + 1;

	r >>= VALUE_BITS;
	if (r % 16 == 0)
		return edge[(r >> 4) % COUNT(edge)];
	return r % 4 ? value : ((value - 1) >> (r >> 4) % VALUE_BITS) + 1;
}

static void fire_count(struct worker *worker, uint64_t r, unsigned set)
{
	uint64_t value = value_of(r);

	begin(worker->thread, TALLY, set, 0, value);
	PROBEMETER_ADD(stress_count, (int64_t)value, region[set / COUNT(tier)], tier[set % COUNT(tier)]);
	book(worker->thread);
}

static void fire_time(struct worker *worker, uint64_t r, unsigned set)
{
	uint64_t value = value_of(r);

	begin(worker->thread, TIME, set, octave_of(value), value);
	PROBEMETER_RECORD(stress_time, (double)value / TIME_SCALE, region[set / COUNT(tier)], tier[set % COUNT(tier)]);
	book(worker->thread);
}

static void fire_size(struct worker *worker, uint64_t r, unsigned set)
{
	uint64_t value = value_of(r);

	begin(worker->thread, SIZE, set, size_bucket(value), value);
	PROBEMETER_RECORD(stress_size, (double)value, region[set / COUNT(tier)], tier[set % COUNT(tier)]);
	book(worker->thread);
}

static void fire_negative(struct worker *worker, uint64_t r, unsigned set)
{
	begin(worker->thread, NEGATIVE, 0, 0, 0);
	PROBEMETER_ADD(stress_count, -(int64_t)value_of(r), region[set / COUNT(tier)], tier[set % COUNT(tier)]);
	book(worker->thread);
}

static void fire_not_finite(struct worker *worker, uint64_t r, unsigned set)
{
	begin(worker->thread, NOT_FINITE, 0, 0, 0);
	PROBEMETER_RECORD(stress_time, r & 1 ? (double)NAN : (double)INFINITY, region[set / COUNT(tier)], tier[set % COUNT(tier)]);
	book(worker->thread);
}

/* Levels die with their process, so that who is killed between the two lines leaves nothing to be judged. */
static void fire_levels(struct worker *worker, uint64_t r, unsigned set)
{
	struct thread *thread = worker->thread;
	int64_t delta = (int64_t)(r >> 8 & 0xffff) - 0x7000;
	unsigned at = set / COUNT(tier);

	PROBEMETER_ADD(stress_open, delta, region[at]);
	thread->open[at] += delta;
	thread->share = delta;
	PROBEMETER_SET(stress_share, delta, worker->name);
	thread->latest = (int64_t)(r >> 16);
	PROBEMETER_SET(stress_latest, thread->latest, process_name, worker->name);
	thread->gauge = (double)delta / 8;
	PROBEMETER_SET(stress_gauge, thread->gauge, process_name, worker->name);
	thread->levels = 1;
}

static void fire_flood(struct worker *worker, uint64_t r, unsigned set)
{
	uint64_t value = value_of(r);
	char key[16];

	(void)set;
	if (r >> 60) {
		uint32_t n = (uint32_t)(r >> 40) % FLOOD_KEYS;

		(void)snprintf(key, sizeof(key), "key-%u", n);
		begin(worker->thread, FLOOD, n, 0, value);
		PROBEMETER_ADD(stress_flood, (int64_t)value, key);
	} else {
		uint32_t n = (uint32_t)(r >> 40) % FLOOD_SIZE_KEYS;

		(void)snprintf(key, sizeof(key), "key-%u", n);
		begin(worker->thread, FLOOD_SIZE, n, octave_of(value), value);
		PROBEMETER_RECORD(stress_flood_size, (double)value, key);
	}
	book(worker->thread);
}

static const struct {
	unsigned below; /* of 1000 */
	void (*fire)(struct worker *worker, uint64_t r, unsigned set);
} choices[] = {
	{ 400, fire_count }, { 650, fire_time }, { 900, fire_size }, { 902, fire_negative }, { 904, fire_not_finite },
	{ 1000, fire_levels },
};

/* --- threads that do as they are told */

static bool flooding;

static void nap(long ns)
{
	struct timespec time = { .tv_nsec = ns };

	(void)nanosleep(&time, NULL);
}

static void burst(struct worker *worker)
{
	unsigned i, choice;

	for (i = 0; i < BURST; i++) {
		uint64_t r = random_of(worker), dice = random_of(worker);

		for (choice = 0; dice % 1000 >= choices[choice].below; choice++)
			;
		if (flooding)
			fire_flood(worker, r, 0);
		else
			choices[choice].fire(worker, r, (unsigned)(dice >> 32) % SETS);
	}
}

static void *thread_main(void *context)
{
	struct worker *worker = context;
	uint32_t order;

	if (!flooding)
		fire_levels(worker, random_of(worker), 0);
	while (order = control->order, (order & 3) != END) {
		if ((order & 3) == REST) {
			__atomic_store_n(&worker->thread->rests, order, __ATOMIC_RELEASE);
			nap(5000000);
		} else if (flooding && !control->flood) {
			nap(5000000);
		} else {
			burst(worker);
			if (!control->hard)
				nap(10000000 + (long)(random_of(worker) % 20000000));
		}
	}
	return NULL;
}

/* --- the file */

static void *shared(const char *path, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *memory = fd < 0 || (size && ftruncate(fd, (off_t)size)) ?
			       MAP_FAILED :
			       mmap(NULL, size ? size : sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED) {
		perror(path);
		exit(1);
	}
	(void)close(fd);
	return memory;
}

static void print_texts(const char *name, const char *const *text, size_t count)
{
	size_t i;

	printf("\"%s\": [", name);
	for (i = 0; i < count; i++)
		printf("%s\"%s\"", i ? ", " : "", text[i]);
	printf("], ");
}

static void print_metric(enum metric metric)
{
	uint32_t i;

	printf("%s{\"name\": \"%s\", \"kind\": \"%s\", \"reason\": \"%s\", \"flood\": %s, \"first\": %u, \"sets\": %u, \"buckets\": %u, "
	       "\"scale\": %u, \"upper\": [", metric ? ", " : "", metrics[metric].name,
	       (const char *const[]){ "counter", "histogram", "dropped" }[metrics[metric].kind],
	       metrics[metric].reason ? metrics[metric].reason : "", metric < STEADY_METRICS ? "false" : "true", first_of(metric),
	       metrics[metric].sets, metrics[metric].buckets, metrics[metric].scale);
	for (i = 0; metrics[metric].kind == HISTOGRAM && i < metrics[metric].buckets; i++)
		if (metric != SIZE)
			printf("%s%llu", i ? ", " : "", 1ull << i);
		else if (i < COUNT(size_bound))
			printf("%llu, ", (unsigned long long)size_bound[i]);
		else
			printf("null");
	printf("]}");
}

static void describe(void)
{
	static const struct {
		const char *name;
		size_t at;
	} field[] = {
#define FIELD(name) { #name, offsetof(struct thread, name) }
		FIELD(state), FIELD(cell), FIELD(value), FIELD(count), FIELD(sum), FIELD(rests), FIELD(levels), FIELD(open), FIELD(share),
		FIELD(latest), FIELD(gauge), FIELD(cells),
	};
	unsigned i;

	printf("{");
	print_texts("region", region, COUNT(region));
	print_texts("tier", tier, COUNT(tier));
	printf("\"key\": \"key-%%d\", \"rest\": %d, \"run\": %d, \"end\": %d, \"firing\": %d, \"booking\": %d, \"field\": {", REST, RUN, END,
	       FIRING, BOOKING);
	for (i = 0; i < COUNT(field); i++)
		printf("%s\"%s\": %zu", i ? ", " : "", field[i].name, field[i].at);
	printf("}, \"metric\": [");
	for (i = 0; i < METRICS; i++)
		print_metric(i);
	printf("]}\n");
}

int main(int argc, char **argv)
{
	unsigned long threads = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	struct truth *truth;
	size_t stride, i;

	if (argc == 2 && !strcmp(argv[1], "--describe")) {
		describe();
		return 0;
	}
	if (argc < 6 || !threads || threads > MAX_THREADS) {
		fprintf(stderr, "usage: stress --describe\n       stress CONTROL TRUTH PROCESS THREADS SEED [flood]\n");
		return 2;
	}
	flooding = argc > 6;
	process_name = argv[3];
	for (i = 0; i < METRICS; i++)
		first_cell[i] = first_of(i);
	stride = sizeof(struct thread) + sizeof(struct cell) * first_of(flooding ? METRICS : STEADY_METRICS);
	stride = (stride + 63) / 64 * 64;
	control = shared(argv[1], 0);
	truth = shared(argv[2], 64 + threads * stride);
	truth->stride = stride;
	truth->first = 64;
	truth->threads = threads; /* last: who reads it finds the rest */
	for (i = 0; i < threads; i++) {
		struct worker *worker = &workers[i];

		worker->thread = (struct thread *)((char *)truth + 64 + i * stride);
		worker->random = strtoull(argv[5], NULL, 10) << 16 ^ i;
		(void)snprintf(worker->name, sizeof(worker->name), "t%zu", i);
		if (pthread_create(&worker->id, NULL, thread_main, worker)) {
			perror("pthread_create");
			return 1;
		}
	}
	for (i = 0; i < threads; i++)
		(void)pthread_join(workers[i].id, NULL);
	return 0;
}
