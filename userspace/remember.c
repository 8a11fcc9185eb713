/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remember.c - metrics, resources, services, series and objects as records of the journal.
 *
 * Consumes what the agent learns, as it learns it; produces the same for the next agent. The kernel's maps hold numbers
 * under ids: which metric an id is, when its streams started, which resource a service id became, which zero series go
 * on, which files have links. Numbers that the maps hold themselves are not kept twice. A record is never changed, but for
 * its tag if it is over, and the latest time, which is one word; a file that was given up gets a second record that says so.
 */
#include "remember.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/maps.h"
#include "arena.h"
#include "remember_tag.h"

/* What hosts can make without end gets the smaller part of the journal. */
#define PERCENT_RESOURCES 75
#define PERCENT_SEEN 50

struct known {
	UT_hash_handle hh;
	const struct resource *resource;
	uint32_t number;
};

struct remember {
	struct journal *journal;
	struct arena *arena;
	struct metrics *metrics;
	struct journal_pack pack;
	struct known *known; /* by resource */
	const struct resource **resource; /* by number */
	uint32_t resource_count, resource_room;
	uint32_t metric_count; /* remembered: ids below */
	uint64_t trimmed[PM_MAX_METRICS];
	struct remembered *objects;
	uint32_t object_count;
	bool full, metrics_full;
	bool renamed; /* what earlier agents settled was by another naming */
	bool services_full; /* a record that others depend on had no room */
	uint64_t *told; /* in the journal, or NULL */
};

static int append(struct remember *remember, uint32_t tag, unsigned percent)
{
	int err = journal_append(remember->journal, tag, &remember->pack, percent);

	remember->full |= err == -ENOSPC;
	return err;
}

/* --- metrics */

int remember_metric(struct remember *remember, const struct metric *metric, uint64_t start_unix_ns)
{
	struct journal_pack *pack = &remember->pack;
	uint32_t i;
	int err;

	if (metric->id < remember->metric_count)
		return 0;
	if (remember->metrics_full || metric->id != remember->metric_count)
		return -ENOSPC; /* ids stay without a hole */
	pack_begin(pack);
	pack_number(pack, metric->id);
	pack_number(pack, start_unix_ns);
	pack_number(pack, metric->kind);
	pack_number(pack, metric->label_count);
	pack_number(pack, metric->bound_count);
	pack_text(pack, metric->scope);
	pack_text(pack, metric->name);
	pack_text(pack, metric->unit);
	pack_text(pack, metric->description);
	for (i = 0; i < metric->label_count; i++)
		pack_text(pack, metric->label[i]);
	pack_bytes(pack, metric->bound, metric->bound_count * sizeof(*metric->bound));
	err = append(remember, TAG_METRIC, PERCENT_ALL);
	if (err)
		remember->metrics_full = true;
	else
		remember->metric_count++;
	return err;
}

static int metric_read(struct remember *remember, struct journal_record *record)
{
	double bound[PM_MAX_BOUNDS];
	struct metric metric = { .bound = bound };
	const struct metric *made;
	uint32_t i;
	int err;

	metric.id = (uint32_t)record_number(record);
	(void)record_number(record); /* its start */
	metric.kind = (uint32_t)record_number(record);
	metric.label_count = (uint32_t)record_number(record);
	metric.bound_count = (uint32_t)record_number(record);
	if (metric.label_count > PROBEMETER_MAX_LABELS || metric.bound_count > PM_MAX_BOUNDS)
		return -EBADMSG;
	metric.scope = record_text(record);
	metric.name = record_text(record);
	metric.unit = record_text(record);
	metric.description = record_text(record);
	for (i = 0; i < metric.label_count; i++)
		metric.label[i] = record_text(record);
	record_bytes(record, bound, metric.bound_count * sizeof(*bound));
	if (record->failed)
		return -EBADMSG;
	err = metrics_intern(remember->metrics, &metric, &made);
	if (err)
		return err == -ENOSPC ? -EBADMSG : err;
	if (made->id != metric.id || metric.id != remember->metric_count)
		return -EBADMSG;
	remember->metric_count++;
	return 0;
}

