/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * redzone - functions whose live data lies as near to a probe call as a compiler can put it: below the stack pointer where
 * it may, in every kind of register, across tail calls. test_redzone.py builds it in many ways.
 *
 * Waits for a line on stdin, calls each function CALLS times, and prints how many results were wrong. If the line is
 * "fork", it fires once and lets a child do that, which the guard then turns away from the fast nops.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Redzone"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(redzone_plain, "redzone.plain", "{event}", "No label")
PROBEMETER_COUNTER(redzone_four, "redzone.four", "{event}", "Four labels", "a", "b", "c", "d")
PROBEMETER_HISTOGRAM(redzone_real, "redzone.real", "1", "A floating value", "a")

#ifndef CALLS
#define CALLS 100000
#endif
#define LEAF __attribute__((noinline)) static
#ifdef __x86_64__
#define REAL "+x" /* a register for floating values */
#else
#define REAL "+w"
#endif

/* Sixteen words: the whole red zone, where there is one. Written before the probe, read behind it. */
LEAF unsigned long integers(unsigned long seed)
{
	unsigned long local[16], sum = 0;
	unsigned i;

	for (i = 0; i < 16; i++)
		local[i] = seed * (i + 1);
	__asm__ volatile("" : "+m"(local));
	PROBEMETER_ADD(redzone_plain, 1);
	__asm__ volatile("" : "+m"(local));
	for (i = 0; i < 16; i++)
		sum += local[i] ^ i;
	return sum;
}

LEAF unsigned long integers_expected(unsigned long seed)
{
	unsigned long sum = 0;
	unsigned i;

	for (i = 0; i < 16; i++)
		sum += seed * (i + 1) ^ i;
	return sum;
}

/* A dozen values that live in registers over the probe, whole and floating ones. */
LEAF double reals(double x)
{
	double a = x + 1, b = x * 3, c = x - 7, d = x / 2, e = x * x, f = x + 0.25, g = -x, h = x * 5;
	long i = (long)x, j = i * 3, k = i ^ 0x55, l = i << 2;

	__asm__ volatile("" : REAL(a), REAL(b), REAL(c), REAL(d), REAL(e), REAL(f), REAL(g), REAL(h));
	__asm__ volatile("" : "+r"(i), "+r"(j), "+r"(k), "+r"(l));
	PROBEMETER_RECORD(redzone_real, x, "real");
	__asm__ volatile("" : REAL(a), REAL(b), REAL(c), REAL(d), REAL(e), REAL(f), REAL(g), REAL(h));
	__asm__ volatile("" : "+r"(i), "+r"(j), "+r"(k), "+r"(l));
	return a + b + c + d + e + f + g + h + (double)(i + j + k + l);
}

LEAF double reals_expected(double x)
{
	long i = (long)x;

	return (x + 1) + x * 3 + (x - 7) + x / 2 + x * x + (x + 0.25) + -x + x * 5 + (double)(i + i * 3 + (i ^ 0x55) + (i << 2));
}

/* The probe in tail position, all argument registers in use; then what the caller keeps. */
LEAF void tail(const char *a, const char *b)
{
	PROBEMETER_ADD(redzone_four, 1, a, b, "c", "d");
}

LEAF unsigned long around(unsigned long seed)
{
	unsigned char bytes[64];
	unsigned long sum = 0;
	unsigned i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(seed + i);
	tail("a", seed & 1 ? "odd" : "even");
	for (i = 0; i < sizeof(bytes); i++)
		sum += (unsigned long)bytes[i] * (i + 1);
	return sum;
}

LEAF unsigned long around_expected(unsigned long seed)
{
	unsigned long sum = 0;
	unsigned i;

	for (i = 0; i < 64; i++)
		sum += (unsigned long)(unsigned char)(seed + i) * (i + 1);
	return sum;
}

/* The stub's guard (ABI.md): 0 in a process that takes the slow way. */
#ifdef __x86_64__
extern unsigned char probemeter_home[4096] __attribute__((visibility("hidden")));
#else
static const unsigned char probemeter_home[] = { 1 }; /* there is one way */
#endif

static void call_all(void)
{
	unsigned long wrong[3] = { 0 };
	unsigned long i;

	for (i = 0; i < CALLS; i++) {
		wrong[0] += integers(i) != integers_expected(i);
		wrong[1] += reals((double)i) != reals_expected((double)i);
		wrong[2] += around(i) != around_expected(i);
	}
	printf("{\"calls\": %d, \"slow\": %d, \"wrong\": [%lu, %lu, %lu]}\n", CALLS, !probemeter_home[0], wrong[0], wrong[1],
	       wrong[2]);
	(void)fflush(stdout);
}

int main(void)
{
	char line[16];

	printf("{\"ready\": %d}\n", getpid());
	(void)fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	if (strcmp(line, "fork\n")) {
		call_all();
	} else {
		pid_t pid;
		int status;

		(void)integers(0);
		pid = fork();
		if (!pid) {
			call_all();
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			return 1;
	}
	(void)fgets(line, sizeof(line), stdin);
	return 0;
}
