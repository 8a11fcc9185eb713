/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf.c - a file that anybody may have written, from its first byte to metrics with numbers.
 *
 * Input: the file. Promised, whatever it holds: an answer, memory in proportion to the limits and not to what the file
 * says of itself, and metrics that the rest of the agent can rely on.
 *
 * reaches: descriptors_read segments_read segment_add notes_read descriptor_read field_apply text_read bounds_read
 * reaches: label_is_bad descriptors_bias metrics_intern objects_path object_read object_judge
 */
#include <errno.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "descriptor.h"
#include "fuzz.h"
#include "log.h"
#include "metric.h"
#include "object.h"

#define MEMORY_MAX ((size_t)16 << 20)

static void check_metric(const struct metric *metric)
{
	REQUIRE(metric->kind >= PROBEMETER_KIND_COUNTER && metric->kind <= PROBEMETER_KIND_HISTOGRAM);
	REQUIRE(text_valid(metric->scope) && text_valid(metric->name) && text_valid(metric->unit));
	REQUIRE(text_valid(metric->description) && *metric->name);
	REQUIRE(metric->label_count <= PROBEMETER_MAX_LABELS && metric->bound_count <= PROBEMETER_MAX_BOUNDS);
	for (uint32_t i = 0; i < metric->label_count; i++) {
		REQUIRE(text_valid(metric->label[i]) && *metric->label[i]);
		for (uint32_t j = 0; j < i; j++)
			REQUIRE(strcmp(metric->label[i], metric->label[j]));
	}
	for (uint32_t i = 0; i < metric->bound_count; i++)
		REQUIRE(isfinite(metric->bound[i]) && (!i || metric->bound[i - 1] < metric->bound[i]));
}

static void check(const struct descriptors *found, size_t size)
{
	struct metrics *metrics = metrics_new();
	const struct metric *one, *same;
	uint64_t bias;

	REQUIRE(metrics && found->segment_count <= DESCRIPTORS_SEGMENTS);
	for (size_t i = 0; i < found->problem_count; i++)
		REQUIRE(*found->problem[i]);
	for (size_t i = 0; i < found->count; i++) {
		const struct descriptor *d = &found->descriptor[i];

		check_metric(&d->metric);
		REQUIRE(d->noted && d->noted < size && d->semaphore && d->semaphore + 2 <= size);
		REQUIRE(!d->fast5 || d->fast5 + 5 <= size);
		REQUIRE(!d->fast10 || d->fast10 + 10 <= size);
		REQUIRE(d->slow < size);
		REQUIRE(!metrics_intern(metrics, &d->metric, &one) && !metrics_intern(metrics, &d->metric, &same));
		REQUIRE(one == same);
		(void)descriptors_bias(found, 0x400000, d->noted & ~4095ull, &bias);
	}
	metrics_free(metrics);
}

static void ignore(void *context, struct object *object)
{
	(void)context;
	(void)object;
}

/* The same file by its name, as discovery opens it. */
static void check_object(int fd, size_t count)
{
	static const struct discover_events nothing = { .found = ignore, .gone = ignore };
	struct objects objects = { 0 };
	struct object *object = NULL;
	char path[40];
	int err;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = objects_path(&objects, &nothing, path, &object);
	REQUIRE(err == -ENOEXEC || (!err && object->descriptors.count == count));
	objects_free(&objects, &nothing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new();
	struct descriptors found;
	static int fd = -1;
	int err;

	log_set_level(LOG_ERROR);
	if (fd < 0)
		fd = memfd_create("input", MFD_CLOEXEC);
	REQUIRE(arena && fd >= 0 && !ftruncate(fd, (off_t)size) && pwrite(fd, data, size, 0) == (ssize_t)size);
	err = descriptors_read(fd, arena, &found);
	REQUIRE(!err || err == -ENOEXEC);
	REQUIRE(arena_bytes(arena) < MEMORY_MAX);
	if (!err)
		check(&found, size);
	if (!err && found.count)
		check_object(fd, found.count);
	arena_free(arena);
	return 0;
}
