/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzip.c - bytes made smaller, for requests and for pages.
 *
 * Consumes bytes, at once or in pieces; produces gzip's format in memory. Who wants them so is said elsewhere.
 */
#include "gzip.h"

#include <errno.h>
#include <stdlib.h>

#define GZIP_HEADER 16 /* zlib's way to say: gzip's header, not zlib's */
#define GZIP_FIRST_BYTES ((size_t)64 << 10)

struct gzip {
	z_stream stream;
	uint8_t *bytes;
	size_t room;
	int err;
};

/* Fast, tables that stay in the nearest cache are a fifth faster, and as good for pages, which repeat themselves at once. */
static int start(z_stream *stream, int level)
{
	return deflateInit2(stream, level, Z_DEFLATED, MAX_WBITS + GZIP_HEADER, level == GZIP_FAST ? 5 : 8, Z_DEFAULT_STRATEGY) ?
		       -ENOMEM : 0;
}

int gzip_pack(const uint8_t *body, size_t size, int level, size_t head, uint8_t **ret, size_t *ret_size)
{
	z_stream stream = { 0 };
	uint8_t *packed = NULL;
	uLong bound;
	int err = -ENOMEM;

	if (start(&stream, level))
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

struct gzip *gzip_new(int level)
{
	struct gzip *gzip = calloc(1, sizeof(*gzip));

	if (gzip && start(&gzip->stream, level)) {
		free(gzip);
		gzip = NULL;
	}
	return gzip;
}

/* Room for more of what comes out, behind what is there. */
static void grow(struct gzip *gzip)
{
	size_t room = gzip->room ? 2 * gzip->room : GZIP_FIRST_BYTES;
	uint8_t *grown = realloc(gzip->bytes, room);

	if (!grown) {
		gzip->err = -ENOMEM;
		return;
	}
	gzip->bytes = grown;
	gzip->stream.next_out = grown + gzip->stream.total_out;
	gzip->stream.avail_out = (uInt)(room - gzip->stream.total_out);
	gzip->room = room;
}

static void push(struct gzip *gzip, const uint8_t *bytes, size_t size, int flush)
{
	int done = Z_OK;

	gzip->stream.next_in = (Bytef *)bytes;
	gzip->stream.avail_in = (uInt)size;
	while (!gzip->err && done != Z_STREAM_END && (gzip->stream.avail_in || flush == Z_FINISH)) {
		if (!gzip->stream.avail_out)
			grow(gzip);
		if (gzip->err)
			break;
		done = deflate(&gzip->stream, flush);
		if (done != Z_OK && done != Z_STREAM_END)
			gzip->err = -EIO;
	}
}

void gzip_add(void *gzip, const uint8_t *bytes, size_t size)
{
	push(gzip, bytes, size, Z_NO_FLUSH);
}

int gzip_end(struct gzip *gzip, uint8_t **ret, size_t *ret_size)
{
	int err;

	push(gzip, NULL, 0, Z_FINISH);
	err = gzip->err;
	if (!err) {
		*ret = gzip->bytes;
		*ret_size = gzip->stream.total_out;
	} else {
		free(gzip->bytes);
	}
	(void)deflateEnd(&gzip->stream);
	free(gzip);
	return err;
}
