/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_descriptor.c - metrics and sites read from an ELF file, and what damaged and hostile files do.
 *
 * The good file is this very program, which declares metrics of every kind; the bad ones are copies of it in memory
 * files, each damaged in one place.
 */
#include "unit.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "TestMetrics"
#include <probemeter/probemeter.h>

#include "descriptor.h"

PROBEMETER_COUNTER(t_counter, "t.counter.total", "{thing}", "Things counted", "region", "tier")
PROBEMETER_UPDOWNCOUNTER(t_updown, "t.updown", "{thing}", "Things open", "region")
PROBEMETER_UPDOWNCOUNTER_LATEST(t_latest, "t.latest", "{thing}", "")
PROBEMETER_GAUGE(t_gauge, "t.gauge", "1", "A ratio", "a", "b", "c", "d")
PROBEMETER_HISTOGRAM(t_histogram, "t.histogram", "s", "Durations, K\xc3\xb6ln and \xff", "class")
PROBEMETER_HISTOGRAM_BOUNDS(t_bounds, "t.bounds", "{%}", "Percent", (-1.5, 0, 0.1, 100), "x")

/* A metric that is declared and never used leaves nothing. */
PROBEMETER_COUNTER(t_unused, "t.unused", "", "")

static void use_all(void)
{
	PROBEMETER_ADD(t_counter, 1, "eu", "gold");
	PROBEMETER_ADD(t_updown, 1, "eu");
	PROBEMETER_SET(t_latest, 1);
	PROBEMETER_SET(t_gauge, 0.5, "", "", "", "");
	PROBEMETER_RECORD(t_histogram, 0.25, "batch");
	PROBEMETER_RECORD(t_bounds, 50, "y");
}

static const struct {
	struct metric metric;
	const volatile unsigned short *semaphore;
} expected[] = {
	{ { .kind = PROBEMETER_KIND_COUNTER, .name = "t.counter.total", .unit = "{thing}",
	    .description = "Things counted", .label_count = 2, .label = { "region", "tier" } },
	  &probemeter_semaphore_t_counter },
	{ { .kind = PROBEMETER_KIND_UPDOWNCOUNTER, .name = "t.updown", .unit = "{thing}", .description = "Things open",
	    .label_count = 1, .label = { "region" } },
	  &probemeter_semaphore_t_updown },
	{ { .kind = PROBEMETER_KIND_UPDOWNCOUNTER_LATEST, .name = "t.latest", .unit = "{thing}", .description = "" },
	  &probemeter_semaphore_t_latest },
	{ { .kind = PROBEMETER_KIND_GAUGE, .name = "t.gauge", .unit = "1", .description = "A ratio",
	    .label_count = 4, .label = { "a", "b", "c", "d" } },
	  &probemeter_semaphore_t_gauge },
	{ { .kind = PROBEMETER_KIND_HISTOGRAM, .name = "t.histogram", .unit = "s",
	    .description = "Durations, K\xc3\xb6ln and \xef\xbf\xbd", .label_count = 1, .label = { "class" } },
	  &probemeter_semaphore_t_histogram },
	{ { .kind = PROBEMETER_KIND_HISTOGRAM, .name = "t.bounds", .unit = "{%}", .description = "Percent",
	    .label_count = 1, .label = { "x" }, .bound_count = 4, .bound = (const double[]){ -1.5, 0, 0.1, 100 } },
	  &probemeter_semaphore_t_bounds },
};
#define METRICS COUNT(expected)

/* --- the file, its notes and fields */

struct note {
	size_t head; /* file offset of the note */
	size_t at; /* of its descriptor */
	uint32_t size;
	uint64_t address; /* of its descriptor, in memory */
};

struct image {
	int fd; /* the copy that tests damage */
	uint8_t *bytes; /* as it was */
	size_t size;
	struct arena *arena;
	struct descriptors result;
	size_t note_header; /* file offset of the PT_NOTE program header with our notes */
	struct note note[16];
	size_t notes;
};

static const Elf64_Ehdr *header_of(const struct image *image)
{
	return (const Elf64_Ehdr *)(const void *)image->bytes;
}

static const Elf64_Phdr *segment_of(const struct image *image, unsigned n)
{
	return (const Elf64_Phdr *)(const void *)(image->bytes + header_of(image)->e_phoff) + n;
}

static uint32_t word_at(const struct image *image, size_t offset)
{
	uint32_t word;

	memcpy(&word, image->bytes + offset, sizeof(word));
	return word;
}

static const Elf64_Phdr *note_segment_of(const struct image *image)
{
	return (const Elf64_Phdr *)(const void *)(image->bytes + image->note_header);
}

static void notes_find(struct image *image, unsigned n)
{
	const Elf64_Phdr *segment = segment_of(image, n);
	size_t at = segment->p_offset, end = at + segment->p_filesz;

	while (at + 12 <= end) {
		uint32_t name = (word_at(image, at) + 3) & ~3u, size = word_at(image, at + 4);

		if (word_at(image, at) == 11 && !memcmp(image->bytes + at + 12, "probemeter", 11)) {
			assert_true(image->notes < COUNT(image->note));
			image->note_header = header_of(image)->e_phoff + n * sizeof(*segment);
			image->note[image->notes++] = (struct note){
				at, at + 12 + name, size, segment->p_vaddr + (at - segment->p_offset) + 12 + name
			};
		}
		at += 12 + name + ((size + 3) & ~3u);
	}
}

static int set_up(void **state)
{
	struct image *image = calloc(1, sizeof(*image));
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	off_t size = lseek(self, 0, SEEK_END);

	image->size = (size_t)size;
	image->bytes = malloc(image->size);
	assert_int_equal(pread(self, image->bytes, image->size, 0), size);
	(void)close(self);
	image->fd = memfd_create("copy", MFD_CLOEXEC);
	assert_int_equal(pwrite(image->fd, image->bytes, image->size, 0), size);
	image->arena = arena_new();
	for (unsigned n = 0; n < header_of(image)->e_phnum; n++)
		if (segment_of(image, n)->p_type == PT_NOTE)
			notes_find(image, n);
	*state = image;
	return image->notes != METRICS;
}