int remember_trimmed(struct remember *remember, uint32_t metric, uint64_t rules)
{
	int err = 0;

	if (remember->trimmed[metric] == rules)
		return 0;
	pack_begin(&remember->pack);
	pack_number(&remember->pack, metric);
	pack_number(&remember->pack, rules);
	err = append(remember, TAG_TRIMMED, PERCENT_ALL);
	if (!err)
		remember->trimmed[metric] = rules;
	return err;
}

uint64_t remember_trimming(const struct remember *remember, uint32_t metric)
{
	return remember->trimmed[metric];
}

static int trimmed_read(struct remember *remember, struct journal_record *record)
{
	uint64_t metric = record_number(record), rules = record_number(record);

	if (record->failed || metric >= remember->metric_count)
		return -EBADMSG;
	remember->trimmed[metric] = rules;
	return 0;
}

/* --- resources */

static int resource_add(struct remember *remember, const struct resource *resource)
{
	struct known *known;

	if (remember->resource_count == remember->resource_room) {
		uint32_t room = remember->resource_room ? 2 * remember->resource_room : 64;
		void *grown = realloc(remember->resource, room * sizeof(*remember->resource));

		if (!grown)
			return -ENOMEM;
		remember->resource = grown;
		remember->resource_room = room;
	}
	known = arena_alloc(remember->arena, sizeof(*known), sizeof(void *));
	if (!known)
		return -ENOMEM;
	known->resource = resource;
	known->number = remember->resource_count;
	remember->resource[remember->resource_count++] = resource;
	HASH_ADD_PTR(remember->known, resource, known);
	return 0;
}

/* The number of a resource, remembered by now. Attributes that say which build speaks are left to the build. */
static int resource_number(struct remember *remember, const struct resource *resource, uint32_t *ret)
{
	struct journal_pack *pack = &remember->pack;
	struct known *known;
	size_t i, count = 0;
	int err;

	HASH_FIND_PTR(remember->known, &resource, known);
	if (known) {
		*ret = known->number;
		return 0;
	}
	for (i = 0; i < resource->attribute_count; i++)
		count += !service_of_build(&resource->attribute[i]);
	pack_begin(pack);
	pack_number(pack, remember->resource_count);
	pack_number(pack, count);
	for (i = 0; i < resource->attribute_count; i++) {
		if (service_of_build(&resource->attribute[i]))
			continue;
		pack_text(pack, resource->attribute[i].key);
		pack_text(pack, resource->attribute[i].value);
	}
	*ret = remember->resource_count;
	err = append(remember, TAG_RESOURCE, PERCENT_RESOURCES);
	return err ? err : resource_add(remember, resource);
}

static int resource_read(struct remember *remember, struct services *services, struct journal_record *record)
{
	uint64_t number = record_number(record), count = record_number(record), i;
	const struct resource *resource;
	struct attribute *list;
	int err;

	if (number != remember->resource_count || count > (size_t)(record->end - record->at))
		return -EBADMSG;
	list = calloc(count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		list[i].key = record_text(record);
		list[i].value = record_text(record);
	}
	err = record->failed ? -EBADMSG : services_again(services, list, count, &resource);
	free(list);
	return err ? err : resource_add(remember, resource);
}

int remember_service(struct remember *remember, uint32_t service, const struct resource *resource)
{
	uint32_t number;
	int err = remember->services_full ? -ENOSPC : resource_number(remember, resource, &number);

	if (err)
		return err;
	pack_begin(&remember->pack);
	pack_number(&remember->pack, service);
	pack_number(&remember->pack, number);
	return append(remember, TAG_SERVICE, PERCENT_RESOURCES);
}

int remember_forgotten(struct remember *remember, uint32_t service)
{
	int err;

	pack_begin(&remember->pack);
	pack_number(&remember->pack, service);
	err = append(remember, TAG_SERVICE_FORGOTTEN, PERCENT_ALL);
	remember->services_full |= err != 0;
	return err;
}

