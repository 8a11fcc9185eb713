/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover_set.c - both sides of a handover: an old set, open to be read, and writing to the maps of the new one.
 *
 * Consumes a pinned set, whatever build made it; produces its journal, its layout (layout.h) and its maps, of sizes that
 * were checked, or says that it is not what it should be. What becomes of the contents is for handover_copy.c and
 * handover_move.c, what becomes of a set that cannot be read is for handover.c.
 */
#include "handover_set.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../bpf/maps.h"

/* A pinned array, mapped, at least @need bytes of it; NULL with @err, and nothing where that is set already. */
static void *array_map(const struct pins_set *set, const char *name, size_t need, size_t *ret_size, int *err)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = *err ? -1 : pins_set_map(set, name);
	void *memory = NULL;

	if (*err)
		return NULL;
	if (fd < 0) {
		*err = pins_error(fd);
		return NULL;
	}
	if (bpf_obj_get_info_by_fd(fd, &info, &size) || info.type != BPF_MAP_TYPE_ARRAY ||
	    (uint64_t)info.max_entries * ((info.value_size + 7u) & ~7u) < need)
		*err = -EBADMSG;
	if (!*err) {
		*ret_size = (size_t)info.max_entries * ((info.value_size + 7u) & ~7u);
		memory = mmap(NULL, *ret_size, PROT_READ, MAP_SHARED, fd, 0);
	}
	if (memory == MAP_FAILED) {
		*err = pins_error(-errno);
		memory = NULL;
	}
	(void)close(fd);
	return memory;
}

static void unmap(const void *memory, size_t size)
{
	if (memory)
		(void)munmap((void *)memory, size);
}

int old_set_journal(const struct pins_set *set, struct journal *ret)
{
	struct journal journal = { 0 };
	int err = 0;

	journal.memory = array_map(set, "journal", sizeof(struct journal_header), &journal.size, &err);
	if (!err)
		err = journal_check(&journal);
	if (err)
		old_set_journal_close(&journal);
	else
		*ret = journal;
	return err;
}

void old_set_journal_close(struct journal *journal)
{
	unmap(journal->memory, journal->size);
	*journal = (struct journal){ 0 };
}

void old_set_close(struct old_set *old)
{
	int fd[] = { old->series, old->strings, old->services, old->drops };
	size_t i;

	unmap(old->journal.memory, old->journal.size);
	unmap(old->places, old->places_size);
	unmap(old->cells, old->cells_size);
	unmap(old->carries, old->carries_size);
	unmap(old->carried, old->carried_size);
	for (i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		if (fd[i] >= 0)
			(void)close(fd[i]);
	*old = (struct old_set){ .series = -1, .strings = -1, .services = -1, .drops = -1 };
}

int old_set_map(const struct pins_set *set, const char *name, uint32_t key_size, uint32_t value_size)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = pins_set_map(set, name);

	if (fd < 0)
		return pins_error(fd);
	if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.key_size == key_size && info.value_size == value_size)
		return fd;
	(void)close(fd);
	return -EBADMSG;
}

int old_set_has_carried(const struct pins_set *set)
{
	int fd = pins_set_map(set, "carried");

	if (fd < 0)
		return fd == -ENOENT ? 0 : pins_error(fd);
	(void)close(fd);
	return 1;
}

int old_set_open(const struct pins_set *set, struct old_set *ret)
{
	struct old_set old = { .series = -1, .strings = -1, .services = -1, .drops = -1 };
	const uint64_t *n = old.layout.number;
	uint64_t slots;
	int err = 0, carried;
	size_t i;

	*ret = old;
	err = old_set_journal(set, &old.journal);
	if (!err)
		err = layout_read(&old.journal, &old.layout);
	if (err)
		goto out;
	slots = n[LAYOUT_SLOTS];
	old.places = array_map(set, "places", slots * n[LAYOUT_SLOT_SIZE], &old.places_size, &err);
	old.cells = array_map(set, "cells", n[LAYOUT_CPUS] * slots * n[LAYOUT_CELL_SIZE], &old.cells_size, &err);
	old.carries = array_map(set, "carries", slots * sizeof(uint64_t), &old.carries_size, &err);
	carried = old_set_has_carried(set);
	if (carried > 0)
		old.carried = array_map(set, "carried",
					(slots + n[LAYOUT_METRICS] * n[LAYOUT_REASONS]) * sizeof(struct pm_carried),
					&old.carried_size, &err);
	old.series = old_set_map(set, "series", sizeof(struct pm_series_key), sizeof(struct pm_series));
	old.strings = old_set_map(set, "strings", sizeof(struct pm_string_key), PM_PIECE);
	old.services = old_set_map(set, "services", sizeof(struct pm_service_key), sizeof(struct pm_service));
	old.drops = old_set_map(set, "drops", sizeof(uint32_t), sizeof(uint64_t));
	{
		const int opened[] = { carried, old.series, old.strings, old.services, old.drops };

		for (i = 0; i < sizeof(opened) / sizeof(opened[0]) && !err; i++)
			err = opened[i] < 0 ? opened[i] : 0;
	}
out:
	if (err)
		old_set_close(&old);
	else
		*ret = old;
	return err;
}

uint64_t old_set_word(const char *memory, uint64_t offset)
{
	uint64_t word;

	memcpy(&word, memory + offset, sizeof(word));
	return word;
}

int map_put(int fd, const void *key, const void *value, uint64_t flags)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int tries;

	for (tries = 0; tries < 1000; tries++) {
		if (!bpf_map_update_elem(fd, key, value, flags))
			return 0;
		if (errno != ENOMEM)
			return -errno;
		(void)nanosleep(&pause, NULL);
	}
	return -ENOMEM;
}
