/* SPDX-License-Identifier: BSD-2-Clause */
/* gzip.h - bytes made smaller. */
#ifndef PROBEMETER_GZIP_H
#define PROBEMETER_GZIP_H

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#define GZIP_FAST 1 /* a level: for what is read once, near by */

/**
 * gzip_pack - compress
 * @level: zlib's, or Z_DEFAULT_COMPRESSION
 * @head:  the first bytes of the result, left to the caller
 * @ret:   malloc()'s; untouched on failure
 *
 * Return: 0, -ENOMEM or -EIO.
 */
int gzip_pack(const uint8_t *body, size_t size, int level, size_t head, uint8_t **ret, size_t *ret_size);

/* What comes piece by piece and is never whole in memory. */
struct gzip;

/* NULL if memory is short. */
struct gzip *gzip_new(int level);

/* The next piece, of a struct gzip *; what fails is said by gzip_end(). The type is that of a writer's drain. */
void gzip_add(void *gzip, const uint8_t *bytes, size_t size);

/* All pieces, compressed, as gzip_pack() has them; frees @gzip. */
int gzip_end(struct gzip *gzip, uint8_t **ret, size_t *ret_size);

#endif
