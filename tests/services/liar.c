/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liar - a service that fires its stubs with label hashes and label pointers that are not those of its labels, or, told so,
 * an honest one with the same metrics.
 *
 * Commands come on stdin, each is answered by one line of JSON on stdout with the events fired of each metric:
 *
 *   honest FIRST COUNT TIMES  TIMES events on each of the hosts FIRST to FIRST + COUNT - 1, by the macros
 *   equal COUNT TIMES         the hash of host 0 with the labels of each of COUNT hosts
 *   others COUNT TIMES        the hash of each of COUNT hosts with the labels of the next one
 *   same COUNT TIMES          COUNT random hashes, all with the labels of host 0
 *   special TIMES             hashes that code likes to take for something else: 0, 1, all ones, the seed
 *   unmapped COUNT TIMES      COUNT random hashes with labels where there is no memory
 *   kernel COUNT TIMES        the same with addresses of the kernel's
 *   random COUNT              one event on each of COUNT random hashes, each with labels of its own
 *   bad TIMES                 so many events with values that must be dropped, under forged hashes
 *   flood COUNT               one event on each of COUNT random hashes of each of twenty more counters
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Liar"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(liar_count, "liar.count", "{event}", "Events", "host", "region")
PROBEMETER_HISTOGRAM(liar_time, "liar.time", "s", "Values", "host", "region")
PROBEMETER_HISTOGRAM_BOUNDS(liar_size, "liar.size", "By", "Values at a bound", (1, 10, 100), "host", "region")

#define FLOODS(f) \
	f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15) f(16) f(17) f(18) f(19)
#define FLOOD_DECLARE(n) PROBEMETER_COUNTER(liar_flood_##n, "liar.flood." #n, "{event}", "Many", "host", "region")
FLOODS(FLOOD_DECLARE)

#define REGION "eu"

static unsigned long fired_count, fired_time, fired_size, fired_flood;
static uint64_t seed;

static uint64_t random64(void)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static const char *host(unsigned long number)
{
	static char name[2][32];
	static unsigned turn;

	turn ^= 1;
	(void)snprintf(name[turn], sizeof(name[turn]), "host-%04lu", number);
	return name[turn];
}

static uint64_t hash_of(const char *label1, const char *label2)
{
	return PROBEMETER_HASH_2;
}

static void honest(const char *name, unsigned long times)
{
	unsigned long i;

	for (i = 0; i < times; i++) {
		PROBEMETER_ADD(liar_count, 1, name, REGION);
		PROBEMETER_RECORD(liar_time, 0.25, name, REGION);
		PROBEMETER_RECORD(liar_size, 10, name, REGION);
	}
	fired_count += times;
	fired_time += times;
	fired_size += times;
}

/* What the macros call, with a hash of one's own. */
static void lie(uint64_t hash, const char *label1, const char *label2, unsigned long times)
{
	unsigned long i;

	for (i = 0; i < times; i++) {
		probemeter_stub_liar_count(1, hash, label1, label2);
		probemeter_stub_liar_time(probemeter_bits_(0.25), hash, label1, label2);
		probemeter_stub_liar_size(probemeter_bits_(10), hash, label1, label2);
	}
	fired_count += times;
	fired_time += times;
	fired_size += times;
}

static void special(unsigned long times)
{
	const uint64_t hash[] = { 0, 1, UINT64_MAX, PROBEMETER_HASH_SEED, UINT64_C(1) << 63, UINT64_C(1) << 32 };
	unsigned long i;

	for (i = 0; i < sizeof(hash) / sizeof(hash[0]); i++)
		lie(hash[i], host(i), REGION, times);
}

/* Nothing is there: below the first mapping, outside of what an address can be, right behind the last one. */
static void unmapped(unsigned long count, unsigned long times)
{
	const uintptr_t nowhere[] = { 8, 0xfff, UINT64_C(0x0000800000000000), UINT64_C(0x00007ffffffff000),
				      UINT64_C(0xdead000000000000) };
	const char *at;
	unsigned long i;

	for (i = 0; i < count; i++) {
		at = (const char *)nowhere[i % (sizeof(nowhere) / sizeof(nowhere[0]))];
		lie(random64(), at, at, times);
	}
}

static void kernel(unsigned long count, unsigned long times)
{
	const uintptr_t inside[] = { UINT64_C(0xffff888000000000), UINT64_C(0xffffffff81000000), UINT64_C(0xffffffffff600000),
				     UINT64_MAX };
	const char *at;
	unsigned long i;

	for (i = 0; i < count; i++) {
		at = (const char *)inside[i % (sizeof(inside) / sizeof(inside[0]))];
		lie(random64(), at, REGION, times);
	}
}

static void bad(unsigned long times)
{
	unsigned long i;

	for (i = 0; i < times; i++) {
		uint64_t hash = random64();

		probemeter_stub_liar_count((uint64_t)-5, hash, host(0), REGION);
		probemeter_stub_liar_time(probemeter_bits_(NAN), hash, host(0), REGION);
		probemeter_stub_liar_size(probemeter_bits_(-INFINITY), hash, host(0), REGION);
	}
	fired_count += times;
	fired_time += times;
	fired_size += times;
}

static void flood(unsigned long count)
{
	unsigned long i;

	for (i = 0; i < count; i++) {
#define FLOOD_FIRE(n) probemeter_stub_liar_flood_##n(1, random64(), host(i), REGION);
		FLOODS(FLOOD_FIRE)
		fired_flood += 20;
	}
}

static int obey(const char *verb, unsigned long a, unsigned long b, unsigned long c)
{
	unsigned long i;

	if (!strcmp(verb, "honest"))
		for (i = a; i < a + b; i++)
			honest(host(i), c);
	else if (!strcmp(verb, "equal"))
		for (i = 0; i < a; i++)
			lie(hash_of("host-0000", REGION), host(i), REGION, b);
	else if (!strcmp(verb, "others"))
		for (i = 0; i < a; i++)
			lie(hash_of(host(i), REGION), host(i + 1), REGION, b);
	else if (!strcmp(verb, "same"))
		for (i = 0; i < a; i++)
			lie(random64(), host(0), REGION, b);
	else if (!strcmp(verb, "special"))
		special(a);
	else if (!strcmp(verb, "unmapped"))
		unmapped(a, b);
	else if (!strcmp(verb, "kernel"))
		kernel(a, b);
	else if (!strcmp(verb, "random"))
		for (i = 0; i < a; i++)
			lie(random64(), host(i), REGION, 1);
	else if (!strcmp(verb, "bad"))
		bad(a);
	else if (!strcmp(verb, "flood"))
		flood(a);
	else
		return 1;
	return 0;
}

int main(void)
{
	char line[128], verb[16];
	unsigned long a, b, c;

	seed = (uint64_t)getpid();
	printf("{\"ready\": %d}\n", getpid());
	while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin)) {
		a = b = c = 0;
		fired_count = fired_time = fired_size = fired_flood = 0;
		if (sscanf(line, "%15s %lu %lu %lu", verb, &a, &b, &c) < 1 || obey(verb, a, b, c))
			return 2;
		printf("{\"liar.count\": %lu, \"liar.time\": %lu, \"liar.size\": %lu, \"liar.flood\": %lu}\n", fired_count, fired_time,
		       fired_size, fired_flood);
	}
	return 0;
}
