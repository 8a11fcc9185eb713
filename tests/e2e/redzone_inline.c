/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * redzone_inline - what probemeter does not do: nops to be probed inside a leaf function, next to its live red zone.
 * test_redzone.py probes them and finds wrong results, so it would find them in redzone.c as well.
 *
 * Prints the places of the nops in link-time addresses; on a line on stdin calls each function CALLS times and prints how
 * many results were wrong.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <unistd.h>

#define CALLS 100000

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char inline_nop1[] __attribute__((visibility("hidden"))), inline_nop5[] __attribute__((visibility("hidden")));

/* redzone.c's integers(), with a nop in place of a call: its value and its label hash where a counter has them. */
#define LEAF(name, nop)                                                                                        \
	__attribute__((noinline)) static unsigned long name(unsigned long seed)                                \
	{                                                                                                      \
		unsigned long local[16], sum = 0;                                                              \
		unsigned i;                                                                                    \
                                                                                                               \
		for (i = 0; i < 16; i++)                                                                       \
			local[i] = seed * (i + 1);                                                             \
		__asm__ volatile("" : "+m"(local));                                                            \
		__asm__ volatile(nop : : "D"(1ul), "S"(0ul));                                                  \
		__asm__ volatile("" : "+m"(local));                                                            \
		for (i = 0; i < 16; i++)                                                                       \
			sum += local[i] ^ i;                                                                   \
		return sum;                                                                                    \
	}

LEAF(with_nop1, ".globl inline_nop1\n.hidden inline_nop1\ninline_nop1: nop")
LEAF(with_nop5, ".globl inline_nop5\n.hidden inline_nop5\ninline_nop5: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00")

static unsigned long expected(unsigned long seed)
{
	unsigned long sum = 0;
	unsigned i;

	for (i = 0; i < 16; i++)
		sum += seed * (i + 1) ^ i;
	return sum;
}

int main(void)
{
	unsigned long wrong[2] = { 0 };
	unsigned long i;
	char line[16];

	printf("{\"places\": [%ld, %ld]}\n", (long)(inline_nop1 - __ehdr_start), (long)(inline_nop5 - __ehdr_start));
	(void)fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (i = 1; i <= CALLS; i++) {
		wrong[0] += with_nop1(i) != expected(i);
		wrong[1] += with_nop5(i) != expected(i);
	}
	printf("{\"calls\": %d, \"wrong\": [%lu, %lu]}\n", CALLS, wrong[0], wrong[1]);
	(void)fflush(stdout);
	(void)fgets(line, sizeof(line), stdin);
	return 0;
}
