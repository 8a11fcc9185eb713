/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * descriptor.h - the metrics and probe sites of one ELF file, read from its descriptor notes.
 */
#ifndef PROBEMETER_DESCRIPTOR_H
#define PROBEMETER_DESCRIPTOR_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "points.h"

/* One metric of one linked object. Offsets are into the file, addresses are the file's virtual ones; 0: none. */
struct descriptor {
	struct metric metric; /* id not set */
	uint64_t noted; /* offset of the nop that the USDT note names */
	uint64_t fast5; /* offset of the guarded 5-byte nop; 0 where stubs have one nop */
	uint64_t fast10; /* offset of the guarded 10-byte nop */
	uint64_t slow; /* offset of the 1-byte nop for those the guard turns away */
	uint64_t semaphore; /* offset */
	uint64_t semaphore_address;
	uint64_t levels_address; /* the level table, for levels only */
	uint32_t left_out; /* bit n: label n is not counted by; set by trims_apply() of trim.h */
};

struct segment {
	uint64_t address;
	uint64_t offset;
	uint64_t file_size;
	uint64_t memory_size;
	uint32_t executable;
};

#define DESCRIPTORS_SEGMENTS 64
struct descriptors {
	struct descriptor *descriptor;
	size_t count;
	struct segment segment[DESCRIPTORS_SEGMENTS]; /* PT_LOAD */
	size_t segment_count;
	/* What was wrong, one sentence each: those notes were skipped. */
	const char **problem;
	size_t problem_count;
};

/**
 * descriptors_read - read all descriptors of an ELF file
 * @fd:     open for reading; position is left alone; may be hostile: everything is bounded
 * @arena:  owns what @ret points to
 * @ret:    descriptors; untouched on failure
 *
 * What is built for another machine has a problem and no descriptor.
 *
 * Return: 0 (also with no descriptor at all), -ENOEXEC if @fd is no 64-bit ELF file of this machine, -ENOMEM, -EIO.
 * Source: include/probemeter/ABI.md.
 */
int descriptors_read(int fd, struct arena *arena, struct descriptors *ret);

/* Load bias of an executable mapping: add it to the file's virtual addresses. @offset is the mapping's file offset.
 * Return: 0, or -ENOENT if no segment covers @offset. */
int descriptors_bias(const struct descriptors *descriptors, uint64_t map_start, uint64_t offset, uint64_t *ret);

#endif
