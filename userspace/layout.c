/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * layout.c - sizes and offsets of bpf/maps.h as a record, written when maps are made, read by whoever comes later.
 */
#include "layout.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "../bpf/maps.h"

#define TAG_LAYOUT 32 /* of the journal's records; the ones below are remember.c's */

/* What form 1 says of what is copied byte by byte (handover.c), sizes apart: if one of these fails, it is another form. */
#define AT(type, field, place) _Static_assert(offsetof(struct type, field) == (place), #type "." #field ": raise LAYOUT_FORM")
AT(pm_series_key, hash, 0);
AT(pm_series_key, service, 8);
AT(pm_series_key, metric, 12);
AT(pm_series, id, 0);
AT(pm_series, named, 4);
AT(pm_usage_key, service, 0);
AT(pm_usage_key, metric, 4);
AT(pm_taken, cells, 0);
AT(pm_taken, series, 8);
AT(pm_taken, pieces, 16);
AT(pm_string_key, owner, 0);
AT(pm_string_key, field, 4);
AT(pm_string_key, piece, 6);
AT(pm_service_key, environment, 0);
AT(pm_service_key, cgroup, 8);
AT(pm_service_key, inode, 16);
AT(pm_service_key, process, 24);
AT(pm_service_key, device, 32);
AT(pm_service_key, uid, 36);
AT(pm_service, seal, 0);
AT(pm_service, since_unix_ns, 8);
AT(pm_service, id, 16);
AT(pm_service, tgid, 20);
AT(pm_service, start_ns, 24);
AT(pm_service, uid, 32);
AT(pm_service, metric, 36);
AT(pm_carried, count, 0);
AT(pm_carried, sum, 8);
AT(pm_carried, high, 16);
_Static_assert(PM_WHERE(1, 1) == (1ull << 44 | 1ull << 24) && PM_BUCKET(1, 1, 1) == (1 | 1 << 11 | 1 << 12) &&
	       PM_BUCKET_UNNAMED == 1 << 20 && PM_BUCKET_OVERFLOW == 1 << 21 && PM_MANTISSA_BITS == 31,
	       "the key of a cell: raise LAYOUT_FORM");

void layout_own(uint32_t slots, uint32_t cpus, struct layout *ret)
{
	*ret = (struct layout){ {
		[LAYOUT_FORM] = LAYOUT_FORM_1,
		[LAYOUT_SLOTS] = slots,
		[LAYOUT_CPUS] = cpus,
		[LAYOUT_SLOT_SIZE] = sizeof(struct pm_slot),
		[LAYOUT_SLOT_WHERE] = offsetof(struct pm_slot, where),
		[LAYOUT_SLOT_HASH] = offsetof(struct pm_slot, hash),
		[LAYOUT_CELL_SIZE] = sizeof(struct pm_cell),
		[LAYOUT_CELL_COUNT] = offsetof(struct pm_cell, count),
		[LAYOUT_CELL_SUM] = offsetof(struct pm_cell, sum),
		[LAYOUT_METRICS] = PM_MAX_METRICS,
		[LAYOUT_REASONS] = PM_DROP_REASONS,
		[LAYOUT_CARRIED_SIZE] = sizeof(struct pm_carried),
		[LAYOUT_SERIES_KEY_SIZE] = sizeof(struct pm_series_key),
		[LAYOUT_SERIES_SIZE] = sizeof(struct pm_series),
		[LAYOUT_USAGE_KEY_SIZE] = sizeof(struct pm_usage_key),
		[LAYOUT_STRING_KEY_SIZE] = sizeof(struct pm_string_key),
		[LAYOUT_PIECE] = PM_PIECE,
		[LAYOUT_LABEL_PIECES] = PM_LABEL_PIECES,
		[LAYOUT_SERVICE_KEY_SIZE] = sizeof(struct pm_service_key),
		[LAYOUT_SERVICE_SIZE] = sizeof(struct pm_service),
		[LAYOUT_TAKEN_SIZE] = sizeof(struct pm_taken),
	} };
}

int layout_write(struct journal *journal, const struct layout *layout)
{
	struct journal_pack pack = { 0 };
	int err;

	pack_begin(&pack);
	pack_bytes(&pack, layout->number, sizeof(layout->number));
	err = journal_append(journal, TAG_LAYOUT, &pack, 100);
	pack_free(&pack);
	return err;
}

/* Are there eight bytes at @place, of @size? */
static bool fits(uint64_t place, uint64_t size)
{
	return size >= 8 && place <= size - 8;
}

/* Nothing in it may lead a reader out of the maps; that they are large enough is looked at when they are opened. */
static bool is_readable(const struct layout *layout)
{
	const uint64_t *number = layout->number;
	struct layout own;

	layout_own(0, 0, &own);
	return number[LAYOUT_FORM] == LAYOUT_FORM_1 && number[LAYOUT_SLOTS] <= 1u << 28 && number[LAYOUT_CPUS] <= 1u << 16 &&
	       number[LAYOUT_SLOT_SIZE] <= PM_PAGE && number[LAYOUT_CELL_SIZE] <= PM_PAGE &&
	       number[LAYOUT_SLOT_SIZE] % 8 == 0 && number[LAYOUT_CELL_SIZE] % 8 == 0 &&
	       fits(number[LAYOUT_SLOT_WHERE], number[LAYOUT_SLOT_SIZE]) &&
	       fits(number[LAYOUT_SLOT_HASH], number[LAYOUT_SLOT_SIZE]) &&
	       fits(number[LAYOUT_CELL_COUNT], number[LAYOUT_CELL_SIZE]) &&
	       fits(number[LAYOUT_CELL_SUM], number[LAYOUT_CELL_SIZE]) && number[LAYOUT_METRICS] <= 1u << 20 &&
	       number[LAYOUT_REASONS] <= 64 &&
	       !memcmp(number + LAYOUT_CARRIED_SIZE, own.number + LAYOUT_CARRIED_SIZE,
		       (LAYOUT_COUNT - LAYOUT_CARRIED_SIZE) * sizeof(*number));
}

int layout_read(const struct journal *journal, struct layout *ret)
{
	struct journal_record record;
	struct layout layout;
	size_t offset = 0;

	while (journal_next(journal, &offset, &record)) {
		if (record.tag != TAG_LAYOUT)
			continue;
		record_bytes(&record, layout.number, sizeof(layout.number));
		if (record.failed || !is_readable(&layout))
			return -EBADMSG;
		*ret = layout;
		return 0;
	}
	return -EBADMSG;
}