static int tear_down(void **state)
{
	struct image *image = *state;

	(void)close(image->fd);
	arena_free(image->arena);
	free(image->bytes);
	free(image);
	return 0;
}

static void put(const struct image *image, size_t offset, const void *bytes, size_t size)
{
	assert_int_equal(pwrite(image->fd, bytes, size, (off_t)offset), size);
}

static void put16(const struct image *image, size_t offset, uint16_t value)
{
	put(image, offset, &value, sizeof(value));
}

static void put32(const struct image *image, size_t offset, uint32_t value)
{
	put(image, offset, &value, sizeof(value));
}

static void put64(const struct image *image, size_t offset, uint64_t value)
{
	put(image, offset, &value, sizeof(value));
}

/* The copy is whole again. */
static void restore(const struct image *image)
{
	assert_int_equal(ftruncate(image->fd, (off_t)image->size), 0);
	put(image, 0, image->bytes, image->size);
}

static int read_again(struct image *image)
{
	arena_reset(image->arena);
	memset(&image->result, 0x5a, sizeof(image->result));
	return descriptors_read(image->fd, image->arena, &image->result);
}

/* File offset of a field's head in a note, which must have it. */
static size_t field_in(const struct image *image, const struct note *note, uint16_t tag)
{
	for (size_t at = note->at; at < note->at + note->size;) {
		uint32_t head = word_at(image, at);

		if ((head & 0xffff) == tag)
			return at;
		at += 4 + (((head >> 16) + 3) & ~3u);
	}
	fail_msg("no field %u", tag);
	return 0;
}

/* File offset of what the first place of a field points to. */
static size_t target_of(const struct image *image, const struct note *note, uint16_t tag)
{
	size_t payload = field_in(image, note, tag) + 4;
	uint64_t address = note->address + (payload - note->at) + (uint64_t)(int64_t)(int32_t)word_at(image, payload);

	for (unsigned n = 0; n < header_of(image)->e_phnum; n++) {
		const Elf64_Phdr *s = segment_of(image, n);

		if (s->p_type == PT_LOAD && address - s->p_vaddr < s->p_filesz)
			return address - s->p_vaddr + s->p_offset;
	}
	fail_msg("field %u points nowhere", tag);
	return 0;
}

static const struct note *note_of(const struct image *image, const char *name)
{
	for (size_t i = 0; i < image->notes; i++) {
		const char *text = (const char *)image->bytes + target_of(image, &image->note[i], PROBEMETER_TAG_TEXT);

		if (!strcmp(text + strlen(text) + 1, name))
			return &image->note[i];
	}
	fail_msg("no note of %s", name);
	return NULL;
}

static const struct descriptor *result_of(const struct image *image, const char *name)
{
	for (size_t i = 0; i < image->result.count; i++)
		if (!strcmp(image->result.descriptor[i].metric.name, name))
			return &image->result.descriptor[i];
	return NULL;
}

/* One note was refused, in words that hold @words; all others were read. */
static void expect_refused(struct image *image, const char *name, const char *words)
{
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS - 1);
	assert_null(result_of(image, name));
	assert_int_equal(image->result.problem_count, 1);
	if (!strstr(image->result.problem[0], words))
		fail_msg("'%s' does not say '%s'", image->result.problem[0], words);
	restore(image);
}

/* --- tests */

/* Every kind, with all its texts, labels and bounds, each once, and nothing of what is not used. */
static void every_kind_is_read_with_all_it_says(void **state)
{
	struct image *image = *state;

	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.problem_count, 0);
	assert_int_equal(image->result.count, METRICS);
	assert_null(result_of(image, "t.unused"));
	for (size_t i = 0; i < METRICS; i++) {
		const struct metric *want = &expected[i].metric;
		const struct descriptor *d = result_of(image, want->name);

		assert_non_null(d);
		assert_int_equal(d->metric.kind, want->kind);
		assert_string_equal(d->metric.scope, "TestMetrics");
		assert_string_equal(d->metric.unit, want->unit);
		assert_string_equal(d->metric.description, want->description);
		assert_int_equal(d->metric.label_count, want->label_count);
		for (uint32_t n = 0; n < want->label_count; n++)
			assert_string_equal(d->metric.label[n], want->label[n]);
		assert_int_equal(d->metric.bound_count, want->bound_count);
		for (uint32_t n = 0; n < want->bound_count; n++)
			assert_true(d->metric.bound[n] == want->bound[n]);
	}
}

/* The offsets are those of the nops that ABI.md describes. */
static void offsets_are_those_of_the_nops(void **state)
{
	static const uint8_t nop5[] = { 0x0f, 0x1f, 0x44, 0, 0 }, nop10[] = { 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 };
	struct image *image = *state;

	assert_int_equal(read_again(image), 0);
	for (size_t i = 0; i < image->result.count; i++) {
		const struct descriptor *d = &image->result.descriptor[i];

		assert_int_equal(image->bytes[d->noted], 0x90);
		assert_int_equal(image->bytes[d->slow], 0x90);
		assert_memory_equal(image->bytes + d->fast5, nop5, sizeof(nop5));
		assert_memory_equal(image->bytes + d->fast10, nop10, sizeof(nop10));
		/* Nobody listens yet. */
		assert_int_equal(image->bytes[d->semaphore] | image->bytes[d->semaphore + 1], 0);
	}
}

