/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exponential.c - eighths of an octave to at most 160 buckets.
 *
 * Consumes what was counted at scale 3, wherever it lies; produces one run of buckets per sign at the finest scale that
 * is small enough. Index i at scale s holds (2^(i/2^s), 2^((i+1)/2^s)], so index i >> n at scale s - n holds it whole.
 */
#include "exponential.h"

#include <errno.h>
#include <stdlib.h>

#include "../bpf/maps.h"
#include "arena.h"

#define EXPONENT_BIAS 1023
#define EIGHTHS 8

bool exponential_cell(uint64_t where, struct bucket_count *ret)
{
	int exponent = (int)PM_BUCKET_EXPONENT(where), eighth = (int)PM_BUCKET_INDEX(where);

	/* The smallest normal value, as which subnormals count, is the last value below the first octave. */
	if (!exponent && !eighth)
		return false;
	ret->index = (exponent - EXPONENT_BIAS) * EIGHTHS + eighth;
	ret->negative = PM_BUCKET_SIGN(where);
	return true;
}

static int by_place(const void *a, const void *b)
{
	const struct bucket_count *x = a, *y = b;

	if (x->negative != y->negative)
		return x->negative < y->negative ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

/* Sort, and make equal indices one. */
static void cells_join(struct point *point)
{
	struct bucket_count *cell = point->cell;
	uint32_t count = 0;

	if (point->cell_count)
		qsort(cell, point->cell_count, sizeof(*cell), by_place);
	for (uint32_t i = 0; i < point->cell_count; i++) {
		if (count && !by_place(&cell[count - 1], &cell[i]))
			cell[count - 1].count += cell[i].count;
		else
			cell[count++] = cell[i];
	}
	point->cell_count = count;
}

/* Of sorted cells of one sign, at a scale that is @shift smaller. A right shift of a negative index rounds down. */
static uint32_t width(const struct bucket_count *cell, uint32_t count, int shift)
{
	return count ? (uint32_t)((cell[count - 1].index >> shift) - (cell[0].index >> shift)) + 1 : 0;
}

static int side_fill(const struct bucket_count *cell, uint32_t count, int shift, struct arena *arena,
		     struct exponential_buckets *ret)
{
	struct exponential_buckets side = { .bucket_count = width(cell, count, shift) };

	if (count) {
		side.offset = cell[0].index >> shift;
		side.count = arena_array(arena, side.bucket_count, sizeof(*side.count));
		if (!side.count)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++)
		side.count[(cell[i].index >> shift) - side.offset] += cell[i].count;
	*ret = side;
	return 0;
}

int exponential_fit(struct point *point, struct arena *arena)
{
	const struct bucket_count *negative;
	uint32_t positives = 0;
	int shift = 0, err;

	cells_join(point);
	while (positives < point->cell_count && !point->cell[positives].negative)
		positives++;
	negative = point->cell + positives;
	while (width(point->cell, positives, shift) + width(negative, point->cell_count - positives, shift) >
	       EXPONENTIAL_MAX_BUCKETS)
		shift++;
	point->scale = EXPONENTIAL_CELL_SCALE - shift;
	err = side_fill(point->cell, positives, shift, arena, &point->positive);
	return err ? err : side_fill(negative, point->cell_count - positives, shift, arena, &point->negative);
}
