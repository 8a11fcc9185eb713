/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * delta.c - remember what was acknowledged, and subtract it.
 *
 * Consumes totals and acknowledgements; produces deltas. Who acknowledges, and what happens to an export that nobody
 * answers, is for others. Nothing here depends on how long that takes: until a series is acknowledged its baseline
 * stands, and each delta is all that came since.
 *
 * Baselines are sparse: of a histogram, the buckets that hold something. Each of those is at least one cell of the
 * kernel's, whose number is limited, and with it this memory.
 */
#include "delta.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "arena.h"
#include "exponential.h"
#include "journal.h"
#include "service.h"
#include "table.h"

__extension__ typedef unsigned __int128 wide;

/* A series' total as it was at one time. */
struct total {
	uint64_t time_unix_ns; /* 0: never */
	int64_t integer;
	uint64_t count, zero_count;
	double sum; /* what a receiver has that added up the deltas */
	struct bucket_count *bucket; /* explicit ones by number, exponential ones as the point's cells; none empty */
	uint32_t bucket_count;
};

/* Who a series is: resource, metric and label values, by their texts, hashed under a secret. Two would have to agree in
 * 128 bits to be taken for one. Resources are the same whichever build of the agent says them. */
struct key {
	uint64_t half[2];
};

struct baseline {
	UT_hash_handle hh;
	struct key key;
	uint64_t round; /* of the last delta_points() that had this series */
	uint64_t start_unix_ns; /* the series' own, when it was acknowledged */
	bool restored; /* from another process, which may have known another series by this name */
	const struct resource *resource;
	uint32_t room; /* of @acknowledged.bucket */
	struct total acknowledged;
};

struct sent {
	struct baseline *baseline; /* NULL: no delta */
	uint64_t start_unix_ns;
	struct total total;
};

struct delta {
	struct baseline *baseline; /* all of them, by key */
	size_t buckets; /* room of all */
	uint64_t round;
	struct key secret;
	/* The last ones that were hashed: points come ordered. */
	const struct resource *resource;
	const struct metric *metric;
	struct key resource_key, metric_key;
	struct arena *arena; /* of what is on its way */
	struct sent *sent;
	size_t sent_count;
};

struct delta *delta_new(void)
{
	struct delta *delta = calloc(1, sizeof(*delta));

	if (!delta)
		return NULL;
	/* Without entropy yet, as early in a boot: only a service that knows this could make two series collide. */
	if (getrandom(&delta->secret, sizeof(delta->secret), GRND_NONBLOCK) != sizeof(delta->secret))
		delta->secret = (struct key){ { 0x8e4ac1d7025b93f6, 0x4d19f6e3a87c205b } };
	delta->secret.half[0] |= 1;
	delta->secret.half[1] |= 1;
	delta->arena = arena_new();
	if (!delta->arena) {
		free(delta);
		return NULL;
	}
	return delta;
}

static void baseline_free(struct delta *delta, struct baseline *baseline)
{
	HASH_DEL(delta->baseline, baseline);
	delta->buckets -= baseline->room;
	free(baseline->acknowledged.bucket);
	free(baseline);
}

void delta_free(struct delta *delta)
{
	struct baseline *baseline, *next;

	if (!delta)
		return;
	HASH_ITER(hh, delta->baseline, baseline, next)
		baseline_free(delta, baseline);
	arena_free(delta->arena);
	free(delta);
}

static void key_add(const struct delta *delta, uint64_t word, struct key *key)
{
	for (int i = 0; i < 2; i++) {
		wide product = (wide)(key->half[i] ^ word) * delta->secret.half[i];

		key->half[i] = (uint64_t)product ^ (uint64_t)(product >> 64);
	}
}

static void key_add_text(const struct delta *delta, const char *text, struct key *key)
{
	size_t length = strlen(text), i;

	key_add(delta, length, key);
	for (i = 0; i < length; i += sizeof(uint64_t)) {
		uint64_t word = 0;

		memcpy(&word, text + i, length - i < sizeof(word) ? length - i : sizeof(word));
		key_add(delta, word, key);
	}
}

static struct key seed_of(const struct delta *delta)
{
	return (struct key){ { delta->secret.half[1], delta->secret.half[0] } };
}

