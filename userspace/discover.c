/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * discover.c - who lives, and which objects with descriptors are mapped where.
 *
 * Consumes /proc and the kernel's events; produces struct process. Events are hints and /proc is the truth: an event says
 * which process to look at, and what is then seen counts, so that nothing depends on events being complete or in order.
 * Which files have descriptors is object.c's.
 */
#include "discover.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ENVIRONMENT (1u << 20)

/* A process to look at. */
struct hint {
	pid_t pid;
	UT_hash_handle hh;
};

int discover_start(pid_t pid, uint64_t *ret_ticks, pid_t *ret_parent, uint64_t *ret_stack)
{
	char path[32], text[1024], *at;
	unsigned long long ticks, stack;
	int fd, parent, field;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return -ESRCH;
	text[n] = '\0';
	/* The name is in parentheses and may hold anything, also parentheses: go on behind the last one. */
	at = strrchr(text, ')');
	if (!at || sscanf(at + 1, " %*c %d", &parent) != 1)
		return -ESRCH;
	for (field = 2; field < 22 && at; field++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, " %llu", &ticks) != 1)
		return -ESRCH;
	/* 0 for whom we may not trace. */
	for (; field < 28 && at; field++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, " %llu", &stack) != 1)
		stack = 0;
	*ret_ticks = ticks;
	*ret_parent = parent;
	*ret_stack = stack;
	return 0;
}

/* All of a /proc file, NUL-terminated; the caller frees. */
static char *slurp(const char *path, size_t limit, size_t *ret_size)
{
	size_t room = 16384, size = 0;
	char *text = malloc(room);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	while (fd >= 0 && text && size < limit) {
		if (size + 1 == room) {
			char *more = realloc(text, 2 * room);

			if (!more)
				break;
			text = more;
			room *= 2;
		}
		n = read(fd, text + size, room - size - 1);
		if (n <= 0)
			break;
		size += (size_t)n;
	}
	if (fd >= 0)
		(void)close(fd);
	if (fd < 0 || !text || n < 0) {
		free(text);
		return NULL;
	}
	text[size] = '\0';
	*ret_size = size;
	return text;
}

/* One line of maps: is it an executable mapping of a file? */
static bool line_parse(char *line, struct mapping *ret, uint64_t *ret_offset)
{
	char *at = line;

	ret->start = strtoull(at, &at, 16);
	if (*at != '-')
		return false;
	ret->end = strtoull(at + 1, &at, 16);
	if (strlen(at) < 6 || at[3] != 'x')
		return false;
	*ret_offset = strtoull(at + 5, &at, 16);
	ret->device = strtoull(at, &at, 16) << 32;
	if (*at != ':')
		return false;
	ret->device |= strtoull(at + 1, &at, 16);
	ret->inode = strtoull(at, &at, 10);
	while (*at == ' ')
		at++;
	ret->path = at;
	return ret->inode != 0;
}

