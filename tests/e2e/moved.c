/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * moved - moves its own code to anonymous memory, as programs do that want it in huge pages.
 *
 *   moved [all | part]
 *
 * all: before anything else, so that no tracer can have found it; part: all but the last page of it. Then it says "ready",
 * and again for each number N on stdin: N events, and the level is N.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Moved"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(moved_total, "moved.total", "{event}", "Events fired")
PROBEMETER_UPDOWNCOUNTER(moved_level, "moved.level", "{event}", "What was asked for")

/* A last page of the code without anything in it. */
__asm__(".pushsection .last_code, \"ax\", @progbits\n.skip 8192, 0x90\n.popsection\n");

/* The code of this program, in whole pages. */
static char *code(size_t *ret_bytes)
{
	const Elf64_Phdr *header = (const Elf64_Phdr *)getauxval(AT_PHDR);
	uintptr_t bias = 0, start = 0, end = 0;
	unsigned long i;

	for (i = 0; i < getauxval(AT_PHNUM); i++) {
		if (header[i].p_type == PT_PHDR)
			bias = (uintptr_t)header - header[i].p_vaddr;
		if (header[i].p_type == PT_LOAD && header[i].p_flags & PF_X) {
			start = header[i].p_vaddr & ~4095ul;
			end = (header[i].p_vaddr + header[i].p_memsz + 4095) & ~4095ul;
		}
	}
	*ret_bytes = end - start;
	return (char *)(bias + start);
}

/* The last step is the C library's, which stays where it is. */
static void move(size_t keep)
{
	size_t bytes;
	char *from = code(&bytes), *copy;

	bytes -= keep;
	copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED)
		exit(4);
	memcpy(copy, from, bytes);
	if (mprotect(copy, bytes, PROT_READ | PROT_EXEC) ||
	    mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, from) == MAP_FAILED)
		exit(5);
}

int main(int argc, char **argv)
{
	char line[32];
	long count, i;

	if (argc > 1)
		move(*argv[1] == 'p' ? 4096 : 0);
	do {
		if (write(STDOUT_FILENO, "ready\n", 6) != 6 || !fgets(line, sizeof(line), stdin))
			return 0;
		count = strtol(line, NULL, 10);
		for (i = 0; i < count; i++)
			PROBEMETER_ADD(moved_total, 1);
		PROBEMETER_SET(moved_level, count);
	} while (1);
}
