/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * level_headroom.c - find services whose levels come near a limit.
 *
 * Consumes the level table of a process, as level.c read it, and the levels of all processes, as levels.c folded them;
 * produces warnings in words. The limits of counters and histograms are headroom.c's: those are the kernel's maps, these are
 * the services' own memory and ours.
 */
#include "level_headroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/maps.h"
#include "headroom.h"
#include "service.h"
#include "table.h"

enum limit { TABLE_SETS, TABLE_BYTES, METRIC_SERIES, SERVICE_SERIES, SERVICE_BYTES, HOST_SERIES, HOST_BYTES };

/* What was said: of one metric, or for that of all whose table or limit it is (metric NULL), or of the host (resource NULL). */
struct said {
	struct {
		enum limit limit;
		uint32_t none;
		const struct resource *resource;
		const struct metric *metric;
	} key;
	UT_hash_handle hh;
};

struct level_headroom {
	struct said *said; /* uthash */
};

struct level_headroom *level_headroom_new(void)
{
	return calloc(1, sizeof(struct level_headroom));
}

static void said_free(struct level_headroom *headroom, struct said *said)
{
	HASH_DEL(headroom->said, said);
	free(said);
}

void level_headroom_free(struct level_headroom *headroom)
{
	struct said *said, *next;

	if (!headroom)
		return;
	HASH_ITER(hh, headroom->said, said, next)
		said_free(headroom, said);
	free(headroom);
}

void level_headroom_forget(struct level_headroom *headroom, const struct resource *resource)
{
	struct said *said, *next;

	HASH_ITER(hh, headroom->said, said, next)
		if (said->key.resource == resource)
			said_free(headroom, said);
}

/* Is it to be said, for the first time? Where memory is short it is not: the next time, then. */
static bool is_news(struct level_headroom *headroom, enum limit limit, const struct resource *resource,
		    const struct metric *metric)
{
	struct said key = { .key = { limit, 0, resource, metric } }, *said;

	HASH_FIND(hh, headroom->said, &key.key, sizeof(key.key), said);
	if (said)
		return false;
	said = malloc(sizeof(*said));
	if (!said)
		return false;
	*said = key;
	HASH_ADD(hh, headroom->said, key, sizeof(said->key), said);
	return true;
}

/* --- one process's table */

/* The metric with most label sets in the table, and their values to @ret, which has room for @count. Return: how many. */
static size_t crowd_of(const struct level *level, size_t count, const struct metric **ret_metric, const char *const **ret)
{
	const struct metric *metric;
	size_t most = 0, sets, i, n;

	/* Few metrics have many of them: each is counted where it comes first. */
	for (i = 0; i < count; i++) {
		metric = level[i].metric;
		for (n = 0; n < i && level[n].metric != metric; n++)
			;
		if (n < i)
			continue;
		for (sets = 0; n < count; n++)
			sets += level[n].metric == metric && !level[n].overflow;
		if (sets > most) {
			most = sets;
			*ret_metric = metric;
		}
	}
	for (i = sets = 0; most && i < count; i++)
		if (level[i].metric == *ret_metric && !level[i].overflow)
			ret[sets++] = level[i].value;
	return sets;
}

/* By which a file is known, whatever its version: the first of its level metrics that is counted. */
static const struct metric *mark_of(const struct object *object)
{
	size_t i;

	for (i = 0; i < object->descriptors.count; i++)
		if (object->descriptors.descriptor[i].levels_address && object->metric[i])
			return object->metric[i];
	return NULL;
}