static const struct key *key_of_resource(struct delta *delta, const struct resource *resource)
{
	struct key key = seed_of(delta);
	size_t i;

	if (delta->resource == resource)
		return &delta->resource_key;
	for (i = 0; i < resource->attribute_count; i++) {
		if (service_of_build(&resource->attribute[i]))
			continue;
		key_add_text(delta, resource->attribute[i].key, &key);
		key_add_text(delta, resource->attribute[i].value, &key);
	}
	delta->resource = resource;
	delta->resource_key = key;
	return &delta->resource_key;
}

static const struct key *key_of_metric(struct delta *delta, const struct metric *metric)
{
	struct key key = seed_of(delta);
	uint64_t bits;
	uint32_t i;

	if (delta->metric == metric)
		return &delta->metric_key;
	key_add_text(delta, metric->scope, &key);
	key_add_text(delta, metric->name, &key);
	key_add_text(delta, metric->unit, &key);
	key_add_text(delta, metric->description, &key);
	key_add(delta, metric->kind, &key);
	for (i = 0; i < metric->label_count; i++)
		key_add_text(delta, metric->label[i], &key);
	for (i = 0; i < metric->bound_count; i++) {
		memcpy(&bits, &metric->bound[i], sizeof(bits));
		key_add(delta, bits, &key);
	}
	delta->metric = metric;
	delta->metric_key = key;
	return &delta->metric_key;
}

static struct key key_of(struct delta *delta, const struct point *point)
{
	const struct key *resource = key_of_resource(delta, point->resource), *metric = key_of_metric(delta, point->metric);
	struct key key = seed_of(delta);
	int i;

	for (i = 0; i < 2; i++) {
		key_add(delta, resource->half[i], &key);
		key_add(delta, metric->half[i], &key);
	}
	key_add(delta, point->type, &key);
	key_add(delta, point->overflow, &key);
	for (i = 0; !point->overflow && i < (int)point->metric->label_count; i++)
		key_add_text(delta, point->value[i], &key);
	return key;
}

static bool is_delta(const struct point *point)
{
	return point->type != POINT_GAUGE && (point->type != POINT_SUM || point->monotonic);
}

/* The total of @point, with buckets in @arena. */
static int total_of(const struct point *point, uint64_t time_unix_ns, struct arena *arena, struct total *ret)
{
	uint32_t explicit = point->type == POINT_HISTOGRAM ? point->bound_count + 1 : 0, i;
	struct total total = {
		.time_unix_ns = time_unix_ns,
		.integer = point->type == POINT_SUM ? point->integer : 0,
		.count = point->count,
		.zero_count = point->zero_count,
		.sum = point->sum,
		.bucket_count = point->cell_count,
	};

	for (i = 0; i < explicit; i++)
		total.bucket_count += !!point->bucket[i];
	total.bucket = arena_array(arena, total.bucket_count, sizeof(*total.bucket));
	if (!total.bucket)
		return -ENOMEM;
	if (point->cell_count)
		memcpy(total.bucket, point->cell, point->cell_count * sizeof(*total.bucket));
	*ret = total;
	for (i = 0; i < explicit; i++)
		if (point->bucket[i])
			*total.bucket++ = (struct bucket_count){ .index = (int32_t)i, .count = point->bucket[i] };
	return 0;
}

static bool same_bucket(const struct bucket_count *a, const struct bucket_count *b)
{
	return a->index == b->index && a->negative == b->negative;
}

/* Subtract @before, in place. Return: false if something has stepped back, and then @now is not to be used. */
static bool total_subtract(const struct total *before, struct total *now)
{
	uint32_t old = 0, kept = 0;

	if (now->integer < before->integer || now->count < before->count || now->zero_count < before->zero_count)
		return false;
	now->integer -= before->integer;
	now->count -= before->count;
	now->zero_count -= before->zero_count;
	/* Rounding may take a sum back by less than a double can tell, where buckets came in between. */
	now->sum = fmax(now->sum - before->sum, 0);
	/* Both ascend: a bucket of @before that is missed stays in front, and is seen at the end. */
	for (uint32_t i = 0; i < now->bucket_count; i++) {
		struct bucket_count bucket = now->bucket[i];

		if (old < before->bucket_count && same_bucket(&before->bucket[old], &bucket)) {
			if (bucket.count < before->bucket[old].count)
				return false;
			bucket.count -= before->bucket[old++].count;
		}
		if (bucket.count)
			now->bucket[kept++] = bucket;
	}
	now->bucket_count = kept;
	return old == before->bucket_count;
}

