/* SPDX-License-Identifier: BSD-2-Clause */
/* gzip.h - bytes made smaller. */
#ifndef PROBEMETER_GZIP_H
#define PROBEMETER_GZIP_H

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

/**
 * gzip_pack - compress
 * @level: zlib's, or Z_DEFAULT_COMPRESSION
 * @head:  the first bytes of the result, left to the caller
 * @ret:   malloc()'s; untouched on failure
 *
 * Return: 0, -ENOMEM or -EIO.
 */
int gzip_pack(const uint8_t *body, size_t size, int level, size_t head, uint8_t **ret, size_t *ret_size);

#endif
