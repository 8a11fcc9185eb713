/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ours.c - probemeter as a contestant.
 *
 * Built twice: once as any service, which the agent attaches to; once with BENCH_APART, where the scope is the one that
 * agents leave alone, so that nothing is attached or what attach.c attaches.
 */
#ifdef BENCH_APART
#define PROBEMETER_SCOPE "probemeter.trial"
#endif
#include <probemeter/probemeter.h>

#include "loop.h"

PROBEMETER_COUNTER(bench_orders, "bench.orders", "{order}", "Orders placed", "region", "tier")
PROBEMETER_HISTOGRAM(bench_latency, "bench.latency", "s", "Order latency", "region", "tier")
PROBEMETER_UPDOWNCOUNTER(bench_open, "bench.open", "{order}", "Open orders")
PROBEMETER_UPDOWNCOUNTER(bench_open_by, "bench.open.by", "{order}", "Open orders", "region", "tier")

LOOP(nothing, )
LOOP(counter, PROBEMETER_ADD(bench_orders, 1, region, tier))
LOOP(histogram, PROBEMETER_RECORD(bench_latency, value, region, tier))
LOOP(level, PROBEMETER_ADD(bench_open, value < 0.02 ? 1 : -1))
LOOP(level_labelled, PROBEMETER_ADD(bench_open_by, value < 0.02 ? 1 : -1, region, tier))

int main(void)
{
	static const struct operation operation[] = {
		{ "nothing", nothing }, { "counter", counter }, { "histogram", histogram },
		{ "level", level }, { "level_labelled", level_labelled }, { NULL, NULL },
	};

	return loop_main(operation);
}
