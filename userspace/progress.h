/* SPDX-License-Identifier: BSD-2-Clause */
/* progress.h - when to say how far a step has come that takes longer than one likes to wait in silence. */
#ifndef PROBEMETER_PROGRESS_H
#define PROBEMETER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_FIRST_NS 2000000000ull /* from the beginning to the first word */
#define PROGRESS_NS 5000000000ull /* from word to word */

struct progress {
	uint64_t due_ns;
};

/* A step begins at @now_ns. One that ends within PROGRESS_FIRST_NS says nothing. */
static inline void progress_begin(struct progress *progress, uint64_t now_ns)
{
	progress->due_ns = now_ns + PROGRESS_FIRST_NS;
}

/* Part of the step is done at @now_ns. Return: say how far it is. */
static inline bool progress_due(struct progress *progress, uint64_t now_ns)
{
	bool due = now_ns >= progress->due_ns;

	if (due)
		progress->due_ns = now_ns + PROGRESS_NS;
	return due;
}

#endif
