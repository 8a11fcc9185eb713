/* SPDX-License-Identifier: BSD-2-Clause */
/* frames.c - a probe under four frames that no compiler can merge. METRIC is its id: perf's event names are the host's. */
#include <probemeter/probemeter.h>

#ifndef METRIC
#define METRIC frames_count
#endif
/* The id is pasted, so METRIC has to be expanded before. */
#define DECLARE(...) PROBEMETER_COUNTER(__VA_ARGS__)
#define FIRE(...) PROBEMETER_ADD(__VA_ARGS__)
DECLARE(METRIC, "frames.count", "1", "Frames", "a")

#define FRAME __attribute__((noinline)) static int

FRAME inner(int n)
{
	FIRE(METRIC, n, "x");
	__asm__ volatile("");
	return n + 1;
}

FRAME middle(int n)
{
	n = inner(n) + 1;
	__asm__ volatile("");
	return n;
}

FRAME outer(int n)
{
	n = middle(n) + 1;
	__asm__ volatile("");
	return n;
}

int main(void)
{
	int i, sum = 0;

	for (i = 0; i < 5; i++)
		sum += outer(i);
	return sum == 25 ? 0 : 1;
}
