/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * descriptor.c - from an ELF file to its metrics and probe sites.
 *
 * Consumes an open file, which any user may have written, and may be writing now. Produces struct descriptors. Only
 * program headers are used: sections can be stripped. Each byte range is copied once, checked against the file's size
 * before and looked at only in the copy, so that nothing changes underfoot. Every count and length from the file is held
 * against a limit before it is believed: that is why no ELF library is used, which would allocate and read as many section
 * and program headers as a sparse file pretends to have.
 *
 * Attaching, and what a metric means, is for others.
 */
#include "descriptor.h"

#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "utf8.h"

/* Per file. What was read counts, good or not: places may all point to the same bytes. */
#define MAX_DESCRIPTORS 512 /* an eighth of PM_MAX_METRICS */
#define MAX_NOTE_BYTES (1u << 20)
#define MAX_TEXTS_BYTES (1u << 20)
#define MAX_TEXT_BYTES 16384 /* of one metric */
#define MAX_PROBLEMS 16
#define MAX_PROGRAM_HEADERS 512
#define STRINGS_BEFORE_LABELS 4

struct reader {
	int fd;
	struct arena *arena;
	struct arena *scratch; /* of what is read and not kept */
	struct descriptors result;
	size_t capacity;
	uint64_t file_size;
	size_t tried; /* descriptors looked at */
	uint64_t note_bytes, text_bytes; /* looked at */
	uint32_t text_labels; /* strings behind the description in the last text read */
};

/* One tagged field: payload and the virtual address it stands at. */
struct field {
	uint16_t tag;
	uint16_t size;
	const uint8_t *payload;
	uint64_t address;
};

static __attribute__((format(printf, 2, 3))) void problem(struct reader *reader, const char *format, ...)
{
	struct descriptors *result = &reader->result;
	char text[256];
	va_list args;

	if (!result->problem)
		result->problem = arena_alloc(reader->arena, MAX_PROBLEMS * sizeof(*result->problem), sizeof(void *));
	if (!result->problem || result->problem_count == MAX_PROBLEMS)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	result->problem[result->problem_count] = arena_strdup(reader->arena, text);
	if (result->problem[result->problem_count])
		result->problem_count++;
}

static uint16_t read16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint32_t read32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* The target of the @n-th place of a field; places are relative to themselves. */
static uint64_t place(const struct field *field, unsigned n)
{
	return field->address + 4 * n + (uint64_t)(int64_t)(int32_t)read32(field->payload + 4 * n);
}

/* File offset of a virtual address, 0 if it has no place in the file. */
static uint64_t offset_of(const struct reader *reader, uint64_t address, uint64_t size)
{
	size_t i;

	for (i = 0; i < reader->result.segment_count; i++) {
		const struct segment *s = &reader->result.segment[i];

		if (address >= s->address && address - s->address < s->file_size &&
		    size <= s->file_size - (address - s->address))
			return address - s->address + s->offset;
	}
	return 0;
}

