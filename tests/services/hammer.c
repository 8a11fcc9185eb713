/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hammer - fires every kind of metric from many threads and keeps its own count of all of it.
 *
 * Commands come on stdin, one per line; each is answered by one line of JSON on stdout:
 *
 *   fire ROUNDS              every thread fires each metric ROUNDS times; the answer is the truth so far
 *   run                      every thread fires until `halt`, whose answer is the truth so far
 *   flood FIRST COUNT TIMES  TIMES events on each of COUNT label sets of one counter, the threads side by side
 *   burst COUNT              each thread: one event on each of COUNT label sets of each of ten counters
 *   bad TIMES                so many events of each kind that must be dropped, and as many good ones
 *   edges                    the ends of what a double can be, once each
 *   enabled                  is somebody listening, of each kind
 *
 * hammer [--threads N] [--seed N] [--fire ROUNDS]: --fire does so before anything else, as the first thing in main().
 *
 * The truth takes nothing from probemeter: buckets come from frexp() and comparisons of its parts, sums are long double.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Hammer"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(hammer_count_none, "hammer.count.none", "{event}", "No label")
PROBEMETER_COUNTER(hammer_count_one, "hammer.count.one", "{event}", "One label", "region")
PROBEMETER_COUNTER(hammer_count_two, "hammer.count.two", "{event}", "Two labels", "region", "tier")
PROBEMETER_COUNTER(hammer_count_three, "hammer.count.three", "{event}", "Three labels", "region", "tier", "shape")
PROBEMETER_COUNTER(hammer_count_four, "hammer.count.four", "{event}", "Four labels", "region", "tier", "shape", "node")
PROBEMETER_HISTOGRAM(hammer_time, "hammer.time", "s", "Default bounds of seconds, no label")
PROBEMETER_HISTOGRAM(hammer_size, "hammer.size", "{byte}", "Default bounds of counts, two labels", "region", "tier")
#define TIGHT 0.001, 0.25, 1, 1.5, 10, 1000, 1e6
#define SIGNED -100, -1.5, 0, 0.1, 7
PROBEMETER_HISTOGRAM_BOUNDS(hammer_tight, "hammer.tight", "s", "Declared bounds, three labels", (TIGHT), "region", "tier",
			    "shape")
PROBEMETER_HISTOGRAM_BOUNDS(hammer_signed, "hammer.signed", "1", "Declared bounds about zero, one label", (SIGNED), "region")
PROBEMETER_UPDOWNCOUNTER(hammer_open, "hammer.open", "{event}", "Only added to, two labels", "region", "tier")
PROBEMETER_UPDOWNCOUNTER(hammer_share, "hammer.share", "{event}", "Set by each thread, then added to", "thread")
PROBEMETER_UPDOWNCOUNTER_LATEST(hammer_latest, "hammer.latest", "{event}", "Set by each thread", "process", "thread")
PROBEMETER_GAUGE(hammer_gauge, "hammer.gauge", "1", "Set by each thread", "process", "thread")
PROBEMETER_COUNTER(hammer_flood, "hammer.flood", "{event}", "As many label sets as asked for", "key")
PROBEMETER_COUNTER(hammer_negative, "hammer.negative", "{event}", "Now and then negative", "region")
PROBEMETER_HISTOGRAM(hammer_infinite, "hammer.infinite", "s", "Now and then not finite", "region")
PROBEMETER_HISTOGRAM_BOUNDS(hammer_edges, "hammer.edges", "1", "The ends of what a double can be", (0, 1e-300, 1, 1e300))

