/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * levels.c - a level table that a process has filled as it liked.
 *
 * Input: the words that say how much is used, then slots, then text. The table is this process's own, and read as an agent
 * reads another's. Promised: no more than a table can hold, metrics of this object alone, and labels that are valid UTF-8.
 *
 * reaches: level_read labels_read level_at table_address copy
 */
#include <unistd.h>

#include <probemeter/abi.h>

#include "fuzz.h"
#include "level.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct metric *metric[COUNT(descriptors)];
	struct object object = { .descriptors = { .descriptor = descriptors, .count = COUNT(descriptors) },
				 .metric = metric, .has_levels = true };
	const struct loaded loaded = { .object = &object, .bias = (uint64_t)(uintptr_t)&table - 0x1000 };
	const struct process process = { .pid = getpid() };
	struct input input = { data, size };
	struct arena *arena = arena_new();
	const struct level *level;
	long count;

	REQUIRE(arena);
	for (size_t i = 0; i < COUNT(descriptors); i++)
		metric[i] = &descriptors[i].metric;
	table_fill(&input);
	count = level_read(&process, &loaded, arena, &level);
	REQUIRE(count >= 0 && count <= PROBEMETER_LEVEL_SLOTS);
	for (long i = 0; i < count; i++)
		check(&level[i]);
	REQUIRE(arena_bytes(arena) < MEMORY_MAX);
	arena_free(arena);
	return 0;
}