static int executable_segment(struct dl_phdr_info *info, size_t size, void *context)
{
	struct {
		uint64_t start, offset, bias;
	} *found = context;

	(void)size;
	for (unsigned n = 0; n < info->dlpi_phnum; n++)
		if (info->dlpi_phdr[n].p_type == PT_LOAD && info->dlpi_phdr[n].p_flags & PF_X) {
			found->bias = info->dlpi_addr;
			found->start = (info->dlpi_addr + info->dlpi_phdr[n].p_vaddr) & ~4095ull;
			found->offset = info->dlpi_phdr[n].p_offset & ~4095ull;
			return 1;
		}
	return 0;
}

/* With the bias of the executable mapping, semaphores and the level table are where the program has them. */
static void addresses_are_the_programs_own_plus_bias(void **state)
{
	struct image *image = *state;
	struct {
		uint64_t start, offset, bias;
	} own = { 0 };
	uint64_t bias;

	assert_int_equal(read_again(image), 0);
	/* The first object is the program itself. */
	assert_int_equal(dl_iterate_phdr(executable_segment, &own), 1);
	assert_int_equal(descriptors_bias(&image->result, own.start, own.offset, &bias), 0);
	assert_int_equal(bias, own.bias);
	for (size_t i = 0; i < METRICS; i++) {
		const struct descriptor *d = result_of(image, expected[i].metric.name);
		bool level = d->metric.kind != PROBEMETER_KIND_COUNTER && d->metric.kind != PROBEMETER_KIND_HISTOGRAM;

		assert_int_equal(d->semaphore_address + bias, (uintptr_t)expected[i].semaphore);
		assert_int_equal(d->levels_address ? d->levels_address + bias : 0,
				 level ? (uintptr_t)probemeter_levels_() : 0);
	}
	/* A mapping from the middle of the segment, and one of nothing executable. */
	assert_int_equal(descriptors_bias(&image->result, own.start + 4096, own.offset + 4096, &bias), 0);
	assert_int_equal(bias, own.bias);
	bias = 77;
	assert_int_equal(descriptors_bias(&image->result, own.start, 1ull << 40, &bias), -ENOENT);
	assert_int_equal(bias, 77);
}

/* A note whose sizes reach past the segment's end: it and what would follow is not read. */
static void torn_note_is_named(void **state)
{
	struct image *image = *state;
	const size_t last = image->note[METRICS - 1].head;
	static const struct {
		size_t field; /* of the note's head: 0 name's size, 4 descriptor's */
		uint32_t value;
	} torn[] = { { 4, 1000000 },	{ 4, UINT32_MAX }, { 4, UINT32_MAX - 2 },
		     { 0, UINT32_MAX }, { 0, 1000000 },	   { 0, 0x7fffffff } };

	for (size_t i = 0; i < COUNT(torn); i++) {
		put32(image, last + torn[i].field, torn[i].value);
		assert_int_equal(read_again(image), 0);
		assert_int_equal(image->result.count, METRICS - 1);
		assert_int_equal(image->result.problem_count, 1);
		assert_non_null(strstr(image->result.problem[0], "torn"));
		restore(image);
	}
	/* The segment ends in the middle of the last note. */
	put64(image, image->note_header + offsetof(Elf64_Phdr, p_filesz),
	      last + 30 - note_segment_of(image)->p_offset);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS - 1);
	assert_non_null(strstr(image->result.problem[0], "torn"));
}

/* A field that reaches past its note, or ends in its head. */
static void torn_field_is_named(void **state)
{
	struct image *image = *state;
	const struct note *note = note_of(image, "t.updown");

	put16(image, field_in(image, note, PROBEMETER_TAG_LEVELS) + 2, 0xffff);
	expect_refused(image, "t.updown", "torn");
	put16(image, field_in(image, note, PROBEMETER_TAG_LEVELS) + 2, 12);
	expect_refused(image, "t.updown", "torn");
	/* Two bytes are left behind the last field: the note says so, its room is the same. */
	put32(image, note->head + 4, note->size - 10);
	put16(image, field_in(image, note, PROBEMETER_TAG_LEVELS) + 2, 0);
	put16(image, field_in(image, note, PROBEMETER_TAG_LEVELS), 999);
	assert_int_equal(read_again(image), 0);
	assert_null(result_of(image, "t.updown"));
	assert_true(image->result.problem_count >= 1);
	assert_non_null(strstr(image->result.problem[0], "torn"));
	restore(image);
	/* The same where the file's notes end, with nothing behind. */
	note = &image->note[METRICS - 1];
	put32(image, note->head + 4, note->size - 10);
	put64(image, image->note_header + offsetof(Elf64_Phdr, p_filesz),
	      note->at + note->size - 10 - note_segment_of(image)->p_offset);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS - 1);
	assert_non_null(strstr(image->result.problem[0], "torn"));
	restore(image);
	/* Known tags have a least size. */
	note = note_of(image, "t.updown");
	put16(image, field_in(image, note, PROBEMETER_TAG_METRIC) + 2, 4);
	expect_refused(image, "t.updown", "has 4 bytes, needs 8");
}

/* A newer header's tag is skipped; the metric works with what is left. */
static void unknown_tags_are_skipped(void **state)
{
	struct image *image = *state;
	const struct note *note = note_of(image, "t.counter.total");
	const struct descriptor *d;

	put16(image, field_in(image, note, PROBEMETER_TAG_SLOW), 999);
	put16(image, field_in(image, note, PROBEMETER_TAG_FAST), 0);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS);
	assert_int_equal(image->result.problem_count, 0);
	d = result_of(image, "t.counter.total");
	assert_int_equal(d->slow | d->fast5 | d->fast10, 0);
	assert_true(d->noted && d->semaphore);
}

