/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hash.c - what the label hash costs by the label's length, strlen() included.
 *
 *   hash     prints "{"LENGTH": [CHAINED, APART], ...}" in ns per label: each hash behind the one before it, and as many
 *            side by side as the CPU can do
 *
 * Least of many short runs, as whatever else runs on the host only adds.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <probemeter/probemeter.h>

#define RUNS 400
#define LABELS 64 /* all in the first level of the cache */

static char label[LABELS][PROBEMETER_LABEL_BYTES + 1];

static double now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double run(int chained)
{
	uint64_t hash = PROBEMETER_HASH_SEED, all = 0;
	double start = now_ns();
	int i;

	for (i = 0; i < LABELS; i++) {
		uint64_t one = probemeter_hash_label_(hash, label[i]);

		if (chained)
			hash = one;
		else
			all ^= one;
	}
	__asm__ volatile("" : : "r"(hash), "r"(all));
	return (now_ns() - start) / LABELS;
}

static double least(int chained)
{
	double best = run(chained), ns;
	int i;

	for (i = 0; i < RUNS; i++) {
		ns = run(chained);
		best = ns < best ? ns : best;
	}
	return best;
}

int main(void)
{
	static const unsigned length[] = { 0, 4, 8, 16, 24, 32, 64, 128, 256, 504 };
	unsigned i, j;

	printf("{");
	for (i = 0; i < sizeof(length) / sizeof(length[0]); i++) {
		for (j = 0; j < LABELS; j++) {
			memset(label[j], 'a' + (int)(j % 26), length[i]);
			label[j][length[i]] = '\0';
		}
		printf("%s\"%u\": [%.3f, %.3f]", i ? ", " : "", length[i], least(1), least(0));
	}
	printf("}\n");
	return 0;
}
