/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remember_copy.c - what of a journal still holds, for another one to begin with.
 *
 * Consumes a journal whose records are whole (journal_check()); produces the records that stand, in their order with files
 * last, or only their size. What is over is left behind: services that were forgotten or named by others, series that ended, resources that
 * nobody has any more, files that were given up. Resources and objects are numbered without a hole, so they get new numbers;
 * metrics, services and series have the kernel's ids, which stay.
 */
#include "remember.h"

#include <errno.h>
#include <stdlib.h>

#include "../bpf/maps.h"
#include "journal.h"
#include "remember_tag.h"

/* A journal is worn when a copy would give back so much of it, with the files attached again: then the copy is not worn. */
#define WORN_PART 8

#define NOBODY UINT32_MAX

struct copy {
	const struct journal *from;
	struct journal *to; /* NULL: only measured */
	struct journal_pack pack;
	size_t size;
	uint64_t naming; /* place of the last record of that kind, plus one; 0: none */
	size_t service[PM_MAX_SERVICES]; /* place of the record that stands for each, plus one; 0: none */
	uint32_t *resource; /* new numbers by old ones, NOBODY for those that nobody has */
	bool *gone; /* objects, by old number */
	size_t resources, objects;
};

/* How many of each there may be: as many as there are records. */
static int room_make(struct copy *copy)
{
	struct journal_record record;
	size_t offset = 0, resources = 1, objects = 1, i;

	while (journal_next(copy->from, &offset, &record)) {
		resources += record.tag == TAG_RESOURCE;
		objects += record.tag == TAG_OBJECT;
	}
	copy->resource = calloc(resources, sizeof(*copy->resource));
	copy->gone = calloc(objects, sizeof(*copy->gone));
	for (i = 0; copy->resource && i < resources; i++)
		copy->resource[i] = NOBODY;
	copy->resources = resources - 1;
	copy->objects = objects - 1;
	return copy->resource && copy->gone ? 0 : -ENOMEM;
}

/* Which records stand, by later ones. */
static int look(struct copy *copy)
{
	struct journal_record record;
	size_t offset = 0, i;
	uint64_t number;

	while (journal_next(copy->from, &offset, &record)) {
		size_t place = record.start + 1;

		switch (record.tag) {
		case TAG_NAMING:
			copy->naming = place;
			for (i = 0; i < PM_MAX_SERVICES; i++)
				copy->service[i] = 0;
			break;
		case TAG_SERVICE:
		case TAG_SERVICE_FORGOTTEN:
			number = record_number(&record);
			if (number >= PM_MAX_SERVICES)
				return -EBADMSG;
			copy->service[number] = record.tag == TAG_SERVICE ? place : 0;
			break;
		case TAG_OBJECT_GONE:
			number = record_number(&record);
			if (number >= copy->objects)
				return -EBADMSG;
			copy->gone[number] = true;
			break;
		}
	}
	return 0;
}

/* Does the record of a service, or of what was seen of one, stand? */
static bool stands(const struct copy *copy, struct journal_record record)
{
	size_t place = record.start + 1;

	return record.tag == TAG_SEEN ? place > copy->naming : copy->service[record_number(&record)] == place;
}

/* The resource that a record of a service or of a series names, which has it behind @skip numbers. */
static int resource_of(const struct copy *copy, struct journal_record record, unsigned skip, uint64_t *ret)
{
	while (skip--)
		(void)record_number(&record);
	*ret = record_number(&record);
	return record.failed || *ret >= copy->resources ? -EBADMSG : 0;
}

/* Whose resource is needed, and then new numbers for those. */
static int resources_number(struct copy *copy)
{
	struct journal_record record;
	size_t offset = 0, i;
	uint32_t next = 0;
	uint64_t number;
	int err = 0;

	while (!err && journal_next(copy->from, &offset, &record)) {
		if ((record.tag != TAG_SEEN && record.tag != TAG_SERVICE) || !stands(copy, record))
			continue;
		err = resource_of(copy, record, record.tag == TAG_SERVICE, &number);
		if (!err)
			copy->resource[number] = 0;
	}
	for (i = 0; i < copy->resources; i++)
		if (copy->resource[i] != NOBODY)
			copy->resource[i] = next++;
	return err;
}

