/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quiet.c - three loops to disassemble: nothing, a counter, a histogram. disassemble.py walks them as they run while
 * nobody listens.
 */
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(bench_orders, "bench.orders", "{order}", "Orders placed", "region", "tier")
PROBEMETER_HISTOGRAM(bench_latency, "bench.latency", "s", "Order latency", "region", "tier")

#define LOOP(name, statement)                                                                                  \
	extern void name(const double *value, const char *const *label, long count);                           \
	void name(const double *value, const char *const *label, long count)                                   \
	{                                                                                                      \
		for (; count; count--, value++, label += 2) {                                                  \
			__asm__ volatile("" : : "x"(*value), "r"(label[0]), "r"(label[1]));                    \
			statement;                                                                             \
		}                                                                                              \
	}

LOOP(quiet_nothing, )
LOOP(quiet_counter, PROBEMETER_ADD(bench_orders, 1, label[0], label[1]))
LOOP(quiet_histogram, PROBEMETER_RECORD(bench_latency, *value, label[0], label[1]))
