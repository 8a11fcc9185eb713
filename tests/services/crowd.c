/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crowd - a service with as many label sets as it is told, and one that measures what its own events cost.
 *
 * Commands on stdin, each answered by one line of JSON:
 *
 *   sets FIRST COUNT TIMES   fire every metric with label sets FIRST .. FIRST + COUNT - 1, TIMES each
 *   flood COUNT              COUNT events of crowd.count, a label set of its own each
 *   octaves COUNT            COUNT values of crowd.time, each in another bucket, in one series
 *   pace ROUNDS EVENTS       EVENTS events of one label set, ROUNDS times: CPU time of each round in ns per event
 *   negative                 what cannot be counted: a negative number, a NaN
 *
 * Label set n is (user-n, route-(n mod 7), GET or PUT).
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROBEMETER_SCOPE "Crowd"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(crowd_count, "crowd.count", "{event}", "Events", "user", "route", "method")
PROBEMETER_COUNTER(crowd_unwanted, "crowd.unwanted", "{event}", "Events that nobody wants", "user")
PROBEMETER_HISTOGRAM(crowd_unwanted_time, "crowd.unwanted.time", "s", "Times that nobody wants")
PROBEMETER_HISTOGRAM(crowd_time, "crowd.time", "s", "Times", "user", "route")
PROBEMETER_HISTOGRAM_BOUNDS(crowd_size, "crowd.size", "{byte}", "Sizes", (1, 2), "route", "user")
PROBEMETER_UPDOWNCOUNTER(crowd_open, "crowd.open", "{event}", "Open", "user", "route")
PROBEMETER_UPDOWNCOUNTER_LATEST(crowd_latest, "crowd.latest", "{event}", "Latest", "route", "user")
PROBEMETER_GAUGE(crowd_gauge, "crowd.gauge", "1", "Gauge", "user")
PROBEMETER_UPDOWNCOUNTER(crowd_unwanted_open, "crowd.unwanted.open", "{event}", "Open, and nobody cares")

struct set {
	char user[32], route[32];
	const char *method;
};

static struct set set_of(unsigned long n)
{
	struct set set = { .method = n % 2 ? "PUT" : "GET" };

	(void)snprintf(set.user, sizeof(set.user), "user-%lu", n);
	(void)snprintf(set.route, sizeof(set.route), "route-%lu", n % 7);
	return set;
}

static void sets(unsigned long first, unsigned long count, unsigned long times)
{
	unsigned long n, t;

	for (t = 0; t < times; t++)
		for (n = first; n < first + count; n++) {
			struct set set = set_of(n);

			PROBEMETER_ADD(crowd_count, 1 + n % 3, set.user, set.route, set.method);
			PROBEMETER_RECORD(crowd_time, 0.25 * (double)(1 + n % 4), set.user, set.route);
			PROBEMETER_RECORD(crowd_size, (double)(n % 3) + 0.5, set.route, set.user);
			PROBEMETER_ADD(crowd_open, 1, set.user, set.route);
			PROBEMETER_SET(crowd_latest, n, set.route, set.user);
			PROBEMETER_SET(crowd_gauge, (double)n, set.user);
			PROBEMETER_ADD(crowd_unwanted, 1, set.user);
			PROBEMETER_RECORD(crowd_unwanted_time, 1);
			PROBEMETER_ADD(crowd_unwanted_open, 1);
		}
	printf("{\"sets\": %lu}\n", count * times);
}

static void flood(unsigned long count)
{
	unsigned long n;

	for (n = 0; n < count; n++) {
		struct set set = set_of(n);

		PROBEMETER_ADD(crowd_count, 1, set.user, set.route, set.method);
	}
	printf("{\"events\": %lu}\n", count);
}

/* 1.1 * 2^-500, 1.5 * 2^-500, 1.1 * 2^-499, ...: each in another eighth of an octave. */
static void octaves(unsigned long count)
{
	unsigned long n;

	for (n = 0; n < count; n++)
		PROBEMETER_RECORD(crowd_time, ldexp(n % 2 ? 1.5 : 1.1, (int)(n / 2) - 500), "octaves", "all");
	printf("{\"events\": %lu}\n", count);
}

static double cpu_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void pace(unsigned long rounds, unsigned long events)
{
	unsigned long i;

	printf("{\"events\": %lu, \"ns\": [", rounds * events);
	while (rounds--) {
		double start = cpu_ns();

		for (i = 0; i < events; i++)
			PROBEMETER_ADD(crowd_count, 1, "steady", "route-0", "GET");
		printf("%.1f%s", (cpu_ns() - start) / (double)events, rounds ? ", " : "");
	}
	printf("]}\n");
}

static int obey(const char *line)
{
	char verb[16];
	unsigned long a = 0, b = 0, c = 0;

	if (sscanf(line, "%15s %lu %lu %lu", verb, &a, &b, &c) < 1)
		return -EINVAL;
	if (!strcmp(verb, "sets")) {
		sets(a, b, c);
	} else if (!strcmp(verb, "flood")) {
		flood(a);
	} else if (!strcmp(verb, "octaves")) {
		octaves(a);
	} else if (!strcmp(verb, "pace")) {
		pace(a, b);
	} else if (!strcmp(verb, "negative")) {
		PROBEMETER_ADD(crowd_count, -1, "user", "route", "GET");
		PROBEMETER_RECORD(crowd_time, (double)NAN, "user", "route");
		printf("{\"negative\": 1, \"not_finite\": 1}\n");
	} else {
		return -EINVAL;
	}
	return 0;
}

int main(void)
{
	char line[128];

	printf("{\"ready\": 1}\n");
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (obey(line))
			printf("{\"error\": \"what is that?\"}\n");
		(void)fflush(stdout);
	}
	return 0;
}
