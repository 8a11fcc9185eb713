/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.c - memory that somebody else has filled: a level table, by a service as it liked; and what an earlier agent left
 * behind, in a build that nobody knows or torn: the journal of its maps, and what it had acknowledged of deltas.
 *
 * Input: which one. Of a table, the words that say how much is used, then slots, then text; it is this process's own, and read
 * as an agent reads another's. Of a journal, what it says wrongly of its length, then records: tag, numbers, text. Of deltas,
 * the file behind its head. Promised: of a table no more than one can hold, metrics of this object alone, and labels that are
 * valid UTF-8; of what was left, all of it or none, with whatever it names being there, and that the same goes on to the next.
 *
 * reaches: level_read labels_read level_at table_address copy
 * reaches: journal_check journal_next journal_append remember_new metric_read resource_read object_read object_gone_read
 * reaches: hand_out seen_restore remember_restore remember_copy copy_all layout_read is_readable delta_unpack baseline_unpack
 * reaches: delta_pack
 */
#include <errno.h>
#include <unistd.h>

#include <probemeter/abi.h>

#include "../../bpf/maps.h"
#include "delta.h"
#include "fuzz.h"
#include "layout.h"
#include "level.h"
#include "log.h"
#include "remember.h"

/* --- a level table */

/* What a full table of honest size takes: the copies, and its text cleaned. */
#define MEMORY_MAX ((size_t)2 << 20)

static struct probemeter_levels table;

#define METRIC(number, labels, at)                                                                           \
	{ .metric = { .id = number, .kind = PROBEMETER_KIND_UPDOWNCOUNTER, .label_count = labels },                       \
	  .semaphore_address = 0x1000 + (at), .levels_address = 0x1000 }

static struct descriptor descriptors[] = {
	METRIC(0, 0, 8), METRIC(1, 1, 16), METRIC(2, 4, -24),
	/* A counter: has no level. */
	{ .metric = { .id = 3, .kind = PROBEMETER_KIND_COUNTER, .label_count = 1 }, .semaphore_address = 0x1000 + 32 },
};
static const int place[] = { 8, 16, -24, 32, 0, 0x7fffffff };

static void table_fill(struct input *input)
{
	uint32_t slots, end;

	memset(&table, 0, sizeof(table));
	table.used = (unsigned)take(input, 4);
	table.text_used = (unsigned)take(input, 4);
	slots = (uint32_t)take(input, 1) % 32;
	/* Few, mostly: a full table takes a thousand times as long. */
	end = (uint32_t)take(input, 1);
	end = end > 0xf0 ? PROBEMETER_LEVEL_SLOTS : end;
	for (uint32_t i = 0; i < slots; i++) {
		const uint8_t how = (uint8_t)take(input, 1);
		const struct probemeter_level_slot slot = { .key = how & 1, .metric = place[(how >> 2) % COUNT(place)],
							    .text = (unsigned)take(input, 4), .flags = how >> 1 & 1 };

		/* Again and again, so that few bytes make a full one. */
		for (uint32_t n = i; n < end; n += slots) {
			table.slot[n] = slot;
			table.value[n] = (struct probemeter_level_value){ how, n };
		}
	}
	if (input->size > sizeof(table.text))
		input->size = sizeof(table.text);
	for (size_t at = 0; input->size && at < sizeof(table.text); at += input->size)
		memcpy(table.text + at, input->at, at + input->size <= sizeof(table.text) ? input->size : sizeof(table.text) - at);
}

static void check(const struct level *level)
{
	REQUIRE(level->metric && level->metric->id < 3);
	for (uint32_t i = 0; i < level->metric->label_count && !level->overflow; i++)
		REQUIRE(text_valid(level->value[i]) && strlen(level->value[i]) <= 3 * PROBEMETER_LABEL_BYTES);
}

static void fuzz_table(struct input *input, struct arena *arena)
{
	const struct metric *metric[COUNT(descriptors)];
	struct object object = { .descriptors = { .descriptor = descriptors, .count = COUNT(descriptors) },
				 .metric = metric, .has_levels = true };
	const struct loaded loaded = { .object = &object, .bias = (uint64_t)(uintptr_t)&table - 0x1000 };
	const struct process process = { .pid = getpid() };
	const struct level *level;
	struct level_room room;
	long count;

	for (size_t i = 0; i < COUNT(descriptors); i++)
		metric[i] = &descriptors[i].metric;
	table_fill(input);
	count = level_read(&process, &loaded, arena, &room, &level);
	REQUIRE(count >= 0 && count <= PROBEMETER_LEVEL_SLOTS);
	REQUIRE(room.slots <= PROBEMETER_LEVEL_SLOTS && room.text <= PROBEMETER_LEVEL_TEXT);
	for (long i = 0; i < count; i++)
		check(&level[i]);
	REQUIRE(arena_bytes(arena) < MEMORY_MAX);
}

/* --- what an earlier agent left */

#define JOURNAL_BYTES 65536
#define TAG_LAYOUT 32
#define SLOTS 64
#define CPUS 2

static void layout_take(struct input *input, struct journal *journal)
{
	struct layout layout;
	size_t which = take(input, 1) % LAYOUT_COUNT;

	layout_own(SLOTS, CPUS, &layout);
	layout.number[which] = take(input, 8);
	(void)layout_write(journal, &layout);
}

