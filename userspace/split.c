/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * split.c - cut what is too large for one request at the border of two points.
 *
 * Consumes ordered points, produces encoded requests. How large a run of points is, is only known once it is encoded, with
 * the names of its resources and metrics that each request says again. So all is tried as one request, which nearly
 * always does; else in equal parts, and a part that is still too large in halves.
 */
#include "split.h"

#include <errno.h>
#include <string.h>

#include "arena.h"
#include "encode.h"

struct split {
	const struct points *points;
	size_t limit;
	enum encode_format format;
	struct arena *arena; /* of what is kept */
	struct arena *scratch; /* of one try */
	size_t room;
	struct requests result;
};

static int request_add(struct split *split, const uint8_t *body, size_t size, size_t first, size_t count)
{
	struct requests *to = &split->result;

	if (to->count == split->room) {
		size_t room = split->room ? 2 * split->room : 8;
		struct request *grown = arena_array(split->arena, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		if (to->count)
			memcpy(grown, to->request, to->count * sizeof(*grown));
		to->request = grown;
		split->room = room;
	}
	to->request[to->count++] = (struct request){ .body = body, .size = size, .first = first, .count = count };
	return 0;
}

static int encode_part(const struct split *split, size_t first, size_t count, struct arena *arena, uint8_t **ret,
		       size_t *ret_size)
{
	const struct points part = {
		.time_unix_ns = split->points->time_unix_ns,
		.point = split->points->point + first,
		.count = count,
	};

	return encode_otlp(&part, split->format, arena, ret, ret_size);
}

static int part_add(struct split *split, size_t first, size_t count)
{
	uint8_t *body, *copy;
	size_t size;
	int err;

	arena_reset(split->scratch);
	err = encode_part(split, first, count, split->scratch, &body, &size);
	if (err)
		return err;
	if (size <= split->limit) {
		copy = arena_alloc(split->arena, size, 1);
		return copy ? request_add(split, memcpy(copy, body, size), size, first, count) : -ENOMEM;
	}
	if (count == 1) {
		if (!split->result.too_large_count++)
			split->result.too_large = &split->points->point[first];
		return 0;
	}
	err = part_add(split, first, count / 2);
	return err ? err : part_add(split, first + count / 2, count - count / 2);
}

int split_points(const struct points *points, size_t limit, enum encode_format format, struct arena *arena,
		 struct requests *ret)
{
	struct split split = { .points = points, .limit = limit, .format = format, .arena = arena };
	size_t size, parts, step, first;
	uint8_t *body;
	int err = 0;

	if (!points->count)
		goto out;
	err = encode_part(&split, 0, points->count, arena, &body, &size);
	if (err)
		goto out;
	if (size <= limit) {
		err = request_add(&split, body, size, 0, points->count);
		goto out;
	}
	split.scratch = arena_new();
	if (!split.scratch)
		return -ENOMEM;
	parts = size / limit + 1;
	step = (points->count + parts - 1) / parts;
	for (first = 0; first < points->count && !err; first += step)
		err = part_add(&split, first, points->count - first < step ? points->count - first : step);
out:
	arena_free(split.scratch);
	if (!err)
		*ret = split.result;
	return err;
}
