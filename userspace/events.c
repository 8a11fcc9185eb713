/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * events.c - perf's side-band records: one ring per CPU, read in the order of time.
 *
 * Consumes PERF_RECORD_MMAP2, _COMM, _FORK and _EXIT of a software event that never fires; produces struct event. What
 * they mean for discovery is decided by others.
 *
 * Why these and not BPF tracepoints: they are the only source that tells of executable mappings, so of dlopen, without
 * tracing a system call (there is no tracepoint behind mmap(), and fentry is refused on many hosts). They come with the
 * mapped file's device and inode, so that a known file costs no look at /proc, and are the same on all kernels from
 * 5.15 on. An idle host makes no records, and so no wake-ups.
 *
 * A ring wakes its reader at each record. The reader lets some milliseconds pass and takes them all at once.
 */
#include "events.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"

/* No record is longer: a path has at most 4096 bytes. */
#define RECORD_MAX 4608

struct ring {
	int fd; /* -1: the CPU is offline */
	struct perf_event_mmap_page *page; /* and the records behind it */
	uint64_t size; /* of the records; a power of two */
	bool renew; /* its CPU went or came: the kernel puts no more into this one */
};

struct events {
	struct ring *ring; /* by CPU */
	size_t count;
	size_t ring_bytes;
	int epoll;
	struct arena *arena; /* of one reading */
	struct event *event;
	size_t event_count, room;
};

/* The kernel's layouts behind the header; strings and the time follow. */
struct mmap2_record {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t address, length, offset;
	uint32_t major, minor;
	uint64_t inode, generation;
	uint32_t protection, flags;
	char path[];
};

struct task_record {
	struct perf_event_header header;
	uint32_t pid, parent, tid, parent_tid;
	uint64_t time_ns;
};

struct comm_record {
	struct perf_event_header header;
	uint32_t pid, tid;
};

static int ring_map(struct events *events, struct ring *ring)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *memory = MAP_FAILED;

	/* The first ring decides for all. */
	while (memory == MAP_FAILED) {
		memory = mmap(NULL, page + events->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
		if (memory != MAP_FAILED)
			break;
		if (errno != EPERM || events->ring_bytes <= page)
			return -errno;
		events->ring_bytes /= 2;
	}
	ring->page = memory;
	ring->size = events->ring_bytes;
	return 0;
}

static void ring_close(struct ring *ring)
{
	if (ring->page)
		(void)munmap(ring->page, (size_t)sysconf(_SC_PAGESIZE) + ring->size);
	if (ring->fd >= 0)
		(void)close(ring->fd);
	ring->page = NULL;
	ring->fd = -1;
}

static int ring_open(struct events *events, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TIME,
		.sample_id_all = 1,
		.mmap = 1,
		.mmap2 = 1,
		.task = 1,
		.comm = 1,
		.comm_exec = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.watermark = 1,
		.wakeup_watermark = 1,
	};
	struct epoll_event wanted = { .events = EPOLLIN };
	struct ring *ring = &events->ring[cpu];
	int err;

	ring->fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (ring->fd < 0) {
		ring->fd = -1;
		return -errno;
	}
	err = ring_map(events, ring);
	if (!err && epoll_ctl(events->epoll, EPOLL_CTL_ADD, ring->fd, &wanted))
		err = -errno;
	if (err)
		ring_close(ring);
	return err;
}

int events_open(size_t ring_bytes, struct events **ret)
{
	struct events *events = calloc(1, sizeof(*events));
	int err = -ENODEV, one;
	size_t i;

	if (!events)
		return -ENOMEM;
	events->ring_bytes = ring_bytes;
	events->count = (size_t)sysconf(_SC_NPROCESSORS_CONF);
	events->ring = calloc(events->count, sizeof(*events->ring));
	events->arena = arena_new();
	events->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (i = 0; events->ring && i < events->count; i++)
		events->ring[i].fd = -1;
	if (!events->ring || !events->arena || events->epoll < 0) {
		events_close(events);
		return -ENOMEM;
	}
	for (i = 0; i < events->count; i++) {
		one = ring_open(events, (int)i);
		/* Offline. */
		if (one == -ENODEV)
			continue;
		err = one;
		if (err)
			break;
	}
	if (err) {
		events_close(events);
		return err;
	}
	*ret = events;
	return 0;
}

void events_cpus(struct events *events)
{
	size_t i;

	for (i = 0; i < events->count; i++)
		if (events->ring[i].fd < 0)
			(void)ring_open(events, (int)i);
}

void events_renew(struct events *events, int cpu)
{
	size_t i;

	for (i = 0; i < events->count; i++)
		events->ring[i].renew |= cpu < 0 || (size_t)cpu == i;
}

int events_also(struct events *events, int fd)
{
	struct epoll_event wanted = { .events = EPOLLIN };

	return epoll_ctl(events->epoll, EPOLL_CTL_ADD, fd, &wanted) ? -errno : 0;
}

int events_fd(const struct events *events)
{
	return events->epoll;
}

void events_wake(struct events *events)
{
	struct epoll_event ready[16];

	/* Asking is what clears a ring's flag. */
	while (epoll_wait(events->epoll, ready, 16, 0) == 16)
		;
}

/* Copy the record at @at out of the ring; it may go over its end. */
static const struct perf_event_header *record_copy(const struct ring *ring, uint64_t at, struct arena *arena)
{
	const char *data = (const char *)ring->page + ring->page->data_offset;
	struct perf_event_header header;
	uint64_t offset = at & (ring->size - 1), first;
	char *copy;

	/* Records are a multiple of 8 bytes, so that the header is in one piece. */
	memcpy(&header, data + offset, sizeof(header));
	copy = arena_alloc(arena, header.size, 8);
	if (!copy)
		return NULL;
	first = ring->size - offset < header.size ? ring->size - offset : header.size;
	memcpy(copy, data + offset, first);
	memcpy(copy + first, data, header.size - first);
	return (const void *)copy;
}