/* Up to @size bytes from @offset on. Return: how many there are, or -errno. */
static ssize_t file_read(int fd, uint64_t offset, void *to, size_t size)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = pread(fd, (char *)to + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* A copy of @size bytes at @offset; NULL if the file has less there, or cannot be read. The caller has limited @size. */
static const void *bytes_read(const struct reader *reader, uint64_t offset, uint64_t size)
{
	void *bytes;

	if (offset > reader->file_size || size > reader->file_size - offset)
		return NULL;
	bytes = arena_alloc(reader->scratch, size, sizeof(uint64_t));
	if (!bytes || file_read(reader->fd, offset, bytes, size) != (ssize_t)size)
		return NULL;
	return bytes;
}

static const void *bytes_at(const struct reader *reader, uint64_t address, uint64_t size)
{
	uint64_t offset = offset_of(reader, address, size);

	return offset ? bytes_read(reader, offset, size) : NULL;
}

/* Scope, name, unit, description, labels: each with its NUL. */
static int text_read(struct reader *reader, const struct field *field, struct metric *ret)
{
	uint32_t size = read32(field->payload + 4), seen, room;
	const char **to[STRINGS_BEFORE_LABELS + PROBEMETER_MAX_LABELS] = {
		&ret->scope, &ret->name, &ret->unit, &ret->description,
		&ret->label[0], &ret->label[1], &ret->label[2], &ret->label[3],
	};
	const char *at, *end;

	if (!size || size > MAX_TEXT_BYTES)
		return -EINVAL;
	reader->text_bytes += size;
	if (reader->text_bytes > MAX_TEXTS_BYTES)
		return -EFBIG;
	at = bytes_at(reader, place(field, 0), size);
	if (!at || at[size - 1])
		return -EINVAL;
	for (end = at + size, seen = 0; at < end; seen++, at += strlen(at) + 1) {
		size_t length = strlen(at);
		char *copy;

		if (seen == STRINGS_BEFORE_LABELS + PROBEMETER_MAX_LABELS)
			return -EINVAL;
		/* Three bytes per byte is the most that cleaning makes of it. */
		room = (uint32_t)(3 * length + 1);
		copy = arena_alloc(reader->arena, room, 1);
		if (!copy)
			return -ENOMEM;
		(void)utf8_clean(at, length, copy, room);
		*to[seen] = copy;
	}
	if (seen < STRINGS_BEFORE_LABELS)
		return -EINVAL;
	reader->text_labels = seen - STRINGS_BEFORE_LABELS;
	return 0;
}

static int bounds_read(struct reader *reader, const struct field *field, struct metric *ret)
{
	uint32_t size = read32(field->payload + 4), count = size / sizeof(double), i;
	const void *bytes;
	double *bound;

	if (!count || count > PROBEMETER_MAX_BOUNDS || size % sizeof(double))
		return -EINVAL;
	bytes = bytes_at(reader, place(field, 0), size);
	if (!bytes)
		return -EINVAL;
	bound = arena_alloc(reader->arena, size, sizeof(double));
	if (!bound)
		return -ENOMEM;
	memcpy(bound, bytes, size);
	for (i = 0; i < count; i++)
		if (bound[i] - bound[i] != 0 || (i && bound[i - 1] >= bound[i]))
			return -EINVAL; /* not finite, or not ascending */
	ret->bound = bound;
	ret->bound_count = count;
	return 0;
}

/* The shortest payload each tag may have; a longer one is a newer header's, and its known part is read. */
static const uint16_t tag_size[] = {
	[PROBEMETER_TAG_METRIC] = 8, [PROBEMETER_TAG_TEXT] = 8, [PROBEMETER_TAG_SEMAPHORE] = 4,
	[PROBEMETER_TAG_SITE] = 4,   [PROBEMETER_TAG_FAST] = 8, [PROBEMETER_TAG_SLOW] = 4,
	[PROBEMETER_TAG_BOUNDS] = 8, [PROBEMETER_TAG_LEVELS] = 8,
};

static int field_apply(struct reader *reader, const struct field *field, struct descriptor *ret)
{
	switch (field->tag) {
	case PROBEMETER_TAG_METRIC:
		ret->metric.kind = read32(field->payload);
		ret->metric.label_count = read32(field->payload + 4);
		return ret->metric.label_count <= PROBEMETER_MAX_LABELS ? 0 : -EINVAL;
	case PROBEMETER_TAG_TEXT:
		return text_read(reader, field, &ret->metric);
	case PROBEMETER_TAG_SEMAPHORE:
		ret->semaphore_address = place(field, 0);
		ret->semaphore = offset_of(reader, ret->semaphore_address, 2);
		return ret->semaphore ? 0 : -EINVAL;
	case PROBEMETER_TAG_SITE:
		ret->noted = offset_of(reader, place(field, 0), 1);
		return ret->noted ? 0 : -EINVAL;
	case PROBEMETER_TAG_FAST:
		ret->fast5 = offset_of(reader, place(field, 0), 5);
		ret->fast10 = offset_of(reader, place(field, 1), 10);
		return 0;
	case PROBEMETER_TAG_SLOW:
		ret->slow = offset_of(reader, place(field, 0), 1);
		return 0;
	case PROBEMETER_TAG_BOUNDS:
		return bounds_read(reader, field, &ret->metric);
	case PROBEMETER_TAG_LEVELS:
		if (read32(field->payload + 4) == PROBEMETER_LEVELS_VERSION)
			ret->levels_address = place(field, 0);
		return 0;
	default:
		return 0; /* a newer header's */
	}
}

/* OTLP wants attribute keys that are not empty and differ. */
static bool label_is_bad(const struct metric *metric, uint32_t label)
{
	uint32_t i;

	for (i = 0; i < label; i++)
		if (!strcmp(metric->label[i], metric->label[label]))
			return true;
	return !*metric->label[label];
}

/* One note's descriptor, its tagged fields. @address is where @at is in memory. */
static void descriptor_read(struct reader *reader, const uint8_t *at, uint32_t size, uint64_t address)
{
	struct descriptor *table = reader->result.descriptor, fresh = { 0 };
	size_t number = reader->tried;
	uint32_t seen = 0, label; /* @seen: a bit per known tag */
	int err;
	const uint8_t *start = at, *end = at + size;

	while (at < end) {
		struct field field = { .address = address + (uint64_t)(at - start) + 4, .payload = at + 4 };

		if (end - at < 4) {
			problem(reader, "descriptor %zu is torn: a field's head needs 4 bytes, %td are left", number, end - at);
			return;
		}
		field.tag = read16(at);
		field.size = read16(at + 2);
		if (field.size > end - at - 4) {
			problem(reader, "descriptor %zu is torn: field %u needs %u bytes, %td are left", number, field.tag,
				field.size, end - at - 4);
			return;
		}
		if (field.tag < sizeof(tag_size) / sizeof(tag_size[0]) && field.size < tag_size[field.tag]) {
			problem(reader, "descriptor %zu: field %u has %u bytes, needs %u", number, field.tag, field.size,
				tag_size[field.tag]);
			return;
		}
		if (field.tag < sizeof(tag_size) / sizeof(tag_size[0])) {
			if (seen & 1u << field.tag) {
				problem(reader, "descriptor %zu: field %u is there twice", number, field.tag);
				return;
			}
			seen |= 1u << field.tag;
		}
		err = field_apply(reader, &field, &fresh);
		if (err == -EFBIG) {
			problem(reader, "descriptor %zu: more than %u bytes of text in one file", number, MAX_TEXTS_BYTES);
			return;
		}
		if (err) {
			problem(reader, "descriptor %zu: field %u points outside of the file or holds no valid value", number,
				field.tag);
			return;
		}
		at += 4 + ((field.size + 3u) & ~3u);
	}
	if (!fresh.metric.name || !*fresh.metric.name || !fresh.noted || !fresh.semaphore || !fresh.metric.kind) {
		problem(reader, "descriptor %zu is incomplete: name, kind, site and semaphore are needed", number);
		return;
	}
	if (fresh.metric.kind > PROBEMETER_KIND_HISTOGRAM) {
		problem(reader, "'%s' is of kind %u, which this agent does not know", fresh.metric.name, fresh.metric.kind);
		return;
	}
	/* Only now, as fields come in any order. */
	if (fresh.metric.label_count != reader->text_labels) {
		problem(reader, "'%s' has %u labels, but the names of %u", fresh.metric.name, fresh.metric.label_count,
			reader->text_labels);
		return;
	}
	for (label = 0; label < fresh.metric.label_count && label < reader->text_labels; label++)
		if (label_is_bad(&fresh.metric, label)) {
			problem(reader, "'%s': label %u has no name, or another one's", fresh.metric.name, label);
			return;
		}
	if (reader->result.count == reader->capacity) {
		size_t more = reader->capacity ? 2 * reader->capacity : 64;
		struct descriptor *grown = arena_alloc(reader->arena, more * sizeof(*grown), sizeof(void *));

		if (!grown)
			return;
		if (table)
			memcpy(grown, table, reader->result.count * sizeof(*grown));
		reader->result.descriptor = table = grown;
		reader->capacity = more;
	}
	table[reader->result.count++] = fresh;
}

/* All notes of one PT_NOTE segment, 4 bytes a step also where the segment is aligned to 8: mold puts the linker's own
 * property note, which has a whole number of 8 bytes, and ours into one. */
static void notes_read(struct reader *reader, const Elf64_Phdr *segment)
{
	uint64_t size = segment->p_filesz;
	const uint8_t *bytes, *at, *end;

	if (size > MAX_NOTE_BYTES - reader->note_bytes) {
		problem(reader, "a note segment of %llu bytes is too large (at most %u in one file), skipped",
			(unsigned long long)size, MAX_NOTE_BYTES);
		return;
	}
	reader->note_bytes += size;
	bytes = bytes_read(reader, segment->p_offset, size);
	if (!bytes) {
		problem(reader, "a note segment lies outside of the file");
		return;
	}
	for (at = bytes, end = bytes + size; end - at >= 12;) {
		uint64_t name_size = read32(at), desc_size = read32(at + 4);
		uint64_t name_room = (name_size + 3) & ~3ull, desc_room = (desc_size + 3) & ~3ull;
		uint64_t left = (uint64_t)(end - at) - 12;

		if (name_room > left || desc_size > left - name_room) {
			problem(reader, "a note is torn: it needs %llu bytes, %llu are left",
				(unsigned long long)(name_room + desc_size), (unsigned long long)left);
			return;
		}
		if (read32(at + 8) == PROBEMETER_NOTE_TYPE && name_size == sizeof(PROBEMETER_NOTE_OWNER) &&
		    !memcmp(at + 12, PROBEMETER_NOTE_OWNER, name_size)) {
			if (reader->tried == MAX_DESCRIPTORS) {
				problem(reader, "more than %d descriptors, the rest is skipped", MAX_DESCRIPTORS);
				return;
			}
			descriptor_read(reader, at + 12 + name_room, (uint32_t)desc_size,
					segment->p_vaddr + (uint64_t)(at - bytes) + 12 + name_room);
			reader->tried++;
		}
		if (desc_room > left - name_room)
			return;
		at += 12 + name_room + desc_room;
	}
}

/* A loaded segment, as far as the file holds it. */
static void segment_add(struct reader *reader, const Elf64_Phdr *segment)
{
	struct segment *to = &reader->result.segment[reader->result.segment_count];

	if (reader->result.segment_count == DESCRIPTORS_SEGMENTS || segment->p_offset >= reader->file_size)
		return;
	*to = (struct segment){
		.address = segment->p_vaddr,
		.offset = segment->p_offset,
		.file_size = segment->p_filesz,
		.memory_size = segment->p_memsz,
		.executable = segment->p_flags & PF_X,
	};
	if (to->file_size > reader->file_size - to->offset)
		to->file_size = reader->file_size - to->offset;
	reader->result.segment_count++;
}

#ifdef __aarch64__
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_X86_64
#endif

/* Machines that the headers know. */
static const char *machine_name(uint16_t machine)
{
	return machine == EM_X86_64 ? "x86-64" : machine == EM_AARCH64 ? "arm64" : "another machine";
}

static bool header_fits(const Elf64_Ehdr *header)
{
	const int native = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

	return !memcmp(header->e_ident, ELFMAG, SELFMAG) && header->e_ident[EI_CLASS] == ELFCLASS64 &&
	       header->e_ident[EI_DATA] == native && header->e_ident[EI_VERSION] == EV_CURRENT &&
	       (!header->e_phnum || header->e_phentsize == sizeof(Elf64_Phdr));
}

/* The program headers that the file holds, of at most MAX_PROGRAM_HEADERS. */
static int segments_read(struct reader *reader, const Elf64_Ehdr *header)
{
	size_t count = header->e_phnum < MAX_PROGRAM_HEADERS ? header->e_phnum : MAX_PROGRAM_HEADERS, i;
	Elf64_Phdr *segment;
	ssize_t n;

	if (!count || header->e_phoff >= reader->file_size)
		return 0;
	segment = arena_array(reader->scratch, count, sizeof(*segment));
	if (!segment)
		return -ENOMEM;
	n = file_read(reader->fd, header->e_phoff, segment, count * sizeof(*segment));
	if (n < 0)
		return -EIO;
	count = (size_t)n / sizeof(*segment);
	for (i = 0; i < count; i++)
		if (segment[i].p_type == PT_LOAD)
			segment_add(reader, &segment[i]);
	for (i = 0; i < count; i++)
		if (segment[i].p_type == PT_NOTE)
			notes_read(reader, &segment[i]);
	return 0;
}

/* Another machine's file, which an emulator may run here: its metrics are told of, and none is counted. */
static int machine_refuse(struct reader *reader, uint16_t machine)
{
	if (!reader->result.count)
		return -ENOEXEC;
	problem(reader, "it is built for %s, and only programs for %s can be probed here", machine_name(machine),
		machine_name(MACHINE));
	reader->result.count = 0;
	return 0;
}

int descriptors_read(int fd, struct arena *arena, struct descriptors *ret)
{
	struct reader reader = { .fd = fd, .arena = arena };
	Elf64_Ehdr header;
	struct stat st;
	ssize_t n;
	int err;

	if (fstat(fd, &st))
		return -EIO;
	reader.file_size = (uint64_t)st.st_size;
	n = file_read(fd, 0, &header, sizeof(header));
	if (n < 0)
		return -EIO;
	if (n != sizeof(header) || !header_fits(&header))
		return -ENOEXEC;
	reader.scratch = arena_new();
	if (!reader.scratch)
		return -ENOMEM;
	err = segments_read(&reader, &header);
	arena_free(reader.scratch);
	if (!err && header.e_machine != MACHINE)
		err = machine_refuse(&reader, header.e_machine);
	if (!err)
		*ret = reader.result;
	return err;
}

int descriptors_bias(const struct descriptors *descriptors, uint64_t map_start, uint64_t offset, uint64_t *ret)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	size_t i;

	for (i = 0; i < descriptors->segment_count; i++) {
		const struct segment *s = &descriptors->segment[i];
		uint64_t start = s->offset & ~(page - 1);

		/* Neighbouring segments may share a page of the file; only an executable mapping is asked for. */
		if (s->executable && offset >= start && offset < s->offset + s->file_size) {
			*ret = map_start - (s->address - s->offset + offset);
			return 0;
		}
	}
	return -ENOENT;
}