#define BURSTS(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9)
#define BURST_DECLARE(n) \
	PROBEMETER_COUNTER(hammer_burst_##n, "hammer.burst." #n, "{event}", "New series at once", "key", "path")
BURSTS(BURST_DECLARE)

#define MAX_THREADS 64

static const char *const region[] = { "eu-west", "us-east", "", "ap-south-1" };
static const char *const tier[] = { "free", "premium", "a tier with a name longer than sixteen bytes" };
static const char *const shape[] = { "round", "\xc3\xbc" "nrund" };
static const char *const node[] = { "n1", "n2", "n3", "n4", "n5" };
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const double tight[] = { TIGHT }, signed_bounds[] = { SIGNED };

/* --- the truth */

enum metric { NONE, ONE, TWO, THREE, FOUR, TIME, SIZE, TIGHTLY, SIGNEDLY, OPEN, METRICS };

static const struct {
	const char *name;
	unsigned labels;
	const double *bound; /* of a histogram that declares them */
	unsigned bounds;
} metrics[METRICS] = {
	[NONE] = { "hammer.count.none", 0, NULL, 0 },
	[ONE] = { "hammer.count.one", 1, NULL, 0 },
	[TWO] = { "hammer.count.two", 2, NULL, 0 },
	[THREE] = { "hammer.count.three", 3, NULL, 0 },
	[FOUR] = { "hammer.count.four", 4, NULL, 0 },
	[TIME] = { "hammer.time", 0, NULL, 0 },
	[SIZE] = { "hammer.size", 2, NULL, 0 },
	[TIGHTLY] = { "hammer.tight", 3, tight, COUNT(tight) },
	[SIGNEDLY] = { "hammer.signed", 1, signed_bounds, COUNT(signed_bounds) },
	[OPEN] = { "hammer.open", 2, NULL, 0 },
};

#define LOWEST_OCTAVE (-64)
#define OCTAVES 128

/* One series of one thread. */
struct tally {
	uint64_t events;
	int64_t total; /* counters, up-down counters */
	long double sum;
	uint64_t octave[OCTAVES]; /* [i]: values in (2^(i-1), 2^i], i counted from LOWEST_OCTAVE */
	uint64_t not_positive;
	uint64_t bucket[8];
};

#define SETS_1 COUNT(region)
#define SETS_2 (SETS_1 * COUNT(tier))
#define SETS_3 (SETS_2 * COUNT(shape))
#define SETS_4 (SETS_3 * COUNT(node))
static const unsigned sets[] = { 1, SETS_1, SETS_2, SETS_3, SETS_4 };

struct thread {
	pthread_t id;
	unsigned number;
	char name[16];
	uint64_t random;
	struct tally *tally[METRICS];
	int64_t share, latest;
	double gauge;
	/* What it is to do. */
	void (*work)(struct thread *thread);
	unsigned long argument[3];
	uint64_t done;
};

static struct thread threads[MAX_THREADS];
static unsigned thread_count = 4;
static volatile bool halt;
static char process_name[16];

/* Compare by sign, exponent and mantissa as frexp() gives them. */
static bool above(double value, double bound)
{
	int value_exponent, bound_exponent;
	double value_mantissa = frexp(value, &value_exponent), bound_mantissa = frexp(bound, &bound_exponent);
	int value_sign = (value_mantissa > 0) - (value_mantissa < 0), bound_sign = (bound_mantissa > 0) - (bound_mantissa < 0);

	if (value_sign != bound_sign || !value_sign)
		return value_sign > bound_sign;
	if (value_exponent != bound_exponent)
		return (value_exponent > bound_exponent) == (value_sign > 0);
	return value_mantissa > bound_mantissa;
}

/* The smallest power of two that is not below @value > 0. */
static int octave_of(double value)
{
	int exponent;

	return frexp(value, &exponent) == 0.5 ? exponent - 1 : exponent;
}

static void count_value(struct tally *tally, enum metric metric, double value)
{
	unsigned i;

	tally->events++;
	tally->sum += value;
	if (metrics[metric].bounds) {
		for (i = 0; i < metrics[metric].bounds && above(value, metrics[metric].bound[i]); i++)
			;
		tally->bucket[i]++;
	} else if (value > 0) {
		tally->octave[octave_of(value) - LOWEST_OCTAVE]++;
	} else {
		tally->not_positive++;
	}
}

static void count_integer(struct tally *tally, int64_t n)
{
	tally->events++;
	tally->total += n;
}

/* --- stimulus */

static uint64_t random_next(struct thread *thread)
{
	/* splitmix64 */
	uint64_t z = thread->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* From 2^-40 to 2^40; every fourth one a power of two, a declared bound, or the value next to one of those. */
static double random_value(struct thread *thread)
{
	uint64_t r = random_next(thread);
	int exponent = (int)(r >> 8 & 0xffff) % 81 - 40;
	double value = ldexp(1 + ldexp((double)(r >> 24), -40), exponent);

	switch (r & 15) {
	case 0:
		return ldexp(1, exponent);
	case 1:
		return nextafter(ldexp(1, exponent), r & 16 ? 0 : INFINITY);
	case 2:
		return tight[(r >> 8) % COUNT(tight)];
	case 3:
		return nextafter(tight[(r >> 8) % COUNT(tight)], r & 16 ? 0 : INFINITY);
	default:
		return value;
	}
}

static double random_signed(struct thread *thread)
{
	uint64_t r = random_next(thread);
	double bound = signed_bounds[(r >> 8) % COUNT(signed_bounds)];

	switch (r & 7) {
	case 0:
		return bound;
	case 1:
		return nextafter(bound, r & 16 ? -INFINITY : INFINITY);
	case 2:
		return r & 16 ? -0.0 : 0.0;
	default:
		return (r & 16 ? -1 : 1) * random_value(thread);
	}
}

static void fire(struct thread *thread)
{
	unsigned long rounds = thread->argument[0], i;

	for (i = 0; rounds ? i < rounds : !halt; i++) {
		uint64_t r = random_next(thread);
		unsigned a = (unsigned)(r & 0xff) % COUNT(region), b = (unsigned)(r >> 8 & 0xff) % COUNT(tier),
			 c = (unsigned)(r >> 16 & 0xff) % COUNT(shape), d = (unsigned)(r >> 24 & 0xff) % COUNT(node),
			 two = a * COUNT(tier) + b, three = two * COUNT(shape) + c, four = three * COUNT(node) + d;
		int64_t n = (int64_t)(r >> 32 & 0xf), delta = n - 7;
		double value;

		/* From small numbers to some beyond 32 bits; and zero. */
		if (!(r >> 36 & 0xff))
			n <<= 30;
		PROBEMETER_ADD(hammer_count_none, n);
		count_integer(&thread->tally[NONE][0], n);
		PROBEMETER_ADD(hammer_count_one, 1, region[a]);
		count_integer(&thread->tally[ONE][a], 1);
		PROBEMETER_ADD(hammer_count_two, n, region[a], tier[b]);
		count_integer(&thread->tally[TWO][two], n);
		PROBEMETER_ADD(hammer_count_three, n + 1, region[a], tier[b], shape[c]);
		count_integer(&thread->tally[THREE][three], n + 1);
		PROBEMETER_ADD(hammer_count_four, 1, region[a], tier[b], shape[c], node[d]);
		count_integer(&thread->tally[FOUR][four], 1);
		value = random_value(thread);
		PROBEMETER_RECORD(hammer_time, value);
		count_value(&thread->tally[TIME][0], TIME, value);
		value = r >> 44 & 0xf ? random_value(thread) : 0;
		PROBEMETER_RECORD(hammer_size, value, region[a], tier[b]);
		count_value(&thread->tally[SIZE][two], SIZE, value);
		value = random_value(thread);
		PROBEMETER_RECORD(hammer_tight, value, region[a], tier[b], shape[c]);
		count_value(&thread->tally[TIGHTLY][three], TIGHTLY, value);
		value = random_signed(thread);
		PROBEMETER_RECORD(hammer_signed, value, region[a]);
		count_value(&thread->tally[SIGNEDLY][a], SIGNEDLY, value);
		PROBEMETER_ADD(hammer_open, delta, region[a], tier[b]);
		count_integer(&thread->tally[OPEN][two], delta);
		PROBEMETER_SET(hammer_share, delta, thread->name);
		PROBEMETER_ADD(hammer_share, 3, thread->name);
		thread->share = delta + 3;
		thread->latest = (int64_t)(r >> 8);
		PROBEMETER_SET(hammer_latest, thread->latest, process_name, thread->name);
		thread->gauge = value;
		PROBEMETER_SET(hammer_gauge, thread->gauge, process_name, thread->name);
		thread->done++;
	}
}

static void flood(struct thread *thread)
{
	unsigned long first = thread->argument[0], count = thread->argument[1], times = thread->argument[2], i, k;
	char key[32];

	for (k = 0; k < times; k++)
		for (i = thread->number; i < count; i += thread_count) {
			(void)snprintf(key, sizeof(key), "key-%lu", first + i);
			PROBEMETER_ADD(hammer_flood, 1, key);
			thread->done++;
		}
}

static void burst(struct thread *thread)
{
	static const char path[] = "/a/path/that/takes/more/than/one/piece/of/a/name/because/it/is/longer/than/63/bytes";
	unsigned long count = thread->argument[0], i;
	char key[32];

	/* Every thread names every series, each thread from another start: all of them make series all the time, and some of
	 * them the same one at the same time. */
	for (i = 0; i < count; i++) {
		(void)snprintf(key, sizeof(key), "burst-%lu", (i + thread->number / 2 * (count / thread_count)) % count);
#define BURST_FIRE(n) PROBEMETER_ADD(hammer_burst_##n, 1, key, path);
		BURSTS(BURST_FIRE)
		thread->done++;
	}
}

static void *thread_main(void *context)
{
	struct thread *thread = context;

	thread->work(thread);
	return NULL;
}

static void threads_start(void (*work)(struct thread *thread), unsigned long a, unsigned long b, unsigned long c)
{
	unsigned i;

	halt = false;
	for (i = 0; i < thread_count; i++) {
		threads[i].work = work;
		threads[i].argument[0] = a;
		threads[i].argument[1] = b;
		threads[i].argument[2] = c;
		threads[i].done = 0;
		if (pthread_create(&threads[i].id, NULL, thread_main, &threads[i])) {
			perror("pthread_create");
			exit(1);
		}
	}
}

/* What they did together. */
static uint64_t threads_join(void)
{
	uint64_t done = 0;
	unsigned i;

	for (i = 0; i < thread_count; i++) {
		(void)pthread_join(threads[i].id, NULL);
		done += threads[i].done;
	}
	return done;
}

static uint64_t all_threads(void (*work)(struct thread *thread), unsigned long a, unsigned long b, unsigned long c)
{
	threads_start(work, a, b, c);
	return threads_join();
}

/* --- answers */

static void print_numbers(const char *name, const uint64_t *number, unsigned count)
{
	unsigned i;

	printf(", \"%s\": [", name);
	for (i = 0; i < count; i++)
		printf("%s%llu", i ? ", " : "", (unsigned long long)number[i]);
	printf("]");
}

static void print_series(enum metric metric, unsigned set)
{
	unsigned labels = metrics[metric].labels, rest = set, index[4] = { 0 }, i, t;
	struct tally all = { 0 };
	const char *value[4];

	for (t = 0; t < thread_count; t++) {
		const struct tally *tally = &threads[t].tally[metric][set];

		all.events += tally->events;
		all.total += tally->total;
		all.sum += tally->sum;
		all.not_positive += tally->not_positive;
		for (i = 0; i < OCTAVES; i++)
			all.octave[i] += tally->octave[i];
		for (i = 0; i < COUNT(all.bucket); i++)
			all.bucket[i] += tally->bucket[i];
	}
	if (!all.events && labels)
		return;
	if (labels > 3)
		index[3] = rest % COUNT(node), rest /= COUNT(node);
	if (labels > 2)
		index[2] = rest % COUNT(shape), rest /= COUNT(shape);
	if (labels > 1)
		index[1] = rest % COUNT(tier), rest /= COUNT(tier);
	index[0] = rest;
	value[0] = region[index[0]], value[1] = tier[index[1]], value[2] = shape[index[2]], value[3] = node[index[3]];
	printf(", {\"metric\": \"%s\", \"labels\": [", metrics[metric].name);
	for (i = 0; i < labels; i++)
		printf("%s\"%s\"", i ? ", " : "", value[i]);
	printf("], \"events\": %llu, \"total\": %lld, \"sum\": \"%.21Lg\"", (unsigned long long)all.events,
	       (long long)all.total, all.sum);
	if (metrics[metric].bounds)
		print_numbers("buckets", all.bucket, metrics[metric].bounds + 1);
	else if (metric == TIME || metric == SIZE)
		print_numbers("octaves", all.octave, OCTAVES);
	printf(", \"not_positive\": %llu}", (unsigned long long)all.not_positive);
}

static void print_truth(void)
{
	unsigned metric, set, t;

	printf("{\"pid\": %d, \"lowest_octave\": %d, \"series\": [null", getpid(), LOWEST_OCTAVE);
	for (metric = 0; metric < METRICS; metric++)
		for (set = 0; set < sets[metrics[metric].labels]; set++)
			print_series(metric, set);
	printf("], \"threads\": [");
	for (t = 0; t < thread_count; t++)
		printf("%s{\"process\": \"%s\", \"thread\": \"%s\", \"share\": %lld, \"latest\": %lld, \"gauge\": %.17g}",
		       t ? ", " : "", process_name, threads[t].name, (long long)threads[t].share,
		       (long long)threads[t].latest, threads[t].gauge);
	printf("]}\n");
}

static void bad(unsigned long times)
{
	unsigned long i;

	for (i = 0; i < times; i++) {
		PROBEMETER_ADD(hammer_negative, 2, "eu-west");
		PROBEMETER_ADD(hammer_negative, -1, "eu-west");
		PROBEMETER_ADD(hammer_negative, INT64_MIN, "us-east");
		PROBEMETER_RECORD(hammer_infinite, 0.5, "eu-west");
		PROBEMETER_RECORD(hammer_infinite, (double)NAN, "eu-west");
		PROBEMETER_RECORD(hammer_infinite, -(double)NAN, "us-east");
		PROBEMETER_RECORD(hammer_infinite, (double)INFINITY, "eu-west");
		PROBEMETER_RECORD(hammer_tight, -(double)INFINITY, "bad", "bad", "bad");
		PROBEMETER_RECORD(hammer_tight, (double)NAN, "bad", "bad", "bad");
	}
	printf("{\"hammer.negative\": {\"good\": %lu, \"negative\": %lu}, "
	       "\"hammer.infinite\": {\"good\": %lu, \"not_finite\": %lu}, \"hammer.tight\": {\"good\": 0, \"not_finite\": %lu}}\n",
	       times, 2 * times, times, 3 * times, 2 * times);
}

/* Buckets of hammer.edges: (.., 0] (0, 1e-300] (1e-300, 1] (1, 1e300] (1e300, ..) */
static void edges(void)
{
	static const struct {
		double value;
		unsigned bucket;
	} edge[] = {
		{ -DBL_MAX, 0 }, { -1, 0 }, { -DBL_TRUE_MIN, 0 }, { -0.0, 0 }, { 0.0, 0 },
		{ DBL_TRUE_MIN, 1 }, { DBL_MIN, 1 }, { 1e-300, 1 }, { 0x1p-996, 2 }, { 1, 2 },
		{ 1 + DBL_EPSILON, 3 }, { 0x1p63, 3 }, { 0x1p64, 3 }, { 1e300, 3 }, { 0x1p1023, 4 }, { DBL_MAX, 4 },
	};
	uint64_t bucket[5] = { 0 };
	size_t i;

	for (i = 0; i < COUNT(edge); i++) {
		PROBEMETER_RECORD(hammer_edges, edge[i].value);
		bucket[edge[i].bucket]++;
	}
	printf("{\"metric\": \"hammer.edges\"");
	print_numbers("buckets", bucket, COUNT(bucket));
	printf("}\n");
}

static int enabled(void)
{
	return PROBEMETER_ENABLED(hammer_count_none) && PROBEMETER_ENABLED(hammer_count_four) &&
	       PROBEMETER_ENABLED(hammer_time) && PROBEMETER_ENABLED(hammer_tight) && PROBEMETER_ENABLED(hammer_burst_9);
}

static int obey(char *line)
{
	char verb[16];
	unsigned long a = 0, b = 0, c = 0;
	uint64_t done;

	if (sscanf(line, "%15s %lu %lu %lu", verb, &a, &b, &c) < 1)
		return -EINVAL;
	if (!strcmp(verb, "fire")) {
		(void)all_threads(fire, a ? a : 1, 0, 0);
		print_truth();
	} else if (!strcmp(verb, "run")) {
		threads_start(fire, 0, 0, 0);
		printf("{\"running\": true}\n");
	} else if (!strcmp(verb, "halt")) {
		halt = true;
		(void)threads_join();
		print_truth();
	} else if (!strcmp(verb, "flood")) {
		done = all_threads(flood, a, b, c);
		printf("{\"events\": %llu}\n", (unsigned long long)done);
	} else if (!strcmp(verb, "burst")) {
		done = all_threads(burst, a, 0, 0);
		printf("{\"events\": %llu, \"metrics\": 10}\n", (unsigned long long)done);
	} else if (!strcmp(verb, "bad")) {
		bad(a);
	} else if (!strcmp(verb, "edges")) {
		edges();
	} else if (!strcmp(verb, "enabled")) {
		printf("{\"enabled\": %s}\n", enabled() ? "true" : "false");
	} else {
		return -EINVAL;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long at_once = 0, seed = 1;
	unsigned i, metric;
	char line[128];

	for (i = 1; i + 1 < (unsigned)argc; i += 2) {
		if (!strcmp(argv[i], "--threads"))
			thread_count = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--seed"))
			seed = strtoul(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--fire"))
			at_once = strtoul(argv[i + 1], NULL, 10);
		else
			break;
	}
	if (i < (unsigned)argc || !thread_count || thread_count > MAX_THREADS) {
		fprintf(stderr, "usage: hammer [--threads 1..%d] [--seed N] [--fire ROUNDS]\n", MAX_THREADS);
		return 2;
	}
	(void)setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	(void)snprintf(process_name, sizeof(process_name), "p%d", getpid());
	for (i = 0; i < thread_count; i++) {
		threads[i].number = i;
		(void)snprintf(threads[i].name, sizeof(threads[i].name), "t%u", i);
		threads[i].random = seed << 32 | i;
		for (metric = 0; metric < METRICS; metric++) {
			threads[i].tally[metric] = calloc(sets[metrics[metric].labels], sizeof(struct tally));
			if (!threads[i].tally[metric])
				return 1;
		}
	}
	if (at_once) {
		(void)all_threads(fire, at_once, 0, 0);
		print_truth();
	}
	printf("{\"ready\": %d}\n", getpid());
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (obey(line))
			printf("{\"error\": \"what is that?\"}\n");
		(void)fflush(stdout);
	}
	return 0;
}