bool level_headroom_table(struct level_headroom *headroom, const struct process *process, const struct object *object,
			  const struct level_room *room, const struct level *level, size_t count, char *ret, size_t size)
{
	const struct {
		enum limit limit;
		uint32_t used, most;
		const char *unit;
	} row[] = {
		{ TABLE_SETS, room->slots, PROBEMETER_LEVEL_SLOTS - PROBEMETER_LEVEL_RESERVED, "label sets" },
		{ TABLE_BYTES, room->text, PROBEMETER_LEVEL_TEXT, "bytes of label values" },
	};
	const struct metric *metric = NULL;
	const char *const **value = NULL;
	bool said = false;
	char labels[512];
	size_t i, sets;

	for (i = 0; i < sizeof(row) / sizeof(row[0]) && !said; i++) {
		if (!headroom_is_near(row[i].used, row[i].most) ||
		    !is_news(headroom, row[i].limit, process->resource, mark_of(object)))
			continue;
		value = value ? value : calloc(count ? count : 1, sizeof(*value));
		sets = value ? crowd_of(level, count, &metric, value) : 0;
		if (!sets)
			break;
		(void)snprintf(ret, size,
			       "service '%s', metric '%s': the levels of '%s' have %u of at most %u %s in process %d, most of them this "
			       "metric's; past that new label sets count in overflow series; labels with most values: %s",
			       service_name(process->resource), metric->name, object->path,
			       row[i].used < row[i].most ? row[i].used : row[i].most, row[i].most, row[i].unit, process->pid,
			       headroom_labels(metric, value, sets, labels, sizeof(labels)));
		said = true;
	}
	free(value);
	return said;
}

/* --- all processes */

static bool warn(const struct levels *levels, const struct levels_tally *tally, bool host, size_t used, size_t most,
		 const char *unit, char *ret, size_t size)
{
	const char *const **value = calloc(tally->series, sizeof(*value));
	char labels[512];

	if (!value)
		return false;
	levels_values(levels, tally, value);
	(void)snprintf(ret, size,
		       "%sservice '%s', metric '%s': %zu of at most %zu %s over all processes; past that new label sets count in "
		       "overflow series; labels with most values: %s",
		       host ? "this host, with most of it " : "", service_name(tally->key.resource), tally->key.metric->name, used,
		       most, unit, headroom_labels(tally->key.metric, value, tally->series, labels, sizeof(labels)));
	free(value);
	return true;
}

/* Of a service, or with NULL of the host, the metric with most series. */
static const struct levels_tally *longest(const struct levels *levels, const struct resource *resource)
{
	const struct levels_tally *tally, *found = NULL;

	for (tally = levels_tallies(levels); tally; tally = tally->hh.next)
		if ((!resource || tally->key.resource == resource) && (!found || tally->series > found->series))
			found = tally;
	return found;
}

bool level_headroom_next(struct level_headroom *headroom, const struct levels *levels, char *ret, size_t size)
{
	const struct levels_tally *tally;

	for (tally = levels_tallies(levels); tally; tally = tally->hh.next) {
		const struct resource *resource = tally->key.resource;
		const struct levels_used own = levels_used(levels, resource), all = levels_used(levels, NULL);
		const struct {
			enum limit limit;
			const struct resource *resource;
			const struct metric *metric;
			size_t used, most;
			const char *unit;
		} row[] = {
			/* With the overflow series, which is not among them. */
			{ METRIC_SERIES, resource, tally->key.metric, tally->series + 1, PM_SERIES_PER_METRIC,
			  "series of this level" },
			{ SERVICE_SERIES, resource, NULL, own.series, LEVELS_SERIES / 2, "series of levels of one service" },
			{ SERVICE_BYTES, resource, NULL, own.bytes, LEVELS_BYTES / 2, "bytes of levels of one service" },
			{ HOST_SERIES, NULL, NULL, all.series, LEVELS_SERIES, "series of levels" },
			{ HOST_BYTES, NULL, NULL, all.bytes, LEVELS_BYTES, "bytes of levels" },
		};

		for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
			if (headroom_is_near(row[i].used, row[i].most) &&
			    is_news(headroom, row[i].limit, row[i].resource, row[i].metric) &&
			    warn(levels, row[i].metric ? tally : longest(levels, row[i].resource), !row[i].resource, row[i].used,
				 row[i].most, row[i].unit, ret, size))
				return true;
	}
	return false;
}