void remember_gone(struct remember *remember, const bool *gone, const struct resource *const *resource, size_t count)
{
	bool *numbers = calloc(remember->resource_count + 1, sizeof(*numbers));
	struct journal_record record;
	struct known *known;
	uint64_t number;
	size_t offset = 0, i;

	for (i = 0; i < count; i++)
		/* One that came back has a number for each time. None may stay: the pointer becomes another resource's. */
		for (;;) {
			HASH_FIND_PTR(remember->known, &resource[i], known);
			if (!known)
				break;
			/* Without memory it is seen again by the next agent, as a zero that ends by itself. */
			if (numbers)
				numbers[known->number] = true;
			remember->resource[known->number] = NULL;
			HASH_DEL(remember->known, known);
		}
	while (journal_next(remember->journal, &offset, &record)) {
		const struct journal_record whole = record;

		if (record.tag != TAG_SERVICE && record.tag != TAG_SEEN)
			continue;
		number = record_number(&record);
		if (whole.tag == TAG_SERVICE ? number < PM_MAX_SERVICES && gone[number] :
					       numbers && number < remember->resource_count && numbers[number])
			journal_retag(remember->journal, &whole, TAG_GONE);
	}
	free(numbers);
}

/* --- series */

int remember_seen(struct remember *remember, const struct sample *zero)
{
	struct journal_pack *pack = &remember->pack;
	uint32_t number, i;
	int err;

	/* The agent's own metrics begin with each agent. */
	if (metrics_get(remember->metrics, zero->metric->id) != zero->metric)
		return 0;
	err = resource_number(remember, zero->resource, &number);
	if (err)
		return err;
	pack_begin(pack);
	pack_number(pack, number);
	pack_number(pack, zero->metric->id);
	pack_number(pack, zero->overflow);
	pack_number(pack, zero->start_unix_ns);
	for (i = 0; !zero->overflow && i < zero->metric->label_count; i++)
		pack_text(pack, zero->value[i]);
	return append(remember, TAG_SEEN, PERCENT_SEEN);
}

int remember_spilled(struct remember *remember, uint32_t series)
{
	pack_begin(&remember->pack);
	pack_number(&remember->pack, series);
	return append(remember, TAG_SPILLED, PERCENT_RESOURCES);
}

static int seen_restore(const struct remember *remember, const struct remember_events *events,
			struct journal_record *record)
{
	uint64_t resource = record_number(record), metric = record_number(record);
	struct point point = { .metric = metrics_get(remember->metrics, (uint32_t)metric) };
	uint32_t i;

	point.overflow = record_number(record);
	point.start_unix_ns = record_number(record);
	if (resource >= remember->resource_count || !point.metric)
		return -EBADMSG;
	point.resource = remember->resource[resource];
	for (i = 0; !point.overflow && i < point.metric->label_count; i++)
		point.value[i] = record_text(record);
	return record->failed ? -EBADMSG : events->seen(events->context, &point);
}

/* --- objects */

static struct remembered *object_add(struct remember *remember, const struct remembered *object)
{
	struct remembered *copy = arena_alloc(remember->arena, sizeof(*copy), sizeof(void *));

	if (!copy)
		return NULL;
	*copy = *object;
	copy->path = arena_strdup(remember->arena, object->path);
	if (!copy->path)
		return NULL;
	copy->next = remember->objects;
	remember->objects = copy;
	if (copy->number >= remember->object_count)
		remember->object_count = copy->number + 1;
	return copy;
}

int remember_object(struct remember *remember, const struct object *object, unsigned way, uint64_t sites,
		    struct remembered **ret)
{
	const struct remembered fresh = {
		.number = remember->object_count,
		.id = object->id,
		.path = object->path,
		.catalogue = object->catalogue,
		.way = way,
		.sites = sites,
		.found = true,
	};
	struct journal_pack *pack = &remember->pack;
	struct remembered *added;
	int err;