static int put(struct copy *copy, uint32_t tag, unsigned percent)
{
	copy->size += 2 * sizeof(uint32_t) + (copy->pack.size + 7) / 8 * 8;
	return copy->to ? journal_append(copy->to, tag, &copy->pack, percent) : 0;
}

/* What is left of @record, behind what has been packed. */
static int put_rest(struct copy *copy, const struct journal_record *record)
{
	pack_bytes(&copy->pack, record->at, (size_t)(record->end - record->at));
	return put(copy, record->tag, PERCENT_ALL);
}

/* Known, and gone: its links are the old set's, but how it was attached is how it must be attached again. */
static int put_object(struct copy *copy, struct journal_record record, uint32_t number)
{
	int err;

	(void)record_number(&record);
	pack_number(&copy->pack, number);
	pack_bytes(&copy->pack, record.at, (size_t)(record.end - record.at));
	err = put(copy, TAG_OBJECT, PERCENT_OBJECTS);
	/* Attached again it is written once more: where only the size is asked for, that is part of it. */
	if (!copy->to)
		(void)put(copy, TAG_OBJECT, PERCENT_OBJECTS);
	pack_begin(&copy->pack);
	pack_number(&copy->pack, number);
	return err ? err : put(copy, TAG_OBJECT_GONE, PERCENT_ALL);
}

/* All but objects: no more than what is there, so there is room for it. */
static int records_put(struct copy *copy)
{
	uint32_t old_resource = 0;
	struct journal_record record;
	size_t offset = 0;
	uint64_t number;
	int err = 0;

	while (!err && journal_next(copy->from, &offset, &record)) {
		pack_begin(&copy->pack);
		switch (record.tag) {
		case TAG_METRIC:
		case TAG_TOLD:
		case TAG_TRIMMED:
		case TAG_SPILLED:
			err = put_rest(copy, &record);
			break;
		case TAG_NAMING:
			if (record.start + 1 == copy->naming)
				err = put_rest(copy, &record);
			break;
		case TAG_RESOURCE:
			number = copy->resource[old_resource++];
			(void)record_number(&record);
			pack_number(&copy->pack, number);
			if (number != NOBODY)
				err = put_rest(copy, &record);
			break;
		case TAG_SERVICE:
			if (!stands(copy, record))
				break;
			pack_number(&copy->pack, record_number(&record));
			pack_number(&copy->pack, copy->resource[record_number(&record)]);
			err = put_rest(copy, &record);
			break;
		case TAG_SEEN:
			if (!stands(copy, record))
				break;
			pack_number(&copy->pack, copy->resource[record_number(&record)]);
			err = put_rest(copy, &record);
			break;
		}
	}
	return err;
}

/* Each takes more room than it did. Those that have none are left behind, and attached as files that nobody knows. */
static int objects_put(struct copy *copy)
{
	uint32_t old = 0, object = 0;
	struct journal_record record;
	size_t offset = 0;
	int err = 0;

	while (!err && journal_next(copy->from, &offset, &record)) {
		if (record.tag != TAG_OBJECT || copy->gone[old++])
			continue;
		pack_begin(&copy->pack);
		err = put_object(copy, record, object++);
	}
	return err == -ENOSPC ? 0 : err;
}

/* @to: NULL to measure. */
static int copy_all(const struct journal *from, struct journal *to, size_t *ret_size)
{
	struct copy *copy = calloc(1, sizeof(*copy));
	int err = copy ? 0 : -ENOMEM;

	if (copy) {
		copy->from = from;
		copy->to = to;
		err = room_make(copy);
	}
	if (!err)
		err = look(copy);
	if (!err)
		err = resources_number(copy);
	if (!err)
		err = records_put(copy);
	if (!err)
		err = objects_put(copy);
	if (!err)
		*ret_size = copy->size;
	if (copy) {
		free(copy->resource);
		free(copy->gone);
		pack_free(&copy->pack);
	}
	free(copy);
	return err;
}

int remember_copy(const struct journal *from, struct journal *to)
{
	size_t size;

	return copy_all(from, to, &size);
}

bool remember_worn(const struct journal *journal)
{
	size_t size;

	return !copy_all(journal, NULL, &size) && journal_header(journal)->used > size + journal->size / WORN_PART;
}