/* Make @point say @total and nothing else. */
static int point_fill(const struct total *total, struct arena *arena, struct point *point)
{
	point->temporality = TEMPORALITY_DELTA;
	if (point->type == POINT_SUM) {
		point->integer = total->integer;
		return 0;
	}
	point->count = total->count;
	point->zero_count = total->zero_count;
	point->sum = total->sum;
	if (point->type == POINT_EXPONENTIAL) {
		point->cell = total->bucket;
		point->cell_count = total->bucket_count;
		return exponential_fit(point, arena);
	}
	point->bucket = arena_array(arena, point->bound_count + 1u, sizeof(*point->bucket));
	if (!point->bucket)
		return -ENOMEM;
	for (uint32_t i = 0; i < total->bucket_count; i++)
		point->bucket[total->bucket[i].index] = total->bucket[i].count;
	return 0;
}

static bool is_nothing(const struct total *total)
{
	return !total->integer && !total->count;
}

static bool may_be_sent_as_zero(const struct point *point, const struct total *before)
{
	return point->type == POINT_SUM && !point->metric->label_count && !point->overflow && !before->time_unix_ns;
}

/* The baseline of @key, made if need be, with room for what an acknowledgement will bring. */
static struct baseline *baseline_get(struct delta *delta, struct baseline *baseline, struct key key,
				     const struct resource *resource, uint32_t buckets)
{
	if (!baseline) {
		baseline = calloc(1, sizeof(*baseline));
		if (!baseline)
			return NULL;
		baseline->key = key;
		HASH_ADD(hh, delta->baseline, key, sizeof(baseline->key), baseline);
	}
	baseline->round = delta->round;
	baseline->resource = resource;
	if (baseline->room < buckets) {
		struct bucket_count *grown = realloc(baseline->acknowledged.bucket, buckets * sizeof(*grown));

		if (!grown)
			return NULL;
		baseline->acknowledged.bucket = grown;
		delta->buckets += buckets - baseline->room;
		baseline->room = buckets;
	}
	return baseline;
}

/* What was acknowledged belongs to a life that is over; only when that was still counts. */
static void baseline_reset(struct baseline *baseline)
{
	baseline->acknowledged = (struct total){
		.time_unix_ns = baseline->acknowledged.time_unix_ns,
		.bucket = baseline->acknowledged.bucket,
	};
}

/* It was another series' of that name. */
static void baseline_restart(struct baseline *baseline)
{
	baseline_reset(baseline);
	baseline->acknowledged.time_unix_ns = 0;
	baseline->restored = false;
}

/* The interval that ends now. Where the clock was set back it is as short as can be, rather than run backwards. */
static uint64_t start_of(const struct point *point, const struct total *before, uint64_t time_unix_ns)
{
	uint64_t start = point->start_unix_ns > before->time_unix_ns ? point->start_unix_ns : before->time_unix_ns;

	return start < time_unix_ns ? start : time_unix_ns - 1;
}

/* This round has it. Whose it is was not known of one that comes from another process. */
static void baseline_found(const struct delta *delta, struct baseline *baseline, const struct point *point)
{
	baseline->round = delta->round;
	baseline->resource = point->resource;
}

/* Turn @point, a copy of a total, into its delta. @ret: what to remember; no baseline: nothing to send. */
static int point_subtract(struct delta *delta, uint64_t time_unix_ns, struct arena *arena, struct point *point,
			  struct sent *ret)
{
	static const struct total none;
	struct key key = key_of(delta, point);
	struct baseline *baseline;
	const struct total *before;
	struct total now;
	int err;

	HASH_FIND(hh, delta->baseline, &key, sizeof(key), baseline);
	if (baseline && baseline->restored && baseline->start_unix_ns != point->start_unix_ns)
		baseline_restart(baseline);
	if (baseline)
		baseline_found(delta, baseline, point);
	before = baseline ? &baseline->acknowledged : &none;
	err = total_of(point, time_unix_ns, arena, &now);
	if (err)
		return err;
	if (!total_subtract(before, &now)) {
		baseline_reset(baseline);
		err = total_of(point, time_unix_ns, arena, &now);
		if (err)
			return err;
	}
	if (is_nothing(&now) && !may_be_sent_as_zero(point, before))
		return 0;
	err = total_of(point, time_unix_ns, delta->arena, &ret->total);
	if (err)
		return err;
	ret->total.sum = fmin(before->sum + now.sum, DBL_MAX);
	ret->start_unix_ns = point->start_unix_ns;
	point->start_unix_ns = start_of(point, before, time_unix_ns);
	err = point_fill(&now, arena, point);
	if (err)
		return err;
	ret->baseline = baseline_get(delta, baseline, key, point->resource, ret->total.bucket_count);
	return ret->baseline ? 0 : -ENOMEM;
}

