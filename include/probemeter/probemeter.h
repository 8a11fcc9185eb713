/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probemeter.h - declare metrics and fire them. Headers only: nothing to link, no thread, no lock, no I/O.
 *
 *     PROBEMETER_COUNTER(orders_placed, "orders.placed.total", "{order}", "Orders placed", "region", "tier")
 *     PROBEMETER_HISTOGRAM(order_latency, "orders.latency", "s", "Order latency", "region")
 *
 *     PROBEMETER_ADD(orders_placed, 1, region, tier);
 *     PROBEMETER_RECORD(order_latency, seconds, region);
 *
 * Declarations (at file or namespace scope, any number of times per program, no semicolon wanted):
 *
 *   PROBEMETER_COUNTER(id, name, unit, description, label names...)               summed
 *   PROBEMETER_UPDOWNCOUNTER(id, name, unit, description, label names...)         summed over live processes
 *   PROBEMETER_UPDOWNCOUNTER_LATEST(id, name, unit, description, label names...)  latest set by a live process
 *   PROBEMETER_GAUGE(id, name, unit, description, label names...)                 latest set by a live process
 *   PROBEMETER_HISTOGRAM(id, name, unit, description, label names...)             summed
 *   PROBEMETER_HISTOGRAM_BOUNDS(id, name, unit, description, (b1, b2, ...), label names...)
 *
 * id is a C identifier, unique in the program; name, unit, description and up to four label names are string literals.
 * PROBEMETER_SCOPE, a string defined before the declarations, is their OTLP scope; "probemeter" where there is none.
 *
 * Uses (each an expression of type void unless said otherwise; every label value is a const char *, NULL is ""):
 *
 *   PROBEMETER_ADD(id, n, labels...)        counter: n >= 0; up-down counter: any n. Integers.
 *   PROBEMETER_SET(id, value, labels...)    up-down counter: an integer, this process's share; gauge: any number
 *   PROBEMETER_RECORD(id, value, labels...) histogram: any number, in the declared unit
 *   PROBEMETER_ENABLED(id)                  int: is somebody listening (levels: always, they need nobody)
 *   PROBEMETER_START(id)                    uint64_t t: nanoseconds now, or 0 while nobody listens
 *   PROBEMETER_RECORD_SINCE(id, t, labels...) the time since t, converted to the declared s, ms, us or ns
 *                                           (with braces or without; any other unit: seconds). Nothing if t is 0.
 *
 * Counters and histograms do not evaluate their arguments while nobody listens. A wrong label count, a wrong type or
 * a use that does not fit the kind is a compile error that names the metric.
 *
 * -DPROBEMETER_DISABLE, and every platform we do not support, compile all of it to nothing.
 * -DPROBEMETER_TEST records in the process instead; see test.h. (With both, DISABLE holds.)
 * How it works: site.h and stub_*.h (counters, histograms), level.h (the rest), ABI.md (what is promised for ever).
 */
#ifndef PROBEMETER_H
#define PROBEMETER_H

#include <probemeter/version.h>

/* The one place that decides how metrics are built. */
#if defined(PROBEMETER_DISABLE)
#include <probemeter/disable.h>
#elif defined(PROBEMETER_TEST)
#include <probemeter/test.h>
#elif !defined(__linux__) || !defined(__ELF__) || !defined(__GNUC__) || defined(__ILP32__) || \
	!(defined(__x86_64__) || (defined(__aarch64__) && defined(__AARCH64EL__)))
#include <probemeter/disable.h>
#elif defined(__x86_64__) && defined(__code_model_large__) && !defined(__clang__)
/* gcc gives inline assembly no address as a constant there. */
#include <probemeter/disable.h>
#else
#include <probemeter/site.h>
#include <probemeter/level.h>
#endif

#define PROBEMETER_COUNTER(...) PROBEMETER_DECLARE_(PROBEMETER_METRIC_COUNTER_, __VA_ARGS__)
#define PROBEMETER_UPDOWNCOUNTER(...) PROBEMETER_DECLARE_(PROBEMETER_METRIC_UPDOWNCOUNTER_, __VA_ARGS__)
#define PROBEMETER_UPDOWNCOUNTER_LATEST(...) PROBEMETER_DECLARE_(PROBEMETER_METRIC_UPDOWNCOUNTER_LATEST_, __VA_ARGS__)
#define PROBEMETER_GAUGE(...) PROBEMETER_DECLARE_(PROBEMETER_METRIC_GAUGE_, __VA_ARGS__)
#define PROBEMETER_HISTOGRAM(...) PROBEMETER_DECLARE_(PROBEMETER_METRIC_HISTOGRAM_, __VA_ARGS__)
#define PROBEMETER_HISTOGRAM_BOUNDS(...) PROBEMETER_DECLARE_BOUNDS_(__VA_ARGS__)

#endif