/* A newer header's longer payload: what is known of it is read, the rest skipped. */
static void longer_payloads_are_read_as_far_as_known(void **state)
{
	struct image *image = *state;
	const struct note *note = note_of(image, "t.counter.total");
	struct descriptor before;

	assert_int_equal(read_again(image), 0);
	before = *result_of(image, "t.counter.total");
	/* FAST grows over SLOW behind it. */
	assert_int_equal(field_in(image, note, PROBEMETER_TAG_SLOW), field_in(image, note, PROBEMETER_TAG_FAST) + 12);
	put16(image, field_in(image, note, PROBEMETER_TAG_FAST) + 2, 8 + 8);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.problem_count, 0);
	assert_int_equal(result_of(image, "t.counter.total")->fast5, before.fast5);
	assert_int_equal(result_of(image, "t.counter.total")->fast10, before.fast10);
	assert_int_equal(result_of(image, "t.counter.total")->slow, 0);
}

/* A level table of a version that this agent does not know is not read as if it did. */
static void unknown_level_table_version_is_left_alone(void **state)
{
	struct image *image = *state;

	put32(image, field_in(image, note_of(image, "t.gauge"), PROBEMETER_TAG_LEVELS) + 8, 2);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS);
	assert_int_equal(result_of(image, "t.gauge")->levels_address, 0);
}

/* A linker may put the notes behind what they describe: then all places are negative. */
static void places_may_point_backwards(void **state)
{
	const uint32_t up = 0x20000000;
	struct image *image = *state;
	uint64_t noted = 0, again = 0;

	assert_int_equal(read_again(image), 0);
	for (size_t i = 0; i < METRICS; i++)
		noted += image->result.descriptor[i].noted + image->result.descriptor[i].fast10;
	put64(image, image->note_header + offsetof(Elf64_Phdr, p_vaddr), note_segment_of(image)->p_vaddr + up);
	for (size_t i = 0; i < METRICS; i++) {
		const struct note *note = &image->note[i];

		for (size_t at = note->at; at < note->at + note->size; at += 4 + (word_at(image, at) >> 16)) {
			uint32_t tag = word_at(image, at) & 0xffff;

			if (tag != PROBEMETER_TAG_METRIC)
				put32(image, at + 4, word_at(image, at + 4) - up);
			if (tag == PROBEMETER_TAG_FAST)
				put32(image, at + 8, word_at(image, at + 8) - up);
		}
	}
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.problem_count, 0);
	assert_int_equal(image->result.count, METRICS);
	for (size_t i = 0; i < METRICS; i++)
		again += image->result.descriptor[i].noted + image->result.descriptor[i].fast10;
	assert_int_equal(again, noted);
}

/* Places that leave the file, or its loaded part. */
static void places_outside_of_the_file_are_named(void **state)
{
	static const uint16_t tags[] = { PROBEMETER_TAG_TEXT, PROBEMETER_TAG_SEMAPHORE, PROBEMETER_TAG_SITE,
					 PROBEMETER_TAG_BOUNDS };
	static const uint32_t places[] = { 0x7fffffff, 0x80000000, 0x10000000 };
	struct image *image = *state;
	const struct note *note = note_of(image, "t.bounds");

	for (size_t i = 0; i < COUNT(tags); i++)
		for (size_t n = 0; n < COUNT(places); n++) {
			put32(image, field_in(image, note, tags[i]) + 4, places[n]);
			expect_refused(image, "t.bounds", "points outside of the file");
		}
	/* Sizes that do. */
	put32(image, field_in(image, note, PROBEMETER_TAG_TEXT) + 8, 0x7fffffff);
	expect_refused(image, "t.bounds", "points outside of the file");
	put32(image, field_in(image, note, PROBEMETER_TAG_TEXT) + 8, 0);
	expect_refused(image, "t.bounds", "no valid value");
	put32(image, field_in(image, note, PROBEMETER_TAG_BOUNDS) + 8, 0xfffffff8);
	expect_refused(image, "t.bounds", "points outside of the file");
}

/* Segments that promise more than the file holds do not make places outside of it good. */
static void segments_beyond_the_file_hold_nothing(void **state)
{
	struct image *image = *state;

	for (unsigned n = 0; n < header_of(image)->e_phnum; n++) {
		const Elf64_Phdr *s = segment_of(image, n);
		size_t at = header_of(image)->e_phoff + n * sizeof(*s);

		if (s->p_type != PT_LOAD)
			continue;
		/* The same bytes in memory, said to lie a gigabyte behind the end, or where adding wraps. */
		put64(image, at + offsetof(Elf64_Phdr, p_offset), s->p_offset + (1ull << 30));
		assert_int_equal(read_again(image), 0);
		for (size_t i = 0; i < image->result.count; i++) {
			const struct descriptor *d = &image->result.descriptor[i];

			assert_true(d->noted < image->size && d->semaphore < image->size && d->slow < image->size);
			assert_true(d->fast5 < image->size && d->fast10 < image->size);
		}
		put64(image, at + offsetof(Elf64_Phdr, p_offset), 0xfffffffffffff000);
		put64(image, at + offsetof(Elf64_Phdr, p_filesz), 0xfffffffffffff000);
		assert_int_equal(read_again(image), 0);
		for (size_t i = 0; i < image->result.count; i++)
			assert_true(image->result.descriptor[i].noted < image->size &&
				    image->result.descriptor[i].semaphore < image->size);
		restore(image);
	}
}

