/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream - progress of jobs as server-sent events. A job has a channel from
 * its submission to its end; every subscriber gets all of the channel's frames
 * from the first on, however late it comes.
 */
#ifndef SCRIPTD_STREAM_H
#define SCRIPTD_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct json_object;
struct stream;
struct subscriber;

int stream_create(struct stream **ret);

/** stream_open - make @id's channel, unless it is there */
int stream_open(struct stream *stream, const char *id);

/** stream_publish - append a frame; takes @data. Without a channel, nothing happens. */
void stream_publish(struct stream *stream, const char *id, const char *event, struct json_object *data);

/** stream_close - no more frames; the channel goes with its last subscriber */
void stream_close(struct stream *stream, const char *id);

/**
 * stream_subscribe - open one connection
 * @ret: the connection; end it with stream_unsubscribe()
 *
 * Return: 0, -ENOENT if @id has no channel, -ENOMEM.
 */
int stream_subscribe(struct stream *stream, const char *id, struct subscriber **ret);

/** stream_subscribe_finished - a connection that gets the one frame "finished" with @data, and ends */
int stream_subscribe_finished(struct stream *stream, struct json_object *data, struct subscriber **ret);

/**
 * stream_read - wait for what is to be sent next; a comment each second keeps
 * the connection alive and finds clients that have gone
 *
 * Return: bytes written to @buf, or -1 at the end of the channel.
 */
ssize_t stream_read(struct subscriber *subscriber, char *buf, size_t size);

void stream_unsubscribe(struct subscriber *subscriber);

/** stream_shutdown - end every connection, and wait a second at most for clients to take their end */
void stream_shutdown(struct stream *stream);

/** stream_free - when no subscriber is left; NULL is fine */
void stream_free(struct stream *stream);

#endif