	pack_begin(pack);
	pack_number(pack, fresh.number);
	pack_number(pack, fresh.id.device);
	pack_number(pack, fresh.id.inode);
	pack_number(pack, (uint64_t)fresh.id.changed.tv_sec);
	pack_number(pack, (uint64_t)fresh.id.changed.tv_nsec);
	pack_number(pack, fresh.id.size);
	pack_number(pack, fresh.catalogue);
	pack_number(pack, fresh.way);
	pack_number(pack, fresh.sites);
	pack_text(pack, fresh.path);
	err = append(remember, TAG_OBJECT, PERCENT_OBJECTS);
	if (err)
		return err;
	added = object_add(remember, &fresh);
	if (!added)
		return -ENOMEM;
	*ret = added;
	return 0;
}

static int object_read(struct remember *remember, struct journal_record *record)
{
	struct remembered object = { .number = (uint32_t)record_number(record) };

	object.id.device = record_number(record);
	object.id.inode = record_number(record);
	object.id.changed.tv_sec = (time_t)record_number(record);
	object.id.changed.tv_nsec = (long)record_number(record);
	object.id.size = record_number(record);
	object.catalogue = record_number(record);
	object.way = (unsigned)record_number(record);
	object.sites = record_number(record);
	object.path = record_text(record);
	if (record->failed || object.number != remember->object_count)
		return -EBADMSG;
	return object_add(remember, &object) ? 0 : -ENOMEM;
}

/* If there is no room to say so, the next agent finds an object without links and without its file. */
void remember_object_gone(struct remember *remember, struct remembered *object)
{
	pack_begin(&remember->pack);
	pack_number(&remember->pack, object->number);
	(void)append(remember, TAG_OBJECT_GONE, PERCENT_ALL);
	object->gone = true;
}

static int object_gone_read(struct remember *remember, struct journal_record *record)
{
	uint64_t number = record_number(record);
	struct remembered *object;

	for (object = remember->objects; object; object = object->next)
		if (object->number == number)
			object->gone = true;
	return record->failed ? -EBADMSG : 0;
}

struct remembered *remember_objects(const struct remember *remember)
{
	return remember->objects;
}

struct remembered *remember_find(const struct remember *remember, const struct object_id *id)
{
	struct remembered *object;

	for (object = remember->objects; object; object = object->next)
		if (!object->gone && !memcmp(&object->id, id, sizeof(*id)))
			return object;
	return NULL;
}

const struct remembered *remember_any(const struct remember *remember, const struct object_id *id)
{
	const struct remembered *object;

	for (object = remember->objects; object; object = object->next)
		if (!memcmp(&object->id, id, sizeof(*id)))
			return object;
	return NULL;
}

const struct remembered *remember_executable(const struct remember *remember, uint64_t device, uint64_t inode)
{
	const struct remembered *object;

	/* The newest comes first. */
	for (object = remember->objects; object; object = object->next)
		if (object->id.inode == inode && object->id.device == device)
			return object;
	return NULL;
}

/* --- time */

static uint64_t *told_at(const struct journal_record *record)
{
	/* Records lie at multiples of 8 bytes. */
	return record->end - record->at < 8 ? NULL : (uint64_t *)(uintptr_t)record->at;
}

uint64_t remember_told(const struct remember *remember)
{
	return remember->told ? __atomic_load_n(remember->told, __ATOMIC_RELAXED) : 0;
}

void remember_tell(struct remember *remember, uint64_t unix_ns)
{
	struct journal_record record;
	size_t offset = 0;

	if (!remember->told) {
		pack_begin(&remember->pack);
		pack_number(&remember->pack, unix_ns);
		if (append(remember, TAG_TOLD, PERCENT_ALL))
			return;
		while (journal_next(remember->journal, &offset, &record))
			if (record.tag == TAG_TOLD)
				remember->told = told_at(&record);
	}
	__atomic_store_n(remember->told, unix_ns, __ATOMIC_RELAXED);
}

/* --- all of it */

static void no_metric(void *context, const struct metric *metric, uint64_t start_unix_ns)
{
	(void)context, (void)metric, (void)start_unix_ns;
}

static void no_service(void *context, uint32_t service, const struct resource *resource)
{
	(void)context, (void)service, (void)resource;
}

static int no_seen(void *context, const struct point *point)
{
	(void)context, (void)point;
	return 0;
}

