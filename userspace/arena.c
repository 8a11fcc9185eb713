/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena.c - a list of big blocks, used from the front.
 *
 * Consumes requests of any size, produces zeroed memory, and leaves lifetimes to whoever owns the arena: one export,
 * one parse. A round that needed several blocks gets one for all of it the next time, as what is left at the ends of several
 * is lost. Under AddressSanitizer what is not handed out is poisoned, so that a stale pointer is found after a reset.
 */
#include "arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

#define ARENA_FIRST_BYTES ((size_t)64 << 10)
#define ARENA_BLOCK_BYTES ((size_t)4 << 20) /* blocks double up to here */

struct arena_block {
	struct arena_block *next;
	size_t size; /* of bytes[] */
	size_t used;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct arena {
	struct arena_block *block; /* the one in use, older ones behind it */
	size_t bytes;
	size_t first; /* of the next first block, as far as the last round tells */
};

struct arena *arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

/* Where the next piece of @align starts in @block, or SIZE_MAX if @bytes do not fit. */
static size_t arena_place(const struct arena_block *block, size_t bytes, size_t align)
{
	uintptr_t base = (uintptr_t)block->bytes;
	size_t start = ((base + block->used + align - 1) & ~(uintptr_t)(align - 1)) - base;

	return start <= block->size && bytes <= block->size - start ? start : SIZE_MAX;
}

static struct arena_block *arena_grow(struct arena *arena, size_t least)
{
	size_t size = arena->block ? 2 * arena->block->size : arena->first;
	struct arena_block *block;

	if (arena->block && size > ARENA_BLOCK_BYTES)
		size = ARENA_BLOCK_BYTES;
	if (size < ARENA_FIRST_BYTES)
		size = ARENA_FIRST_BYTES;
	if (size < least)
		size = least;
	block = malloc(sizeof(*block) + size);
	if (!block)
		return NULL;
	block->next = arena->block;
	block->size = size;
	block->used = 0;
	ASAN_POISON_MEMORY_REGION(block->bytes, size);
	arena->block = block;
	arena->bytes += sizeof(*block) + size;
	return block;
}

void *arena_alloc(struct arena *arena, size_t bytes, size_t align)
{
	struct arena_block *block = arena->block;
	size_t start = SIZE_MAX;

	if (!align)
		align = _Alignof(max_align_t);
	if (bytes > PTRDIFF_MAX / 2 || align > 4096 || (align & (align - 1)))
		return NULL;
	if (block)
		start = arena_place(block, bytes, align);
	if (start == SIZE_MAX) {
		block = arena_grow(arena, bytes + align);
		if (!block)
			return NULL;
		start = arena_place(block, bytes, align);
	}
	block->used = start + bytes;
	ASAN_UNPOISON_MEMORY_REGION(block->bytes + start, bytes);
	return memset(block->bytes + start, 0, bytes);
}

void *arena_array(struct arena *arena, size_t count, size_t bytes)
{
	size_t total;

	if (__builtin_mul_overflow(count, bytes, &total))
		return NULL;
	return arena_alloc(arena, total, 0);
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
	size_t bytes = strnlen(text, length);
	char *copy = arena_alloc(arena, bytes + 1, 1);

	return copy ? memcpy(copy, text, bytes) : NULL;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0)
		return NULL;
	text = arena_alloc(arena, (size_t)length + 1, 1);
	if (!text)
		return NULL;
	va_start(args, format);
	(void)vsnprintf(text, (size_t)length + 1, format, args);
	va_end(args);
	return text;
}

static void blocks_free(struct arena *arena)
{
	struct arena_block *block, *next;

	for (block = arena->block; block; block = next) {
		next = block->next;
		free(block);
	}
	arena->block = NULL;
	arena->bytes = 0;
}

void arena_reset(struct arena *arena)
{
	struct arena_block *block;
	size_t used = 0;

	for (block = arena->block; block; block = block->next)
		used += block->used;
	block = arena->block;
	/* One block that was of use stays; one that is left over from a much larger round does not. */
	if (block && !block->next && (block->size <= ARENA_FIRST_BYTES || used >= block->size / 4)) {
		block->used = 0;
		ASAN_POISON_MEMORY_REGION(block->bytes, block->size);
		return;
	}
	blocks_free(arena);
	arena->first = used + used / 8;
}

size_t arena_bytes(const struct arena *arena)
{
	return arena->bytes;
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	blocks_free(arena);
	free(arena);
}
