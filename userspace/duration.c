/* SPDX-License-Identifier: BSD-2-Clause */
/* duration.c - consumes nanoseconds, produces the cells that the BPF program would make of the same values. */
#include "duration.h"

#include <math.h>
#include <string.h>

#include "../bpf/value.h"

#define FIRST_OCTAVE (-20)

void durations_add(struct durations *durations, uint64_t ns)
{
	double seconds = fmax(ldexp(1.5, FIRST_OCTAVE), fmin((double)ns / 1e9, ldexp(1, FIRST_OCTAVE + DURATION_OCTAVES)));
	struct placed placed;
	struct cell *cell;
	uint64_t bits;

	memcpy(&bits, &seconds, sizeof(bits));
	placed = placed_by_eighth(parts_of(bits));
	/* A default histogram's bounds are powers of two: an octave is one cell, whatever the eighth. */
	cell = &durations->cell[(int)PM_BUCKET_EXPONENT(placed.bucket) - 1023 - FIRST_OCTAVE];
	cell->where = PM_BUCKET(PM_BUCKET_EXPONENT(placed.bucket), 0, 0);
	cell->count++;
	cell->sum += placed.sum;
}