/* The time stands at the end of every record. */
static uint64_t record_time(const struct ring *ring, uint64_t at, uint16_t size)
{
	const char *data = (const char *)ring->page + ring->page->data_offset;
	uint64_t time;

	memcpy(&time, data + ((at + size - sizeof(time)) & (ring->size - 1)), sizeof(time));
	return time;
}

/* Return: false if it is nothing that anybody asked for. */
static bool record_decode(const struct perf_event_header *header, struct event *ret)
{
	const struct mmap2_record *mapped = (const void *)header;
	const struct task_record *task = (const void *)header;
	const struct comm_record *comm = (const void *)header;

	switch (header->type) {
	case PERF_RECORD_MMAP2:
		ret->kind = EVENT_MAPPED;
		ret->at.pid = (pid_t)mapped->pid;
		ret->at.start = mapped->address;
		ret->at.end = mapped->address + mapped->length;
		ret->at.device = (uint64_t)mapped->major << 32 | mapped->minor;
		ret->at.inode = mapped->inode;
		ret->at.path = mapped->path;
		return mapped->inode;
	case PERF_RECORD_FORK:
		ret->kind = EVENT_FORKED;
		ret->at.pid = (pid_t)task->pid;
		ret->parent = (pid_t)task->parent;
		return task->pid == task->tid;
	case PERF_RECORD_EXIT:
		ret->kind = EVENT_EXITED;
		ret->at.pid = (pid_t)task->pid;
		return task->pid == task->tid;
	case PERF_RECORD_COMM:
		ret->kind = EVENT_EXECED;
		ret->at.pid = (pid_t)comm->pid;
		return header->misc & PERF_RECORD_MISC_COMM_EXEC;
	default:
		return false;
	}
}

static int event_add(struct events *events, const struct perf_event_header *header, uint64_t time_ns)
{
	struct event event = { .at.time_ns = time_ns };

	/* Processes outside of our pid namespace have no pid here. */
	if (!record_decode(header, &event) || event.at.pid <= 0)
		return 0;
	if (events->event_count == events->room) {
		size_t room = events->room ? 2 * events->room : 64;
		struct event *grown = realloc(events->event, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		events->event = grown;
		events->room = room;
	}
	events->event[events->event_count++] = event;
	return 0;
}

/* Return: 1 if there are records later than @until_ns, 0, -ENOMEM. */
static int ring_read(struct events *events, struct ring *ring, uint64_t until_ns, bool *ret_lost)
{
	uint64_t head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE), at = ring->page->data_tail;
	int result = 0;

	/* A record that found no room is told of only by the next one that does. */
	if (head - at > ring->size - (ring->size > 2 * RECORD_MAX ? RECORD_MAX : ring->size / 4))
		*ret_lost = true;
	while (at < head && !result) {
		const struct perf_event_header *header;
		struct perf_event_header start;
		uint64_t time;

		memcpy(&start, (const char *)ring->page + ring->page->data_offset + (at & (ring->size - 1)), sizeof(start));
		time = record_time(ring, at, start.size);
		if (time > until_ns && start.type != PERF_RECORD_LOST) {
			result = 1;
			break;
		}
		if (start.type == PERF_RECORD_LOST)
			*ret_lost = true;
		header = record_copy(ring, at, events->arena);
		result = header ? event_add(events, header, time) : -ENOMEM;
		at += start.size;
	}
	if (result < 0) {
		*ret_lost = true;
		at = head;
	}
	__atomic_store_n(&ring->page->data_tail, at, __ATOMIC_RELEASE);
	return result;
}

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return (x->at.time_ns > y->at.time_ns) - (x->at.time_ns < y->at.time_ns);
}

/* What happened there between its CPU's coming and now was told to nobody. */
static void ring_renew(struct events *events, int cpu, bool *ret_lost)
{
	struct ring *ring = &events->ring[cpu];

	ring_close(ring);
	ring->renew = false;
	*ret_lost |= !ring_open(events, cpu);
}

int events_read(struct events *events, uint64_t until_ns, const struct event **ret, size_t *ret_count, bool *ret_lost)
{
	int result = 0, one;
	size_t i;

	arena_reset(events->arena);
	events->event_count = 0;
	for (i = 0; i < events->count; i++) {
		one = events->ring[i].fd < 0 ? 0 : ring_read(events, &events->ring[i], until_ns, ret_lost);
		if (one && result >= 0)
			result = one;
		if (events->ring[i].renew && one != 1)
			ring_renew(events, (int)i, ret_lost);
	}
	if (events->event_count)
		qsort(events->event, events->event_count, sizeof(*events->event), by_time);
	*ret = events->event;
	*ret_count = events->event_count;
	return result;
}

size_t events_bytes(const struct events *events)
{
	size_t bytes = 0, i;

	for (i = 0; i < events->count; i++)
		bytes += events->ring[i].fd < 0 ? 0 : events->ring[i].size;
	return bytes;
}

void events_close(struct events *events)
{
	size_t i;

	if (!events)
		return;
	for (i = 0; events->ring && i < events->count; i++)
		ring_close(&events->ring[i]);
	if (events->epoll >= 0)
		(void)close(events->epoll);
	arena_free(events->arena);
	free(events->event);
	free(events->ring);
	free(events);
}
