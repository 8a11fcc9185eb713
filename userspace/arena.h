/* SPDX-License-Identifier: BSD-2-Clause */
/* arena.h - memory that is handed out piece by piece and freed whole. */
#ifndef PROBEMETER_ARENA_H
#define PROBEMETER_ARENA_H

#include <stddef.h>

struct arena;

/* An empty arena, or NULL if memory is short. It takes its first block when something is asked of it. */
struct arena *arena_new(void);

/**
 * arena_alloc - @bytes of zeroed memory, valid until arena_reset() or arena_free()
 * @align: a power of two, at most 4096; 0 means that of the largest scalar
 *
 * Return: never NULL for @bytes 0; NULL if memory is short or @bytes is absurd. Not safe between threads.
 */
void *arena_alloc(struct arena *arena, size_t bytes, size_t align) __attribute__((malloc, alloc_size(2)));

/* @count zeroed objects of @bytes each, aligned for any scalar; NULL also if the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t bytes) __attribute__((malloc, alloc_size(2, 3)));

/* A copy of @text, or of its first @length bytes at most, with a NUL behind it; NULL if memory is short. */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t length);

/* As asprintf(), into the arena; NULL if memory is short. */
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Everything handed out is gone. Rounds of about the same size take memory from the system twice at most. */
void arena_reset(struct arena *arena);

/* Bytes taken from the system, for the agent's own account. */
size_t arena_bytes(const struct arena *arena);

void arena_free(struct arena *arena);

#endif