/* The text has its NULs where it should, and as many strings as labels make it. */
static void text_that_does_not_fit_the_labels_is_refused(void **state)
{
	struct image *image = *state;
	const struct note *note = note_of(image, "t.counter.total");
	size_t metric = field_in(image, note, PROBEMETER_TAG_METRIC), text = field_in(image, note, PROBEMETER_TAG_TEXT);
	uint32_t size = word_at(image, text + 8);

	/* No NUL at the end. */
	put32(image, text + 8, size - 1);
	expect_refused(image, "t.counter.total", "no valid value");
	put(image, target_of(image, note, PROBEMETER_TAG_TEXT) + size - 1, "x", 1);
	expect_refused(image, "t.counter.total", "no valid value");
	/* More and fewer labels than strings. */
	put32(image, metric + 8, 1);
	expect_refused(image, "t.counter.total", "labels");
	put32(image, metric + 8, 3);
	expect_refused(image, "t.counter.total", "labels");
	put32(image, metric + 8, 5);
	expect_refused(image, "t.counter.total", "no valid value");
	put32(image, metric + 8, UINT32_MAX);
	expect_refused(image, "t.counter.total", "no valid value");
	/* Nine strings: one more than four labels make. */
	put(image, target_of(image, note, PROBEMETER_TAG_TEXT) + 1, "\0\0\0\0\0\0\0\0\0", 9);
	expect_refused(image, "t.counter.total", "no valid value");
	/* No name. */
	put(image, target_of(image, note, PROBEMETER_TAG_TEXT) + sizeof("TestMetrics"), "", 1);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS - 1);
}

/* Swap the first two fields, METRIC and TEXT, of one note. */
static void text_first(struct image *image, const struct note *note, uint32_t labels)
{
	uint8_t field[24];
	uint32_t place;

	assert_int_equal(field_in(image, note, PROBEMETER_TAG_METRIC), note->at);
	assert_int_equal(field_in(image, note, PROBEMETER_TAG_TEXT), note->at + 12);
	memcpy(field, image->bytes + note->at + 12, 12);
	memcpy(field + 12, image->bytes + note->at, 12);
	/* It is relative to itself, and moved. */
	memcpy(&place, field + 4, 4);
	place += 12;
	memcpy(field + 4, &place, 4);
	memcpy(field + 20, &labels, 4);
	put(image, note->at, field, sizeof(field));
}

/* ABI.md puts the fields in no order; and whatever the order, there are never more labels than strings. */
static void fields_come_in_any_order(void **state)
{
	struct image *image = *state;
	const struct note *note = note_of(image, "t.counter.total");
	const struct descriptor *d;

	text_first(image, note, 2);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.problem_count, 0);
	d = result_of(image, "t.counter.total");
	assert_non_null(d);
	assert_int_equal(d->metric.label_count, 2);
	assert_string_equal(d->metric.label[1], "tier");
	restore(image);
	text_first(image, note, 4);
	expect_refused(image, "t.counter.total", "labels");
	text_first(image, note, 0);
	expect_refused(image, "t.counter.total", "labels");
	/* A second METRIC that says otherwise, in the place of SEMAPHORE and SITE. */
	put16(image, field_in(image, note, PROBEMETER_TAG_SEMAPHORE), PROBEMETER_TAG_METRIC);
	put16(image, field_in(image, note, PROBEMETER_TAG_SEMAPHORE) + 2, 12);
	expect_refused(image, "t.counter.total", "twice");
}

/* Bounds that no histogram can have. */
static void bad_bounds_are_refused(void **state)
{
	static const double bad[][4] = {
		{ 1, 1, 2, 3 }, { 3, 2, 1, 0 }, { 0, 1, 2, NAN }, { NAN, 1, 2, 3 }, { 0, 1, 2, INFINITY },
		{ -INFINITY, 1, 2, 3 }, { -0.0, 0.0, 1, 2 }, { 0, 1, NAN, 3 },
	};
	struct image *image = *state;
	const struct note *note = note_of(image, "t.bounds");
	size_t field = field_in(image, note, PROBEMETER_TAG_BOUNDS), at = target_of(image, note, PROBEMETER_TAG_BOUNDS);

	for (size_t i = 0; i < COUNT(bad); i++) {
		put(image, at, bad[i], sizeof(bad[i]));
		expect_refused(image, "t.bounds", "no valid value");
	}
	put32(image, field + 8, 31);
	expect_refused(image, "t.bounds", "no valid value");
	put32(image, field + 8, 0);
	expect_refused(image, "t.bounds", "no valid value");
	put32(image, field + 8, (PROBEMETER_MAX_BOUNDS + 1) * 8);
	expect_refused(image, "t.bounds", "no valid value");
}

/* What every metric needs. */
static void incomplete_descriptors_are_named(void **state)
{
	struct image *image = *state;
	const struct note *note = note_of(image, "t.histogram");

	put16(image, field_in(image, note, PROBEMETER_TAG_SITE), 999);
	expect_refused(image, "t.histogram", "incomplete");
	put16(image, field_in(image, note, PROBEMETER_TAG_SEMAPHORE), 999);
	expect_refused(image, "t.histogram", "incomplete");
	put16(image, field_in(image, note, PROBEMETER_TAG_TEXT), 999);
	expect_refused(image, "t.histogram", "incomplete");
	put32(image, field_in(image, note, PROBEMETER_TAG_METRIC) + 4, 0);
	expect_refused(image, "t.histogram", "kind");
	/* A newer header's kind: said as what it is. */
	put32(image, field_in(image, note, PROBEMETER_TAG_METRIC) + 4, 77);
	expect_refused(image, "t.histogram", "kind 77");
}

/* Other owners' notes and other types are somebody else's. */
static void foreign_notes_are_passed_over(void **state)
{
	struct image *image = *state;

	put(image, image->note[0].head + 12, "Probemeter", 10);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS - 1);
	assert_int_equal(image->result.problem_count, 0);
	restore(image);
	put32(image, image->note[0].head + 8, 2);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS - 1);
	assert_int_equal(image->result.problem_count, 0);
}

static int contents(struct image *image, const void *bytes, size_t size)
{
	assert_int_equal(ftruncate(image->fd, 0), 0);
	put(image, 0, bytes, size);
	return read_again(image);
}

