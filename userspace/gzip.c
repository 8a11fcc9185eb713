/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzip.c - bytes made smaller, for requests and for pages.
 */
#include "gzip.h"

#include <errno.h>
#include <stdlib.h>

#define GZIP_HEADER 16 /* zlib's way to say: gzip's header, not zlib's */

int gzip_pack(const uint8_t *body, size_t size, int level, size_t head, uint8_t **ret, size_t *ret_size)
{
	z_stream stream = { 0 };
	uint8_t *packed = NULL;
	uLong bound;
	int err = -ENOMEM;

	if (deflateInit2(&stream, level, Z_DEFLATED, MAX_WBITS + GZIP_HEADER, 8, Z_DEFAULT_STRATEGY))
		return -ENOMEM;
	bound = deflateBound(&stream, size);
	packed = malloc(head + bound);
	if (!packed)
		goto out;
	stream.next_in = (Bytef *)body;
	stream.avail_in = (uInt)size;
	stream.next_out = packed + head;
	stream.avail_out = (uInt)bound;
	err = -EIO;
	if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
		goto out;
	*ret = packed;
	*ret_size = head + stream.total_out;
	packed = NULL;
	err = 0;
out:
	free(packed);
	(void)deflateEnd(&stream);
	return err;
}