static int no_spilled(void *context, uint32_t series)
{
	(void)context, (void)series;
	return 0;
}

static void no_anew(void *context)
{
	(void)context;
}

static const struct remember_events no_events = { no_metric, no_anew, no_service, no_seen, no_spilled, NULL };

/* By which the last services were named; 0: by nothing. */
static uint64_t last_naming(const struct remember *remember)
{
	struct journal_record record;
	uint64_t naming = 0;
	size_t offset = 0;

	while (journal_next(remember->journal, &offset, &record))
		if (record.tag == TAG_NAMING)
			naming = record_number(&record);
	return naming;
}

/* Every record in its order, so the last one of a service or a naming is what stands. */
static int hand_out(const struct remember *remember, const struct remember_events *events)
{
	struct journal_record record;
	size_t offset = 0;
	int err = 0;

	while (!err && journal_next(remember->journal, &offset, &record)) {
		uint64_t first, second;

		switch (record.tag) {
		case TAG_METRIC:
			first = record_number(&record);
			second = record_number(&record);
			events->metric(events->context, metrics_get(remember->metrics, (uint32_t)first), second);
			break;
		case TAG_SERVICE:
			first = record_number(&record);
			second = record_number(&record);
			if (record.failed || second >= remember->resource_count)
				return -EBADMSG;
			events->service(events->context, (uint32_t)first, remember->resource[second]);
			break;
		case TAG_SERVICE_FORGOTTEN:
			first = record_number(&record);
			if (record.failed)
				return -EBADMSG;
			events->service(events->context, (uint32_t)first, NULL);
			break;
		case TAG_NAMING:
			events->anew(events->context);
			break;
		case TAG_SEEN:
			err = seen_restore(remember, events, &record);
			break;
		case TAG_SPILLED:
			first = record_number(&record);
			err = record.failed ? -EBADMSG : events->spilled(events->context, (uint32_t)first);
			break;
		}
	}
	return err;
}

int remember_new(struct journal *journal, struct metrics *metrics, struct services *services, struct remember **ret)
{
	struct remember *remember = calloc(1, sizeof(*remember));
	struct journal_record record;
	size_t offset = 0;
	int err = 0;

	if (!remember)
		return -ENOMEM;
	remember->journal = journal;
	remember->metrics = metrics;
	remember->arena = arena_new();
	if (!remember->arena)
		err = -ENOMEM;
	while (!err && journal_next(journal, &offset, &record)) {
		if (record.tag == TAG_METRIC)
			err = metric_read(remember, &record);
		else if (record.tag == TAG_RESOURCE)
			err = resource_read(remember, services, &record);
		else if (record.tag == TAG_OBJECT)
			err = object_read(remember, &record);
		else if (record.tag == TAG_OBJECT_GONE)
			err = object_gone_read(remember, &record);
		else if (record.tag == TAG_TOLD)
			remember->told = told_at(&record);
		else if (record.tag == TAG_TRIMMED)
			err = trimmed_read(remember, &record);
	}
	/* What is handed out later is looked at now, while it can still be set aside. */
	if (!err)
		err = hand_out(remember, &no_events);
	if (err) {
		remember_free(remember);
		return err;
	}
	*ret = remember;
	return 0;
}

int remember_restore(struct remember *remember, uint64_t naming, const struct remember_events *events)
{
	int err = hand_out(remember, events);
	uint64_t last = last_naming(remember);

	if (err || last == naming)
		return err;
	remember->renamed = last;
	/* What it sets right comes before the record that says it is right. */
	events->anew(events->context);
	pack_begin(&remember->pack);
	pack_number(&remember->pack, naming);
	remember->services_full = append(remember, TAG_NAMING, PERCENT_ALL) != 0;
	return 0;
}

bool remember_renamed(const struct remember *remember)
{
	return remember->renamed;
}

bool remember_full(const struct remember *remember)
{
	return remember->full;
}

void remember_free(struct remember *remember)
{
	if (!remember)
		return;
	HASH_CLEAR(hh, remember->known);
	free(remember->resource);
	pack_free(&remember->pack);
	arena_free(remember->arena);
	free(remember);
}