static int loaded_add(struct process *process, const struct loaded *loaded)
{
	size_t count = process->loaded_count, i;
	struct loaded *grown;

	/* An object may be mapped in parts, and as a whole several times (dlmopen). */
	for (i = 0; i < count; i++)
		if (process->loaded[i].object == loaded->object && process->loaded[i].bias == loaded->bias)
			return 0;
	if (!(count & (count - 1))) {
		grown = realloc(process->loaded, (count ? 2 * count : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		process->loaded = grown;
	}
	process->loaded[process->loaded_count++] = *loaded;
	return 0;
}

/* What @process maps now. Nothing, if it is gone. */
static int process_read(struct discovery *discovery, const struct discover_events *events, struct process *process)
{
	char path[32], *text, *line, *next;
	size_t size;
	int err = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", process->pid);
	text = slurp(path, 64u << 20, &size);
	for (line = text; line && *line && !err; line = next) {
		struct mapping mapping = { .pid = process->pid };
		struct loaded loaded;
		uint64_t offset;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		/* What cannot be opened is tried again: when somebody else maps it, and by the next sweep. */
		if (!line_parse(line, &mapping, &offset) ||
		    objects_get(&discovery->objects, events, &mapping, &loaded.object) || !loaded.object ||
		    descriptors_bias(&loaded.object->descriptors, mapping.start, offset, &loaded.bias))
			continue;
		loaded.start = mapping.start;
		loaded.end = mapping.end;
		err = loaded_add(process, &loaded);
	}
	free(text);
	return err;
}

struct process *discover_find(const struct discovery *discovery, pid_t pid)
{
	struct process *found;

	HASH_FIND_INT(discovery->process, &pid, found);
	return found;
}

static void process_remove(struct discovery *discovery, struct process *process)
{
	if (!process)
		return;
	HASH_DEL(discovery->process, process);
	free(process->loaded);
	free(process);
	discovery->vacant = true;
}

/* Look at one process now. */
static int look(struct discovery *discovery, const struct discover_events *events, pid_t pid)
{
	struct process *old = discover_find(discovery, pid), *process, now = { .pid = pid };
	int err;

	if (pid == getpid())
		return 0;
	err = process_read(discovery, events, &now);
	if (err || !now.loaded_count || discover_start(pid, &now.start_ticks, &now.parent, &now.stack)) {
		process_remove(discovery, old);
		free(now.loaded);
		return err;
	}
	/* A resource is settled by what exec gave. */
	if (old && old->start_ticks == now.start_ticks && old->stack == now.stack)
		now.resource = old->resource;
	process_remove(discovery, old);
	process = malloc(sizeof(*process));
	if (!process) {
		free(now.loaded);
		return -ENOMEM;
	}
	*process = now;
	process->swept = discovery->sweep;
	HASH_ADD_INT(discovery->process, pid, process);
	return 0;
}

static struct hint *hint_find(const struct discovery *discovery, pid_t pid)
{
	struct hint *found;

	HASH_FIND_INT(discovery->hint, &pid, found);
	return found;
}

static int hint_add(struct discovery *discovery, pid_t pid)
{
	struct hint *hint;

	if (hint_find(discovery, pid))
		return 0;
	hint = malloc(sizeof(*hint));
	if (!hint)
		return -ENOMEM;
	hint->pid = pid;
	HASH_ADD_INT(discovery->hint, pid, hint);
	return 0;
}

static void hint_remove(struct discovery *discovery, struct hint *hint)
{
	HASH_DEL(discovery->hint, hint);
	free(hint);
}

/* Objects that were written over while processes had them mean nothing any more: those processes are looked at again. */
static int replaced_leave(struct discovery *discovery)
{
	struct process *process;
	struct object *object;
	int err = 0;
	size_t i;

	if (!discovery->objects.replaced)
		return 0;
	for (process = discovery->process; process; process = process->hh.next)
		for (i = 0; i < process->loaded_count; i++)
			for (object = discovery->objects.replaced; object; object = object->next)
				if (process->loaded[i].object == object) {
					process->loaded[i--] = process->loaded[--process->loaded_count];
					err = err ? err : hint_add(discovery, process->pid);
					break;
				}
	objects_release(&discovery->objects);
	return err;
}

static int mapped(struct discovery *discovery, const struct discover_events *events, const struct mapping *mapping)
{
	struct object *object = NULL;
	int err = objects_get(&discovery->objects, events, mapping, &object);

	/* Not there any more, or no longer in one piece: the process knows. */
	if (err == -ENOENT)
		return look(discovery, events, mapping->pid);
	if (object)
		return hint_add(discovery, mapping->pid);
	return err == -ENOMEM ? err : 0;
}

int discover_event(struct discovery *discovery, const struct discover_events *events, const struct event *event)
{
	struct process *process = discover_find(discovery, event->at.pid);
	struct hint *hint = hint_find(discovery, event->at.pid);
	int err = 0;

	if (event->at.pid == getpid())
		return 0;
	switch (event->kind) {
	case EVENT_MAPPED:
		err = mapped(discovery, events, &event->at);
		break;
	case EVENT_FORKED:
		if (discover_find(discovery, event->parent) || hint_find(discovery, event->parent))
			err = hint_add(discovery, event->at.pid);
		break;
	case EVENT_EXECED:
		if (process)
			err = hint_add(discovery, event->at.pid);
		break;
	case EVENT_EXITED:
		if (process)
			err = hint_add(discovery, event->at.pid);
		else if (hint)
			hint_remove(discovery, hint);
		break;
	}
	return err ? err : replaced_leave(discovery);
}

int discover_yield(struct discovery *discovery, const struct discover_events *events, int fd)
{
	objects_yield(&discovery->objects, events, fd);
	return replaced_leave(discovery);
}

bool discover_unsettled(const struct discovery *discovery)
{
	return discovery->hint || discovery->vacant;
}

static void prune(struct discovery *discovery, const struct discover_events *events)
{
	struct process *process;
	struct object *object;
	size_t i;

	for (object = discovery->objects.list; object; object = object->hh.next)
		object->mapped = false;
	for (process = discovery->process; process; process = process->hh.next)
		for (i = 0; i < process->loaded_count; i++)
			process->loaded[i].object->mapped = true;
	discovery->vacant = objects_prune(&discovery->objects, events);
}

int discover_settle(struct discovery *discovery, const struct discover_events *events)
{
	struct hint *hint, *next;
	int err = 0;

	objects_round(&discovery->objects);
	HASH_ITER(hh, discovery->hint, hint, next) {
		pid_t pid = hint->pid;

		hint_remove(discovery, hint);
		err = look(discovery, events, pid);
		if (!err)
			err = replaced_leave(discovery);
		if (err)
			return err;
	}
	if (discovery->vacant)
		prune(discovery, events);
	return 0;
}

int discover_verify(struct discovery *discovery)
{
	struct process *process;
	int err = 0;
	size_t i;

	for (process = discovery->process; process && !err; process = process->hh.next)
		for (i = 0; i < process->loaded_count; i++) {
			const struct loaded *loaded = &process->loaded[i];

			if (objects_stands(&discovery->objects, loaded->object, process->pid, loaded->start, loaded->end))
				continue;
			err = hint_add(discovery, process->pid);
			break;
		}
	return err;
}

static int sweep(struct discovery *discovery, const struct discover_events *events, unsigned slices, unsigned slice)
{
	struct process *process, *next;
	struct hint *hint, *after;
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	int err = 0;

	if (!proc)
		return -errno;
	/* For whoever wants to say how far it is; some come and go meanwhile. */
	while (slices == 1 && (entry = readdir(proc)))
		discovery->to_look += isdigit((unsigned char)entry->d_name[0]) != 0;
	rewinddir(proc);
	discovery->sweep++;
	objects_round(&discovery->objects);
	HASH_ITER(hh, discovery->hint, hint, after)
		if ((unsigned)hint->pid % slices == slice)
			hint_remove(discovery, hint);
	while (!err && (entry = readdir(proc))) {
		pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;

		if (!pid || (unsigned)pid % slices != slice)
			continue;
		discovery->looked++;
		err = look(discovery, events, pid);
		if (!err)
			err = replaced_leave(discovery);
	}
	(void)closedir(proc);
	discovery->looked = discovery->to_look = 0;
	HASH_ITER(hh, discovery->process, process, next)
		if (!err && (unsigned)process->pid % slices == slice && process->swept != discovery->sweep)
			process_remove(discovery, process);
	prune(discovery, events);
	return err;
}

int discover_sweep(struct discovery *discovery, const struct discover_events *events)
{
	objects_forget(&discovery->objects);
	discovery->slice = 0;
	return sweep(discovery, events, 1, 0);
}

int discover_reconcile(struct discovery *discovery, const struct discover_events *events)
{
	unsigned slice = discovery->slice;

	if (discovery->objects.unread) {
		discovery->objects.unread = false;
		return discover_sweep(discovery, events);
	}
	if (!slice)
		objects_forget(&discovery->objects);
	discovery->slice = (slice + 1) % DISCOVER_SLICES;
	return sweep(discovery, events, DISCOVER_SLICES, slice);
}

void discover_free(struct discovery *discovery, const struct discover_events *events)
{
	struct process *process, *next;
	struct hint *hint, *after;

	HASH_ITER(hh, discovery->process, process, next)
		process_remove(discovery, process);
	HASH_ITER(hh, discovery->hint, hint, after)
		hint_remove(discovery, hint);
	objects_free(&discovery->objects, events);
}

/* The value of one variable in the text of /proc/PID/environ. */
static const char *variable(const char *text, size_t size, const char *name, struct arena *arena)
{
	size_t length = strlen(name);
	const char *at;

	for (at = text; at < text + size; at += strlen(at) + 1)
		if (!strncmp(at, name, length) && at[length] == '=')
			return arena_strdup(arena, at + length + 1);
	return NULL;
}

int discover_facts(const struct process *process, struct arena *arena, struct service_facts *ret)
{
	char path[32], target[4096], unit[256], *text, *uid;
	struct service_facts facts = { 0 };
	ssize_t length;
	size_t size, i;

	(void)snprintf(path, sizeof(path), "/proc/%d/environ", process->pid);
	text = slurp(path, MAX_ENVIRONMENT, &size);
	if (!text)
		return -ESRCH;
	facts.otel_service_name = variable(text, size, "OTEL_SERVICE_NAME", arena);
	facts.otel_resource_attributes = variable(text, size, "OTEL_RESOURCE_ATTRIBUTES", arena);
	facts.tracing_service_name = variable(text, size, "TRACING_SERVICE_NAME", arena);
	free(text);
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", process->pid);
	length = readlink(path, target, sizeof(target) - 1);
	if (length > 0) {
		target[length] = '\0';
		/* The kernel's remark on a file that was replaced is no part of the name. */
		if (length > 10 && !strcmp(target + length - 10, " (deleted)"))
			target[length - 10] = '\0';
		facts.executable = arena_strdup(arena, target);
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", process->pid);
	text = slurp(path, 65536, &size);
	if (text) {
		facts.cgroup = arena_strdup(arena, text);
		if (!service_unit(text, unit, sizeof(unit)))
			facts.unit = arena_strdup(arena, unit);
	}
	free(text);
	(void)snprintf(path, sizeof(path), "/proc/%d/status", process->pid);
	text = slurp(path, 65536, &size);
	uid = text ? strstr(text, "\nUid:") : NULL;
	facts.has_uid = uid != NULL;
	facts.uid = uid ? (uint32_t)strtoul(uid + 5, NULL, 10) : 0;
	free(text);
	for (i = 0; i < process->loaded_count; i++)
		facts.catalogue |= process->loaded[i].object->catalogue;
	*ret = facts;
	return 0;
}
