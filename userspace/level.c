/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * level.c - copy a level table out of a process and make sense of it.
 *
 * Consumes a process and the place of its table; produces levels. Who they belong to and how processes add up is
 * merge.c's.
 */
#include "level.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "utf8.h"

#define HEADER_OFFSET offsetof(struct probemeter_levels, used)

struct header {
	unsigned used, text_used, wiped, lost;
};

bool level_same_memory(pid_t a, pid_t b)
{
	return !syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0);
}

static long copy(pid_t pid, const struct iovec *local, const struct iovec *remote, size_t count)
{
	size_t want = 0, i;
	ssize_t n;

	for (i = 0; i < count; i++)
		want += local[i].iov_len;
	n = process_vm_readv(pid, local, count, remote, count, 0);
	if (n < 0)
		return -errno;
	return (size_t)n == want ? 0 : -EFAULT;
}

/* Which of the object's level metrics has its semaphore there; -1: none that is counted. */
static long level_at(const struct object *object, uint64_t semaphore_address)
{
	size_t i;

	for (i = 0; i < object->descriptors.count; i++)
		if (object->descriptors.descriptor[i].semaphore_address == semaphore_address)
			return object->descriptors.descriptor[i].levels_address && object->metric[i] ? (long)i : -1;
	return -1;
}

/*
 * Label values from the table's text; it need not be what it was when the slot was made, nor end. @left: bytes that slots
 * may still take. Each has text of its own, so that all of them together have no more than there is; where they lie and
 * share it, a table would be read as fifty times its size. What finds nothing left goes to the overflow series.
 */
static int labels_read(const char *text, size_t text_size, unsigned offset, size_t *left,
		       const struct descriptor *descriptor, struct arena *arena, struct level *ret)
{
	uint32_t i, kept = 0;

	for (i = 0; i < descriptor->metric.label_count; i++) {
		size_t room = offset < text_size ? text_size - offset : 0, length;
		char *clean;

		if (room > PROBEMETER_LABEL_BYTES)
			room = PROBEMETER_LABEL_BYTES;
		length = strnlen(text + (room ? offset : 0), room);
		if (length >= *left) {
			ret->overflow = true;
			return 0;
		}
		*left -= length + 1;
		if (!(descriptor->left_out & 1u << i)) {
			clean = arena_alloc(arena, 3 * length + 1, 1);
			if (!clean)
				return -ENOMEM;
			(void)utf8_clean(text + (length ? offset : 0), length, clean, 3 * length + 1);
			ret->value[kept++] = clean;
		}
		offset += (unsigned)length + 1;
	}
	return 0;
}

static uint64_t table_address(const struct loaded *loaded)
{
	const struct descriptors *d = &loaded->object->descriptors;
	size_t i;

	for (i = 0; i < d->count; i++)
		if (d->descriptor[i].levels_address)
			return d->descriptor[i].levels_address;
	return 0;
}

long level_read(const struct process *process, const struct loaded *loaded, struct arena *arena, struct level_room *room,
		const struct level **ret)
{
	uint64_t file_address = table_address(loaded), address = file_address + loaded->bias;
	struct probemeter_level_value *value;
	struct probemeter_level_slot *slot;
	struct iovec local[3], remote[3];
	struct level *levels;
	struct header header;
	size_t count = 0, left, i;
	char *text;
	long err;

	local[0] = (struct iovec){ &header, sizeof(header) };
	remote[0] = (struct iovec){ (void *)(address + HEADER_OFFSET), sizeof(header) };
	err = copy(process->pid, local, remote, 1);
	if (err)
		return err;
	if (header.used > PROBEMETER_LEVEL_SLOTS)
		header.used = PROBEMETER_LEVEL_SLOTS;
	if (header.text_used > PROBEMETER_LEVEL_TEXT)
		header.text_used = PROBEMETER_LEVEL_TEXT;
	*ret = NULL;
	*room = (struct level_room){ header.used, header.text_used };
	if (!header.used)
		return 0;
	value = arena_alloc(arena, header.used * sizeof(*value), 8);
	slot = arena_alloc(arena, header.used * sizeof(*slot), 8);
	text = arena_alloc(arena, header.text_used + 1, 1);
	levels = arena_alloc(arena, header.used * sizeof(*levels), 8);
	if (!value || !slot || !text || !levels)
		return -ENOMEM;
	/* Slots and their text are complete before they count as used by their key; values come last, so that none is older
	 * than its slot. */
	local[0] = (struct iovec){ slot, header.used * sizeof(*slot) };
	remote[0] = (struct iovec){ (void *)(address + offsetof(struct probemeter_levels, slot)), local[0].iov_len };
	local[1] = (struct iovec){ text, header.text_used };
	remote[1] = (struct iovec){ (void *)(address + offsetof(struct probemeter_levels, text)), local[1].iov_len };
	local[2] = (struct iovec){ value, header.used * sizeof(*value) };
	remote[2] = (struct iovec){ (void *)(address + offsetof(struct probemeter_levels, value)), local[2].iov_len };
	err = copy(process->pid, local, remote, 3);
	if (err)
		return err;
	/* A last value that is cut by the end has no NUL, and beyond the end there are empty ones. */
	left = header.text_used + 1 + PROBEMETER_LEVEL_SLOTS * PROBEMETER_MAX_LABELS;
	for (i = 0; i < header.used; i++) {
		struct level *level = &levels[count];
		long at;

		if (!slot[i].key)
			continue;
		at = level_at(loaded->object, file_address + (uint64_t)(int64_t)slot[i].metric);
		if (at < 0)
			continue;
		level->metric = loaded->object->metric[at];
		level->overflow = slot[i].flags & PROBEMETER_LEVEL_OVERFLOW;
		level->level = value[i].value;
		level->set_ns = value[i].set_ns;
		if (!level->overflow &&
		    labels_read(text, header.text_used, slot[i].text, &left,
				&loaded->object->descriptors.descriptor[at], arena, level))
			return -ENOMEM;
		count++;
	}
	*ret = levels;
	return (long)count;
}

uint32_t level_lost(const struct process *process, const struct loaded *loaded)
{
	uint64_t address = table_address(loaded) + loaded->bias;
	struct header header;
	const struct iovec local = { &header, sizeof(header) };
	const struct iovec remote = { (void *)(address + HEADER_OFFSET), sizeof(header) };

	return copy(process->pid, &local, &remote, 1) ? 0 : header.lost;
}
