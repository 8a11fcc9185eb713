/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prometheus.cc - prometheus-cpp as a contestant: labels looked up at each call, as ours are, and a gauge that is
 * looked up once.
 */
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "loop.h"

static prometheus::Registry registry;
static auto &orders = prometheus::BuildCounter().Name("bench_orders").Register(registry);
static auto &latency = prometheus::BuildHistogram().Name("bench_latency").Register(registry);
static auto &open = prometheus::BuildGauge().Name("bench_open").Register(registry);
static auto &open_by = prometheus::BuildGauge().Name("bench_open_by").Register(registry);
static auto &bound = open.Add({});
/* The client libraries' usual bounds. */
static const prometheus::Histogram::BucketBoundaries bounds = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10 };

LOOP(counter, orders.Add({{"region", region}, {"tier", tier}}).Increment())
LOOP(histogram, latency.Add({{"region", region}, {"tier", tier}}, bounds).Observe(value))
LOOP(gauge_bound, bound.Increment(value < 0.02 ? 1 : -1))
LOOP(gauge_labelled, open_by.Add({{"region", region}, {"tier", tier}}).Increment(value < 0.02 ? 1 : -1))

int main()
{
	static const struct operation operation[] = {
		{"counter", counter}, {"histogram", histogram}, {"gauge_bound", gauge_bound},
		{"gauge_labelled", gauge_labelled}, {nullptr, nullptr},
	};

	return loop_main(operation);
}
