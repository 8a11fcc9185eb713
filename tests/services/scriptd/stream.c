/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <json-c/json.h>
#include <probemeter/integr8scode.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "job.h"
#include "truth.h"

#define BUCKETS 256
#define MAX_FRAMES 512
#define KEEP_ALIVE_S 1.0
#define SHUTDOWN_WAIT_S 1.0

struct channel {
	struct channel *next;
	char id[JOB_ID_MAX + 1];
	char *frames[MAX_FRAMES];
	size_t nr_frames;
	unsigned int subscribers;
	bool closed;
};

struct stream {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping;
	unsigned int subscribers;
	struct channel *buckets[BUCKETS];
};

struct subscriber {
	struct stream *stream;
	struct channel *channel;
	size_t frame, offset;		/* what to send next */
	double opened_s;
};

int stream_create(struct stream **ret)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return -ENOMEM;
	pthread_mutex_init(&stream->lock, NULL);
	clock_cond_init(&stream->changed);
	*ret = stream;
	return 0;
}

static struct channel **bucket_of(struct stream *stream, const char *id)
{
	unsigned int hash = 0;

	while (*id)
		hash = hash * 31 + (unsigned char)*id++;
	return &stream->buckets[hash % BUCKETS];
}

/* Called with the lock held. Return: where the channel is, or would be, linked. */
static struct channel **channel_find(struct stream *stream, const char *id)
{
	struct channel **at = bucket_of(stream, id);

	while (*at && strcmp((*at)->id, id))
		at = &(*at)->next;
	return at;
}

static void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	for (size_t i = 0; i < channel->nr_frames; i++)
		free(channel->frames[i]);
	free(channel);
}

/* A channel out of the table lives on for its subscribers. Called with the lock held. */
static void channel_release(struct channel *channel)
{
	if (channel->closed && !channel->subscribers)
		channel_free(channel);
}

static struct channel *channel_new(const char *id)
{
	struct channel *channel = calloc(1, sizeof(*channel));

	if (channel)
		snprintf(channel->id, sizeof(channel->id), "%s", id);
	return channel;
}

int stream_open(struct stream *stream, const char *id)
{
	struct channel **at;
	int err = 0;

	pthread_mutex_lock(&stream->lock);
	at = channel_find(stream, id);
	if (!*at) {
		*at = channel_new(id);
		err = *at ? 0 : -ENOMEM;
	}
	pthread_mutex_unlock(&stream->lock);
	return err;
}

static char *frame_new(const char *event, struct json_object *data)
{
	char *frame;

	if (asprintf(&frame, "event: %s\ndata: %s\n\n", event,
		     json_object_to_json_string_ext(data, JSON_C_TO_STRING_PLAIN)) < 0)
		return NULL;
	return frame;
}

void stream_publish(struct stream *stream, const char *id, const char *event, struct json_object *data)
{
	/* The last place is kept for the end. */
	size_t room = strcmp(event, "finished") ? MAX_FRAMES - 1 : MAX_FRAMES;
	char *frame = frame_new(event, data);
	struct channel *channel;

	json_object_put(data);
	pthread_mutex_lock(&stream->lock);
	channel = *channel_find(stream, id);
	if (channel && frame && channel->nr_frames < room) {
		channel->frames[channel->nr_frames++] = frame;
		frame = NULL;
		pthread_cond_broadcast(&stream->changed);
	}
	pthread_mutex_unlock(&stream->lock);
	free(frame);
}

void stream_close(struct stream *stream, const char *id)
{
	struct channel **at, *channel;

	pthread_mutex_lock(&stream->lock);
	at = channel_find(stream, id);
	channel = *at;
	if (channel) {
		*at = channel->next;
		channel->closed = true;
		channel_release(channel);
		pthread_cond_broadcast(&stream->changed);
	}
	pthread_mutex_unlock(&stream->lock);
}

/* Called with the lock held. */
static int subscribe(struct stream *stream, struct channel *channel, struct subscriber **ret)
{
	struct subscriber *subscriber = calloc(1, sizeof(*subscriber));

	if (!subscriber)
		return -ENOMEM;
	subscriber->stream = stream;
	subscriber->channel = channel;
	subscriber->opened_s = clock_mono_s();
	channel->subscribers++;
	stream->subscribers++;
	PROBEMETER_ADD(connections_total, 1, "sse");
	PROBEMETER_ADD(connections_active, 1, "sse");
	truth_add("connections.total", 1, "sse", NULL);
	truth_add("connections.active", 1, "sse", NULL);
	*ret = subscriber;
	return 0;
}