/* What is no 64-bit ELF file of this byte order is told apart from one that has no metrics; nothing is returned. */
static void other_files_are_not_executables(void **state)
{
	static const struct descriptors zero;
	static const uint8_t big_endian[64] = { 0x7f, 'E', 'L', 'F', 2, 2, 1, [17] = 3, [19] = 22, [23] = 1, [53] = 64 };
	struct image *image = *state;
	struct descriptors untouched;

	memset(&untouched, 0x5a, sizeof(untouched));
	assert_int_equal(contents(image, "", 0), -ENOEXEC);
	assert_memory_equal(&image->result, &untouched, sizeof(untouched));
	assert_int_equal(contents(image, "#!/bin/sh\necho no\n", 18), -ENOEXEC);
	assert_int_equal(contents(image, "\x7f", 1), -ENOEXEC);
	assert_int_equal(contents(image, "\x7f" "ELF", 4), -ENOEXEC);
	assert_int_equal(contents(image, "!<arch>\n", 8), -ENOEXEC);
	assert_int_equal(contents(image, image->bytes, 40), -ENOEXEC);
	restore(image);
	put(image, EI_CLASS, "\1", 1);
	assert_int_equal(read_again(image), -ENOEXEC);
	restore(image);
	put(image, EI_DATA, "\2", 1);
	assert_int_equal(read_again(image), -ENOEXEC);
	assert_memory_equal(&image->result, &untouched, sizeof(untouched));
	/* A sound header of the other byte order. */
	assert_int_equal(contents(image, big_endian, sizeof(big_endian)), -ENOEXEC);
	/* The bare header of a program is one, and has nothing. */
	restore(image);
	put16(image, offsetof(Elf64_Ehdr, e_phnum), 0);
	assert_int_equal(read_again(image), 0);
	assert_memory_equal(&image->result, &zero, sizeof(zero));
}

/* What is built for another machine is told and not counted; without metrics it is no file of ours. */
static void other_machines_are_named_and_have_no_metrics(void **state)
{
	struct image *image = *state;
	const Elf64_Half native = header_of(image)->e_machine, other = native == EM_AARCH64 ? EM_X86_64 : EM_AARCH64;

	put16(image, offsetof(Elf64_Ehdr, e_machine), other);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, 0);
	assert_int_equal(image->result.problem_count, 1);
	assert_non_null(strstr(image->result.problem[0], other == EM_AARCH64 ? "built for arm64" : "built for x86-64"));
	put16(image, offsetof(Elf64_Ehdr, e_phnum), 0);
	assert_int_equal(read_again(image), -ENOEXEC);
}

/* A file cut off anywhere: an answer, and problems for what was lost, never a metric that is not there. */
static void truncated_files_are_survived(void **state)
{
	struct image *image = *state;
	size_t end = image->note[METRICS - 1].at + image->note[METRICS - 1].size;

	for (size_t size = image->size; size; size -= size > end + 64 ? (size - end) / 8 + 1 : 1) {
		int err;

		assert_int_equal(ftruncate(image->fd, (off_t)size), 0);
		err = read_again(image);
		assert_true(err == 0 || err == -ENOEXEC);
		if (err)
			continue;
		for (size_t i = 0; i < image->result.count; i++)
			assert_true(image->result.descriptor[i].noted < size && image->result.descriptor[i].semaphore < size);
		assert_true(image->result.count == METRICS || image->result.problem_count || size < end);
		/* Cut before the notes: said so. */
		assert_true(size >= end || size < 4096 || image->result.problem_count);
	}
}

/* Numbers in headers are a stranger's word. */
static void huge_numbers_are_not_believed(void **state)
{
	static const uint64_t huge[] = { UINT64_MAX, 1ull << 63, (1ull << 63) - 1, 1ull << 40, 1ull << 32 };
	struct image *image = *state;

	for (size_t i = 0; i < COUNT(huge); i++) {
		put64(image, image->note_header + offsetof(Elf64_Phdr, p_filesz), huge[i]);
		assert_int_equal(read_again(image), 0);
		assert_int_equal(image->result.count, 0);
		assert_int_equal(image->result.problem_count, 1);
		assert_non_null(strstr(image->result.problem[0], "too large"));
		restore(image);
		put64(image, image->note_header + offsetof(Elf64_Phdr, p_offset), huge[i]);
		assert_int_equal(read_again(image), 0);
		assert_int_equal(image->result.count, 0);
		assert_non_null(strstr(image->result.problem[0], "outside of the file"));
		restore(image);
		put64(image, image->note_header + offsetof(Elf64_Phdr, p_vaddr), huge[i]);
		assert_int_equal(read_again(image), 0);
		assert_int_equal(image->result.count, 0);
		assert_int_equal(image->result.problem_count, METRICS);
		restore(image);
		put64(image, offsetof(Elf64_Ehdr, e_phoff), huge[i]);
		(void)read_again(image);
		restore(image);
	}
	put16(image, offsetof(Elf64_Ehdr, e_phnum), 0xfffe);
	(void)read_again(image);
	put16(image, offsetof(Elf64_Ehdr, e_phnum), PN_XNUM);
	(void)read_again(image);
	restore(image);
	put16(image, offsetof(Elf64_Ehdr, e_phentsize), 1);
	(void)read_again(image);
}

/* Room behind the file, mapped at an address of its own by the program header that marks the stack. */
#define EXTRA_ADDRESS 0x20000000ull

static size_t append(struct image *image, const void *bytes, size_t size)
{
	size_t at = (image->size + 4095) & ~4095ull;

	put(image, at, bytes, size);
	for (unsigned n = 0; n < header_of(image)->e_phnum; n++)
		if (segment_of(image, n)->p_type == PT_GNU_STACK) {
			const Elf64_Phdr extra = { .p_type = PT_LOAD, .p_offset = at, .p_vaddr = EXTRA_ADDRESS,
						   .p_filesz = size, .p_memsz = size, .p_align = 4096 };

			put(image, header_of(image)->e_phoff + n * sizeof(extra), &extra, sizeof(extra));
			return at;
		}
	fail_msg("no PT_GNU_STACK");
	return 0;
}

