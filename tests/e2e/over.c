/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * over.c - two programs, of which one is written over the other.
 *
 * Each fires over.total as often as its argument says, and prints its name and whether a sum over instructions that lie
 * where the other one has its probes came out right.
 */
#include <stdio.h>
#include <stdlib.h>

#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(over_total, "over.total", "{event}", "What it was told to fire")

#ifdef SECOND
#define NAME "second"
#define TIMES 1000
#else
#define NAME "first"
#define TIMES 1
#endif

__attribute__((noinline)) static unsigned long filler(void)
{
	volatile unsigned long one = 0x01010101;
	unsigned long sum = 0;

#define ADD(i) sum += one ^ (i);
#define ADD10(i) ADD(i) ADD(i + 1) ADD(i + 2) ADD(i + 3) ADD(i + 4) ADD(i + 5) ADD(i + 6) ADD(i + 7) ADD(i + 8) ADD(i + 9)
#define ADD100(i) ADD10(i) ADD10(i + 10) ADD10(i + 20) ADD10(i + 30) ADD10(i + 40) ADD10(i + 50) ADD10(i + 60) ADD10(i + 70) \
	ADD10(i + 80) ADD10(i + 90)
#ifdef SECOND
	ADD100(0) ADD100(100) ADD100(200) ADD100(300) ADD100(400) ADD100(500) ADD100(600) ADD100(700) ADD100(800) ADD100(900)
#else
	ADD(0)
#endif
	return sum;
}

static unsigned long expected(void)
{
	volatile unsigned long one = 0x01010101;
	unsigned long sum = 0;
	unsigned i;

	for (i = 0; i < TIMES; i++)
		sum += one ^ i;
	return sum;
}

int main(int argc, char **argv)
{
	int i, count = argc > 1 ? atoi(argv[1]) : 0;

	for (i = 0; i < count; i++)
		PROBEMETER_ADD(over_total, 1);
	printf("%s %d\n", NAME, filler() == expected());
	return 0;
}