int stream_subscribe(struct stream *stream, const char *id, struct subscriber **ret)
{
	struct channel *channel;
	int err = -ENOENT;

	pthread_mutex_lock(&stream->lock);
	channel = *channel_find(stream, id);
	if (channel)
		err = subscribe(stream, channel, ret);
	pthread_mutex_unlock(&stream->lock);
	return err;
}

int stream_subscribe_finished(struct stream *stream, struct json_object *data, struct subscriber **ret)
{
	struct channel *channel = channel_new("");
	int err;

	if (!channel)
		return -ENOMEM;
	channel->closed = true;
	channel->frames[0] = frame_new("finished", data);
	channel->nr_frames = channel->frames[0] ? 1 : 0;
	pthread_mutex_lock(&stream->lock);
	err = subscribe(stream, channel, ret);
	pthread_mutex_unlock(&stream->lock);
	if (err)
		channel_free(channel);
	return err;
}

/* Called with the lock held and a frame to send. */
static ssize_t copy_frame(struct subscriber *subscriber, char *buf, size_t size)
{
	const char *rest = subscriber->channel->frames[subscriber->frame] + subscriber->offset;
	size_t left = strlen(rest);
	size_t n = left < size ? left : size;

	memcpy(buf, rest, n);
	subscriber->offset += n;
	if (n == left) {
		subscriber->frame++;
		subscriber->offset = 0;
		PROBEMETER_ADD(connections_messages_sent, 1, "sse");
		truth_add("connections.messages.sent", 1, "sse", NULL);
	}
	return (ssize_t)n;
}

ssize_t stream_read(struct subscriber *subscriber, char *buf, size_t size)
{
	struct timespec until = clock_deadline(KEEP_ALIVE_S);
	static const char keep_alive[] = ":\n\n";
	struct stream *stream = subscriber->stream;
	struct channel *channel = subscriber->channel;
	ssize_t n = -1;
	int rc = 0;

	pthread_mutex_lock(&stream->lock);
	while (subscriber->frame == channel->nr_frames && !channel->closed && !stream->stopping && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&stream->changed, &stream->lock, &until);
	if (stream->stopping) {
		n = -1;
	} else if (subscriber->frame < channel->nr_frames) {
		n = copy_frame(subscriber, buf, size);
	} else if (!channel->closed && size >= strlen(keep_alive)) {
		n = (ssize_t)strlen(keep_alive);
		memcpy(buf, keep_alive, (size_t)n);
	}
	pthread_mutex_unlock(&stream->lock);
	return n;
}

void stream_unsubscribe(struct subscriber *subscriber)
{
	double open_s = clock_mono_s() - subscriber->opened_s;
	struct stream *stream = subscriber->stream;

	pthread_mutex_lock(&stream->lock);
	subscriber->channel->subscribers--;
	channel_release(subscriber->channel);
	stream->subscribers--;
	if (stream->stopping)
		pthread_cond_broadcast(&stream->changed);
	pthread_mutex_unlock(&stream->lock);
	free(subscriber);

	PROBEMETER_ADD(connections_active, -1, "sse");
	PROBEMETER_RECORD(connections_duration, open_s, "sse");
	truth_add("connections.active", -1, "sse", NULL);
	truth_record("connections.duration", open_s, "sse", NULL);
}

void stream_shutdown(struct stream *stream)
{
	struct timespec until = clock_deadline(SHUTDOWN_WAIT_S);
	int rc = 0;

	pthread_mutex_lock(&stream->lock);
	stream->stopping = true;
	pthread_cond_broadcast(&stream->changed);
	while (stream->subscribers && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&stream->changed, &stream->lock, &until);
	pthread_mutex_unlock(&stream->lock);
}

void stream_free(struct stream *stream)
{
	struct channel *channel;

	if (!stream)
		return;
	for (int i = 0; i < BUCKETS; i++) {
		while ((channel = stream->buckets[i])) {
			stream->buckets[i] = channel->next;
			channel_free(channel);
		}
	}
	pthread_cond_destroy(&stream->changed);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
}