static void note_segment_at(struct image *image, size_t offset, uint64_t address, size_t size)
{
	put64(image, image->note_header + offsetof(Elf64_Phdr, p_offset), offset);
	put64(image, image->note_header + offsetof(Elf64_Phdr, p_vaddr), address);
	put64(image, image->note_header + offsetof(Elf64_Phdr, p_filesz), size);
}

enum { BIG_TEXT = 16384 };

/* Scope, name, unit, description: as long as a text may be. */
static void big_text(char *ret)
{
	memset(ret, 'x', BIG_TEXT);
	ret[BIG_TEXT - 1] = ret[BIG_TEXT - 2] = ret[BIG_TEXT - 3] = ret[BIG_TEXT - 10] = '\0';
}

/* A field that points to the text which stands at EXTRA_ADDRESS. @address is the field's own. */
static size_t text_field(uint8_t *to, uint64_t address)
{
	const uint16_t head[] = { PROBEMETER_TAG_TEXT, 8 };
	const int32_t place = (int32_t)(EXTRA_ADDRESS - address - 4);
	const uint32_t size = BIG_TEXT;

	memcpy(to, head, 4);
	memcpy(to + 4, &place, 4);
	memcpy(to + 8, &size, 4);
	return 12;
}

static size_t note_head(uint8_t *to, uint32_t size)
{
	const uint32_t head[] = { 11, size, PROBEMETER_NOTE_TYPE };

	memcpy(to, head, sizeof(head));
	memcpy(to + 12, "probemeter\0", 12);
	return 24;
}

/* The most memory this process ever had, in bytes. */
static size_t peak(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return (size_t)usage.ru_maxrss * 1024;
}

/* A small file must not make the agent take much memory: one note with thousands of long texts, or as many notes. */
static void small_files_cannot_take_much_memory(void **state)
{
	enum { FIELDS = 6000 };
	struct image *image = *state;
	uint8_t *bytes = calloc(1, BIG_TEXT + FIELDS * 36 + 24);
	size_t used, at, before = peak();

	big_text((char *)bytes);
	used = BIG_TEXT + note_head(bytes + BIG_TEXT, FIELDS * 12);
	for (int i = 0; i < FIELDS; i++)
		used += text_field(bytes + used, EXTRA_ADDRESS + used);
	at = append(image, bytes, used);
	note_segment_at(image, at + BIG_TEXT, EXTRA_ADDRESS + BIG_TEXT, used - BIG_TEXT);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, 0);
	assert_true(image->result.problem_count > 0);
	assert_true(arena_bytes(image->arena) < 32u << 20);
	restore(image);

	for (int i = 0, n = used = BIG_TEXT; i < FIELDS; i++, n = (int)used) {
		used += note_head(bytes + n, 12);
		used += text_field(bytes + used, EXTRA_ADDRESS + used);
	}
	at = append(image, bytes, used);
	note_segment_at(image, at + BIG_TEXT, EXTRA_ADDRESS + BIG_TEXT, used - BIG_TEXT);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, 0);
	assert_true(image->result.problem_count > 0);
	assert_true(arena_bytes(image->arena) < 32u << 20);
	assert_true(peak() - before < 128u << 20);
	free(bytes);
}

/* A sparse file may say that it has more headers of either sort than there is memory. */
static void pretended_headers_take_no_memory(void **state)
{
	enum { HEADERS = 1 << 20 };
	const Elf64_Shdr first = { .sh_size = HEADERS, .sh_info = HEADERS };
	struct image *image = *state;
	size_t before = peak(), at = (image->size + 4095) & ~4095ull;

	assert_int_equal(ftruncate(image->fd, 1ll << 40), 0);
	put(image, at, &first, sizeof(first));
	put64(image, offsetof(Elf64_Ehdr, e_shoff), at);
	put16(image, offsetof(Elf64_Ehdr, e_shnum), 0);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS);
	put16(image, offsetof(Elf64_Ehdr, e_phnum), PN_XNUM);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS);
	assert_true(peak() - before < 16u << 20);
}

/* One file cannot take all the numbers that there are for metrics; what is past its share is said. */
static void metrics_of_one_file_are_limited(void **state)
{
	enum { NOTES = 600 };
	struct image *image = *state;
	const struct note *from = note_of(image, "t.counter.total");
	size_t step = 24 + ((from->size + 3) & ~3u), at;
	uint8_t *bytes = calloc(NOTES, step);

	/* The same note again and again: its places are relative, so they are put right. */
	for (size_t i = 0; i < NOTES; i++) {
		uint8_t *to = bytes + i * step;
		const uint64_t moved = EXTRA_ADDRESS + i * step + 24 - from->address;

		(void)note_head(to, from->size);
		memcpy(to + 24, image->bytes + from->at, from->size);
		for (size_t field = 0; field < from->size;) {
			const uint16_t tag = *(uint16_t *)(void *)(to + 24 + field), size = *(uint16_t *)(void *)(to + 26 + field);
			const size_t places = tag == PROBEMETER_TAG_METRIC ? 0 : tag == PROBEMETER_TAG_FAST ? 2 : 1;

			for (size_t n = 0; n < places; n++) {
				int32_t *place = (int32_t *)(void *)(to + 28 + field + 4 * n);

				*place -= (int32_t)moved;
			}
			field += 4 + size;
		}
	}
	at = append(image, bytes, NOTES * step);
	note_segment_at(image, at, EXTRA_ADDRESS, NOTES * step);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, 512);
	assert_int_equal(image->result.problem_count, 1);
	assert_non_null(strstr(image->result.problem[0], "more than 512 descriptors"));
	free(bytes);
}