static void record_take(struct input *input, struct journal *journal, struct journal_pack *pack)
{
	uint32_t tag = take(input, 1) % 64;
	size_t numbers, length;

	if (tag == TAG_LAYOUT) {
		layout_take(input, journal);
		return;
	}
	pack_begin(pack);
	for (numbers = take(input, 1) % 16; numbers; numbers--) {
		uint64_t number = take(input, 1);

		pack_number(pack, number == 0xff ? take(input, 8) : number);
	}
	length = take(input, 1);
	length = length < input->size ? length : input->size;
	pack_bytes(pack, input->at, length);
	input->at += length;
	input->size -= length;
	(void)journal_append(journal, tag ? tag : 1, pack, 100);
}

static void check_metric(void *context, const struct metric *metric, uint64_t start_unix_ns)
{
	(void)start_unix_ns;
	REQUIRE(metric && metric == metrics_get(context, metric->id) && metric->name && metric->scope);
	REQUIRE(metric->label_count <= PROBEMETER_MAX_LABELS && metric->bound_count <= PM_MAX_BOUNDS);
	for (uint32_t i = 0; i < metric->label_count; i++)
		REQUIRE(metric->label[i]);
}

static void check_service(void *context, uint32_t service, const struct resource *resource)
{
	(void)context;
	(void)service;
	REQUIRE(!resource || service_name(resource));
}

static void check_anew(void *context)
{
	(void)context;
}

static int check_seen(void *context, const struct point *point)
{
	check_metric(context, point->metric, 0);
	REQUIRE(point->resource && service_name(point->resource));
	for (uint32_t i = 0; !point->overflow && i < point->metric->label_count; i++)
		REQUIRE(point->value[i]);
	return 0;
}

static int check_spilled(void *context, uint32_t series)
{
	(void)context;
	(void)series;
	return 0;
}

static struct journal journal_new(struct arena *arena)
{
	struct journal journal = { .memory = arena_alloc(arena, JOURNAL_BYTES, 8), .size = JOURNAL_BYTES };

	REQUIRE(journal.memory);
	journal_init(&journal, 1, 2);
	return journal;
}

/* An agent that begins with this journal. @to: of one that takes over from it, NULL. Return: 0, or -EBADMSG: it is set aside. */
static int begin(struct journal *journal, struct journal *to)
{
	struct metrics *metrics = metrics_new();
	struct services *services = services_new("default");
	const struct remember_events events = { check_metric, check_anew, check_service, check_seen, check_spilled, metrics };
	struct remember *remember = NULL;
	int err = remember_new(journal, metrics, services, &remember);

	REQUIRE(metrics && services && (!err || err == -EBADMSG));
	/* What can be handed out once can be the next time, too. */
	REQUIRE(err || !remember_restore(remember, 7, &events));
	for (const struct remembered *one = err ? NULL : remember_objects(remember); one; one = one->next)
		REQUIRE(one->path && remember_any(remember, &one->id) && (to || one->gone));
	if (!err && to && remember_copy(journal, to))
		to->size = 0; /* has no room for it */
	remember_free(remember);
	services_free(services);
	metrics_free(metrics);
	return err;
}

static void check_layout(const struct journal *journal)
{
	struct layout layout;
	const uint64_t *number = layout.number;

	if (layout_read(journal, &layout))
		return;
	REQUIRE(number[LAYOUT_SLOT_WHERE] < number[LAYOUT_SLOT_SIZE] && number[LAYOUT_SLOT_HASH] < number[LAYOUT_SLOT_SIZE]);
	REQUIRE(number[LAYOUT_CELL_COUNT] < number[LAYOUT_CELL_SIZE] && number[LAYOUT_CELL_SUM] < number[LAYOUT_CELL_SIZE]);
	REQUIRE(number[LAYOUT_SLOT_SIZE] <= PM_PAGE && number[LAYOUT_CELL_SIZE] <= PM_PAGE);
}

static void fuzz_journal(struct input *input, struct arena *arena)
{
	struct journal journal = journal_new(arena), next = journal_new(arena);
	struct journal_header *header = (struct journal_header *)journal.memory;
	struct journal_pack pack = { 0 };
	uint64_t lie = take(input, 2);
	int err;

	while (input->size)
		record_take(input, &journal, &pack);
	pack_free(&pack);
	header->used ^= lie;
	err = journal_check(&journal);
	REQUIRE(err == -EBADMSG || (!err && header->used <= JOURNAL_BYTES - sizeof(*header)));
	REQUIRE(!err || lie);
	if (err)
		return;
	check_layout(&journal);
	if (!begin(&journal, &next) && next.size)
		REQUIRE(!journal_check(&next) && !begin(&next, NULL));
}

static void fuzz_deltas(struct input *input)
{
	struct journal_record record = { .at = input->at, .end = input->at + input->size };
	struct delta *delta = delta_new(), *next = delta_new();
	struct journal_pack pack = { 0 };
	int err;

	REQUIRE(delta && next);
	err = delta_unpack(delta, &record);
	REQUIRE(!err || err == -EBADMSG);
	delta_pack(delta, &pack);
	REQUIRE(!pack.failed);
	record = (struct journal_record){ .at = pack.data, .end = pack.data + pack.size };
	REQUIRE(!delta_unpack(next, &record));
	pack_free(&pack);
	delta_free(delta);
	delta_free(next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct arena *arena = arena_new();

	log_set_level(LOG_ERROR);
	REQUIRE(arena);
	switch (take(&input, 1)) {
	case 0:
		fuzz_table(&input, arena);
		break;
	case 1:
		fuzz_journal(&input, arena);
		break;
	default:
		fuzz_deltas(&input);
	}
	arena_free(arena);
	return 0;
}