/* @point ends its series: it says so under the temporality of the others, and over the time since the last of them. */
static void point_ended(struct delta *delta, uint64_t time_unix_ns, struct point *point)
{
	static const struct total none;
	struct key key = key_of(delta, point);
	struct baseline *baseline;

	HASH_FIND(hh, delta->baseline, &key, sizeof(key), baseline);
	if (baseline)
		baseline_found(delta, baseline, point);
	point->start_unix_ns = start_of(point, baseline ? &baseline->acknowledged : &none, time_unix_ns);
	point->temporality = TEMPORALITY_DELTA;
}

/* What was not in this round is gone. */
static void forget(struct delta *delta)
{
	struct baseline *baseline, *next;

	HASH_ITER(hh, delta->baseline, baseline, next)
		if (baseline->round != delta->round)
			baseline_free(delta, baseline);
}

int delta_points(struct delta *delta, const struct points *points, struct arena *arena, struct points *ret)
{
	struct points result = { .time_unix_ns = points->time_unix_ns };
	size_t i;
	int err;

	arena_reset(delta->arena);
	delta->sent_count = 0;
	delta->resource = NULL;
	delta->metric = NULL;
	delta->round++;
	delta->sent = arena_array(delta->arena, points->count, sizeof(*delta->sent));
	result.point = arena_array(arena, points->count, sizeof(*result.point));
	if (!delta->sent || !result.point)
		return -ENOMEM;
	for (i = 0; i < points->count; i++) {
		struct point *point = &result.point[result.count];
		struct sent *sent = &delta->sent[result.count];

		*point = points->point[i];
		*sent = (struct sent){ 0 };
		if (is_delta(point) && point->ended) {
			point_ended(delta, points->time_unix_ns, point);
		} else if (is_delta(point)) {
			err = point_subtract(delta, points->time_unix_ns, arena, point, sent);
			if (err)
				return err;
			if (!sent->baseline)
				continue;
		}
		result.count++;
	}
	forget(delta);
	delta->sent_count = result.count;
	*ret = result;
	return 0;
}

void delta_forget(struct delta *delta, const struct resource *resource)
{
	struct baseline *baseline, *next;

	for (size_t i = 0; i < delta->sent_count; i++)
		if (delta->sent[i].baseline && delta->sent[i].baseline->resource == resource)
			delta->sent[i].baseline = NULL;
	HASH_ITER(hh, delta->baseline, baseline, next)
		if (baseline->resource == resource)
			baseline_free(delta, baseline);
}

static void acknowledge(const struct sent *sent)
{
	struct total *to = &sent->baseline->acknowledged;
	struct bucket_count *bucket = to->bucket;

	if (sent->total.bucket_count)
		memcpy(bucket, sent->total.bucket, sent->total.bucket_count * sizeof(*bucket));
	*to = sent->total;
	to->bucket = bucket;
	sent->baseline->start_unix_ns = sent->start_unix_ns;
	sent->baseline->restored = false;
}

void delta_acknowledge(struct delta *delta, size_t first, size_t count)
{
	for (size_t i = first; i < first + count && i < delta->sent_count; i++)
		if (delta->sent[i].baseline)
			acknowledge(&delta->sent[i]);
}

int delta_begin(struct delta *delta, const struct points *points, uint64_t since_unix_ns)
{
	struct arena *arena = arena_new();
	size_t i;
	int err = arena ? 0 : -ENOMEM;

	for (i = 0; i < points->count && !err; i++) {
		const struct point *point = &points->point[i];
		struct sent sent = { .start_unix_ns = point->start_unix_ns };
		struct key key;

		if (!is_delta(point) || point->start_unix_ns >= since_unix_ns)
			continue;
		key = key_of(delta, point);
		HASH_FIND(hh, delta->baseline, &key, sizeof(key), sent.baseline);
		if (sent.baseline)
			continue;
		err = total_of(point, points->time_unix_ns, arena, &sent.total);
		if (!err) {
			sent.baseline = baseline_get(delta, NULL, key, point->resource, sent.total.bucket_count);
			err = sent.baseline ? 0 : -ENOMEM;
		}
		if (!err)
			acknowledge(&sent);
	}
	arena_free(arena);
	return err;
}