/* Five hundred segments over the same bytes are read as far as one large one would be. */
static void overlapping_segments_are_bounded(void **state)
{
	enum { SEGMENTS = 500, BYTES = 1 << 20 };
	struct image *image = *state;
	Elf64_Phdr *segment = calloc(SEGMENTS, sizeof(*segment));
	uint8_t *bytes = calloc(1, BYTES);
	size_t before = peak(), at;

	for (size_t i = 0; i < BYTES; i += 24)
		if (i + 24 <= BYTES)
			(void)note_head(bytes + i, 0);
	at = (image->size + 4095) & ~4095ull;
	for (size_t i = 0; i < SEGMENTS; i++)
		segment[i] = (Elf64_Phdr){
			.p_type = PT_NOTE, .p_offset = at + 24 * i, .p_filesz = BYTES - 24 * SEGMENTS, .p_align = 4
		};
	put(image, at, bytes, BYTES);
	put(image, at + BYTES, segment, SEGMENTS * sizeof(*segment));
	put64(image, offsetof(Elf64_Ehdr, e_phoff), at + BYTES);
	put16(image, offsetof(Elf64_Ehdr, e_phnum), SEGMENTS);
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, 0);
	assert_true(image->result.problem_count > 0);
	assert_true(peak() - before < 128u << 20);
	free(segment);
	free(bytes);
}

/* What callers rely on, whatever the file was. */
static void check_sound(const struct image *image)
{
	const struct descriptors *result = &image->result;

	for (size_t i = 0; i < result->problem_count; i++)
		assert_true(strlen(result->problem[i]) > 10);
	for (size_t i = 0; i < result->count; i++) {
		const struct descriptor *d = &result->descriptor[i];
		const struct metric *m = &d->metric;

		assert_in_range(m->kind, PROBEMETER_KIND_COUNTER, PROBEMETER_KIND_HISTOGRAM);
		assert_true(m->label_count <= PROBEMETER_MAX_LABELS);
		assert_true(m->bound_count <= PROBEMETER_MAX_BOUNDS);
		assert_true(strlen(m->name) + strlen(m->scope) + strlen(m->unit) + strlen(m->description) > 0);
		for (uint32_t n = 0; n < m->label_count; n++)
			assert_true(strlen(m->label[n]) < 3 * 16384);
		for (uint32_t n = 1; n < m->bound_count; n++)
			assert_true(m->bound[n - 1] < m->bound[n]);
		assert_true(d->noted && d->noted < image->size && d->semaphore && d->semaphore < image->size);
	}
}

/* Random bytes in the headers, the notes and the texts: sanitizers watch, and what is returned is sound. */
static void random_damage_is_survived(void **state)
{
	enum { TURNS = 20000 };
	struct image *image = *state;
	const struct note *first = &image->note[0], *last = &image->note[METRICS - 1];
	const size_t text = target_of(image, first, PROBEMETER_TAG_TEXT);
	const struct {
		size_t at, size;
	} area[] = {
		{ 0, sizeof(Elf64_Ehdr) },
		{ header_of(image)->e_phoff, header_of(image)->e_phnum * sizeof(Elf64_Phdr) },
		{ first->head, last->at + last->size - first->head },
		{ first->head, last->at + last->size - first->head },
		{ text, 64 },
	};
	uint64_t seed = 20240229;
	size_t whole = 0, refused = 0;
	struct timespec start, end;

	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	for (int turn = 0; turn < TURNS; turn++) {
		size_t offset[3], n, flips;
		int err;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		flips = 1 + (seed >> 40) % 3;
		for (n = 0; n < flips; n++) {
			size_t a = (seed >> 33) % COUNT(area);
			uint8_t byte;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			offset[n] = area[a].at + (seed >> 33) % area[a].size;
			/* Any byte, or one bit of the right one. */
			byte = seed >> 20 & 1 ? (uint8_t)(seed >> 56) : image->bytes[offset[n]] ^ (uint8_t)(1u << (seed >> 61));
			put(image, offset[n], &byte, 1);
		}
		err = read_again(image);
		assert_true(err == 0 || err == -ENOEXEC);
		if (!err)
			check_sound(image);
		whole += !err && image->result.count == METRICS;
		refused += !err && image->result.problem_count;
		for (n = 0; n < flips; n++)
			put(image, offset[n], image->bytes + offset[n], 1);
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	print_message("seed 20240229: %d files, %zu whole all the same, %zu with problems; %.1f s\n", TURNS, whole, refused,
		      (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
	assert_true(refused > TURNS / 10);
	/* The last one was put right again. */
	assert_int_equal(read_again(image), 0);
	assert_int_equal(image->result.count, METRICS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_kind_is_read_with_all_it_says),
		TEST(offsets_are_those_of_the_nops),
		TEST(addresses_are_the_programs_own_plus_bias),
		TEST(torn_note_is_named),
		TEST(torn_field_is_named),
		TEST(unknown_tags_are_skipped),
		TEST(longer_payloads_are_read_as_far_as_known),
		TEST(unknown_level_table_version_is_left_alone),
		TEST(places_may_point_backwards),
		TEST(places_outside_of_the_file_are_named),
		TEST(segments_beyond_the_file_hold_nothing),
		TEST(text_that_does_not_fit_the_labels_is_refused),
		TEST(fields_come_in_any_order),
		TEST(bad_bounds_are_refused),
		TEST(incomplete_descriptors_are_named),
		TEST(foreign_notes_are_passed_over),
		TEST(other_files_are_not_executables),
		TEST(other_machines_are_named_and_have_no_metrics),
		TEST(truncated_files_are_survived),
		TEST(huge_numbers_are_not_believed),
		TEST(small_files_cannot_take_much_memory),
		TEST(pretended_headers_take_no_memory),
		TEST(metrics_of_one_file_are_limited),
		TEST(overlapping_segments_are_bounded),
		TEST(random_damage_is_survived),
	};

	use_all();
	return cmocka_run_group_tests_name("descriptor", tests, NULL, NULL);
}
