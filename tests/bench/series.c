/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * series.c - a quarter of the ten thousand series that the export is measured with: 2,000 counters, and 500 histograms
 * that have touched 12 buckets each.
 *
 * Fires each of them once for every line on stdin, and answers with a line.
 */
#include <stdio.h>

#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(bench_requests, "bench.requests", "{request}", "Requests", "customer", "endpoint")
PROBEMETER_COUNTER(bench_bytes, "bench.bytes", "By", "Bytes sent", "customer", "endpoint")
PROBEMETER_HISTOGRAM(bench_duration, "bench.duration", "s", "Duration of requests", "customer", "endpoint")

#define COUNTERS 1000
#define HISTOGRAMS 500
#define BUCKETS 12

static void fire(void)
{
	static const char *const endpoint[] = { "/api/v1/orders", "/api/v1/orders/{id}", "/healthz", "/api/v1/customers" };
	char customer[32];
	int i, bucket;

	for (i = 0; i < COUNTERS; i++) {
		(void)snprintf(customer, sizeof(customer), "customer-%d", i / 4);
		PROBEMETER_ADD(bench_requests, 1, customer, endpoint[i % 4]);
		PROBEMETER_ADD(bench_bytes, 1000 + i, customer, endpoint[i % 4]);
	}
	for (i = 0; i < HISTOGRAMS; i++) {
		double value = 0.0011;

		(void)snprintf(customer, sizeof(customer), "customer-%d", i / 4);
		/* An eighth of an octave further each time. */
		for (bucket = 0; bucket < BUCKETS; bucket++, value *= 1.0905077326652577)
			PROBEMETER_RECORD(bench_duration, value, customer, endpoint[i % 4]);
	}
}

int main(void)
{
	int c;

	printf("ready\n");
	(void)fflush(stdout);
	while ((c = getchar()) != EOF)
		if (c == '\n') {
			fire();
			printf("%d\n", PROBEMETER_ENABLED(bench_duration) && PROBEMETER_ENABLED(bench_bytes));
			(void)fflush(stdout);
		}
	return 0;
}
