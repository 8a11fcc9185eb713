/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reach.c - what a process maps, and what of it keeps a probe from firing.
 *
 * Consumes /proc/PID/maps; produces words. The kernel puts probes into mappings of a file. Code that a program has moved
 * to anonymous memory, as some do to have it in huge pages, is none any more. Under valgrind the code is there, but
 * valgrind runs its own translation of it, in which the kernel's breakpoint is a signal that nobody expects.
 */
#include "reach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int add(struct reach *reach, const struct reach_mapping *mapping)
{
	struct reach_mapping *grown;

	if (!(reach->count & (reach->count - 1))) {
		grown = realloc(reach->mapping, (reach->count ? 2 * reach->count : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		reach->mapping = grown;
	}
	reach->mapping[reach->count++] = *mapping;
	return 0;
}

int reach_read(pid_t pid, struct reach *ret)
{
	struct reach reach = { 0 };
	unsigned long long start, end, offset, inode;
	unsigned major, minor;
	char path[32], permissions[5], *line = NULL;
	size_t room = 0;
	FILE *file;
	int err = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "re");
	while (!err && file && getline(&line, &room, file) > 0) {
		if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu", &start, &end, permissions, &offset, &major, &minor, &inode) != 7)
			continue;
		err = add(&reach, &(struct reach_mapping){ start, end, offset, (uint64_t)major << 32 | minor, inode,
							   permissions[2] == 'x' });
		/* Its tools, memcheck-amd64-linux and the like, lie in a directory of this name. */
		reach.valgrind |= permissions[2] == 'x' && strstr(line, "/valgrind/");
	}
	if (file)
		(void)fclose(file);
	free(line);
	if (err)
		reach_free(&reach);
	*ret = reach;
	return err;
}

void reach_free(struct reach *reach)
{
	free(reach->mapping);
	*reach = (struct reach){ 0 };
}

static const struct reach_mapping *at_address(const struct reach *reach, uint64_t address)
{
	size_t i;

	for (i = 0; i < reach->count; i++)
		if (reach->mapping[i].start <= address && address < reach->mapping[i].end)
			return &reach->mapping[i];
	return NULL;
}

static bool same_file(const struct reach_mapping *a, const struct reach_mapping *b)
{
	return a->inode == b->inode && a->device == b->device;
}

/* The file's virtual address of an offset in its code; 0 if it has none. */
static uint64_t code_address(const struct descriptors *descriptors, uint64_t offset)
{
	size_t i;

	for (i = 0; i < descriptors->segment_count; i++) {
		const struct segment *s = &descriptors->segment[i];

		if (s->executable && offset >= s->offset && offset < s->offset + s->file_size)
			return s->address + (offset - s->offset);
	}
	return 0;
}

const char *reach_problem(const struct reach *reach, const struct descriptors *descriptors, const struct descriptor *d,
			  uint64_t mapped, uint64_t bias)
{
	const struct reach_mapping *file = at_address(reach, mapped);
	const struct reach_mapping *code = at_address(reach, code_address(descriptors, d->noted) + bias);

	if (reach->valgrind)
		return "must not fire: a probe kills a process under valgrind; run the agent with --exclude '*/valgrind/*'";
	if (!file)
		return NULL; /* just gone */
	if (!code || !code->executable || !same_file(file, code))
		return "cannot fire: its code was moved away from the file (to huge pages?), where no probe reaches it";
	return NULL;
}

size_t reach_next(const struct reach *reach, pid_t pid, size_t at, int *ret, char *path)
{
	char link[80];
	ssize_t length;
	size_t i;

	for (; at < reach->count; at++) {
		const struct reach_mapping *first = &reach->mapping[at];

		if (first->offset || !first->inode || first->executable)
			continue;
		for (i = 0; i < reach->count; i++)
			if (reach->mapping[i].executable && same_file(&reach->mapping[i], first))
				break;
		if (i < reach->count)
			continue;
		(void)snprintf(link, sizeof(link), "/proc/%d/map_files/%llx-%llx", pid, (unsigned long long)first->start,
			       (unsigned long long)first->end);
		length = readlink(link, path, PATH_MAX - 1);
		*ret = length < 0 ? -1 : open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (*ret < 0)
			continue;
		path[length] = '\0';
		return at + 1;
	}
	return 0;
}

int reach_bias(const struct descriptors *descriptors, uint64_t start, uint64_t *ret)
{
	size_t i;

	for (i = 0; i < descriptors->segment_count; i++)
		if (descriptors->segment[i].offset < 4096) {
			*ret = start - (descriptors->segment[i].address - descriptors->segment[i].offset);
			return 0;
		}
	return -ENOENT;
}