/* --- for another process */

void delta_pack(const struct delta *delta, struct journal_pack *pack)
{
	const struct baseline *baseline;
	uint32_t i;

	pack_begin(pack);
	pack_bytes(pack, &delta->secret, sizeof(delta->secret));
	for (baseline = delta->baseline; baseline; baseline = baseline->hh.next) {
		const struct total *total = &baseline->acknowledged;

		/* Nothing of it has been acknowledged: that is what it is without a baseline. */
		if (!total->time_unix_ns)
			continue;
		pack_bytes(pack, &baseline->key, sizeof(baseline->key));
		pack_number(pack, baseline->start_unix_ns);
		pack_number(pack, total->time_unix_ns);
		pack_number(pack, (uint64_t)total->integer);
		pack_number(pack, total->count);
		pack_number(pack, total->zero_count);
		pack_bytes(pack, &total->sum, sizeof(total->sum));
		pack_number(pack, total->bucket_count);
		for (i = 0; i < total->bucket_count; i++) {
			pack_number(pack, (uint64_t)total->bucket[i].negative << 32 | (uint32_t)total->bucket[i].index);
			pack_number(pack, total->bucket[i].count);
		}
	}
}

static int baseline_unpack(struct delta *delta, struct journal_record *record)
{
	struct baseline *baseline;
	struct total total = { 0 };
	uint64_t start, count, word, i;
	struct key key;

	record_bytes(record, &key, sizeof(key));
	start = record_number(record);
	total.time_unix_ns = record_number(record);
	total.integer = (int64_t)record_number(record);
	total.count = record_number(record);
	total.zero_count = record_number(record);
	record_bytes(record, &total.sum, sizeof(total.sum));
	count = record_number(record);
	if (record->failed || count > (size_t)(record->end - record->at) / (2 * sizeof(uint64_t)))
		return -EBADMSG;
	HASH_FIND(hh, delta->baseline, &key, sizeof(key), baseline);
	if (baseline)
		return -EBADMSG;
	baseline = baseline_get(delta, NULL, key, NULL, (uint32_t)count);
	if (!baseline)
		return -ENOMEM;
	total.bucket = baseline->acknowledged.bucket;
	total.bucket_count = (uint32_t)count;
	for (i = 0; i < count; i++) {
		word = record_number(record);
		total.bucket[i] = (struct bucket_count){ .index = (int32_t)(uint32_t)word, .negative = (uint32_t)(word >> 32),
							 .count = record_number(record) };
	}
	baseline->acknowledged = total;
	baseline->start_unix_ns = start;
	baseline->restored = true;
	return 0;
}

int delta_unpack(struct delta *delta, struct journal_record *record)
{
	struct baseline *baseline, *next;
	struct key secret;
	int err;

	record_bytes(record, &secret, sizeof(secret));
	err = record->failed ? -EBADMSG : 0;
	while (!err && record->at < record->end)
		err = baseline_unpack(delta, record);
	if (!err)
		delta->secret = secret;
	else
		HASH_ITER(hh, delta->baseline, baseline, next)
			baseline_free(delta, baseline);
	return err;
}

size_t delta_count(const struct delta *delta, size_t first, size_t count)
{
	size_t deltas = 0;

	for (size_t i = first; i < first + count && i < delta->sent_count; i++)
		deltas += !!delta->sent[i].baseline;
	return deltas;
}

size_t delta_bytes(const struct delta *delta)
{
	return sizeof(*delta) + HASH_COUNT(delta->baseline) * sizeof(struct baseline) + HASH_OVERHEAD(hh, delta->baseline) +
	       delta->buckets * sizeof(struct bucket_count) + arena_bytes(delta->arena);
}

/* For each cell a series with one bucket: its baseline, the allocator's and the hash table's share of it, and the same once
 * more on its way, in an arena whose last blocks may be nearly empty. */
size_t delta_bytes_max(size_t cells)
{
	const size_t shares = 2 * 16 + 16, blocks = (size_t)8 << 20;

	return cells * (sizeof(struct baseline) + sizeof(struct sent) + 2 * sizeof(struct bucket_count) + shares) + blocks;
}
