/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * discover.c - sweep /proc: who lives, and which files with descriptors are mapped where.
 *
 * Consumes /proc; produces struct process and struct object. Files are opened through /proc/PID/map_files, which
 * names the mapped file itself: in whatever mount namespace, replaced or deleted. Anything but a regular file is left
 * alone. What to do with an object is the caller's business (struct discover_events).
 */
#include "discover.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "trial.h"

/* One file mapped executable by one process. */
struct mapping {
	uint64_t device; /* as /proc/PID/maps has it: only good for comparing */
	uint64_t inode;
	struct object *object; /* NULL: could not be opened */
};

#define MAX_ENVIRONMENT (1u << 20)
#define UNUSED_SWEEPS 60

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

static void object_free(struct object *object)
{
	if (!object)
		return;
	if (object->fd >= 0)
		(void)close(object->fd);
	arena_free(object->arena);
	free(object->metric);
	free(object->path);
	free(object);
}

/* Open a mapped file, if it is a regular one: first without any effect on it, then for reading. */
static int open_mapped(pid_t pid, uint64_t start, uint64_t end, struct stat *ret)
{
	char path[80];
	int handle, fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid, (unsigned long long)start,
		       (unsigned long long)end);
	handle = open(path, O_PATH | O_CLOEXEC);
	if (handle < 0)
		return -errno;
	if (fstat(handle, ret) || !S_ISREG(ret->st_mode)) {
		(void)close(handle);
		return -EINVAL;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	(void)close(handle);
	return fd;
}

static void object_read(struct object *object, int fd)
{
	size_t i;
	int err;

	object->arena = arena_new();
	if (!object->arena)
		return;
	err = descriptors_read(fd, object->arena, &object->descriptors);
	if (err && err != -ENOEXEC)
		log_message(LOG_WARN, "'%s': cannot be read: %s; its probes, if it has any, are not counted", object->path,
			    strerror(-err));
	for (i = 0; i < object->descriptors.problem_count; i++)
		log_message(LOG_WARN, "'%s': %s; this metric is skipped, build the file again", object->path,
			    object->descriptors.problem[i]);
	for (i = 0; i < object->descriptors.count; i++) {
		const struct descriptor *d = &object->descriptors.descriptor[i];

		if (!strcmp(d->metric.scope, TRIAL_SCOPE)) {
			object->descriptors.count = 0; /* another agent */
			break;
		}
		object->catalogue |= service_scope_is_catalogue(d->metric.scope);
		object->has_levels |= d->levels_address != 0;
	}
	if (!object->descriptors.count) {
		arena_free(object->arena);
		object->arena = NULL;
	}
}

/* The object of a mapping, found or made; NULL if the file cannot be opened or memory is short. */
static struct object *object_get(struct discovery *discovery, const struct discover_events *events, pid_t pid,
				 uint64_t start, uint64_t end, const char *path)
{
	struct object *fresh = calloc(1, sizeof(*fresh)), *found;
	struct stat st;
	int fd;

	if (!fresh)
		return NULL;
	fresh->fd = -1;
	fd = open_mapped(pid, start, end, &st);
	if (fd < 0) {
		free(fresh);
		return NULL;
	}
	fresh->id.device = st.st_dev;
	fresh->id.inode = st.st_ino;
	fresh->id.changed = st.st_mtim;
	fresh->id.size = st.st_size;
	HASH_FIND(hh, discovery->objects, &fresh->id, sizeof(fresh->id), found);
	if (found) {
		(void)close(fd);
		free(fresh);
		return found;
	}
	fresh->path = strdup(path);
	if (!fresh->path) {
		(void)close(fd);
		free(fresh);
		return NULL;
	}
	object_read(fresh, fd);
	if (fresh->descriptors.count)
		fresh->fd = fd;
	else
		(void)close(fd);
	HASH_ADD(hh, discovery->objects, id, sizeof(fresh->id), fresh);
	if (fresh->descriptors.count)
		events->found(events->context, fresh);
	return fresh;
}

static struct mapping *mapping_find(const struct process *process, uint64_t device, uint64_t inode)
{
	size_t i;

	for (i = 0; i < process->mapping_count; i++)
		if (process->mapping[i].device == device && process->mapping[i].inode == inode)
			return &process->mapping[i];
	return NULL;
}

static int append(void *list, size_t *count, size_t size, const void *item)
{
	void **array = list;

	if ((*count & (*count - 1)) == 0) {
		void *more = realloc(*array, (*count ? 2 * *count : 1) * size);

		if (!more)
			return -ENOMEM;
		*array = more;
	}
	memcpy((char *)*array + (*count)++ * size, item, size);
	return 0;
}

static void process_free(struct process *process)
{
	free(process->loaded);
	free(process->mapping);
}

/* One line of maps: is it an executable mapping of a file? */
static bool line_parse(char *line, uint64_t *start, uint64_t *end, uint64_t *offset, uint64_t *device, uint64_t *inode,
		       char **path)
{
	char *at = line;

	*start = strtoull(at, &at, 16);
	if (*at != '-')
		return false;
	*end = strtoull(at + 1, &at, 16);
	if (strlen(at) < 6 || at[3] != 'x')
		return false;
	*offset = strtoull(at + 5, &at, 16);
	*device = strtoull(at, &at, 16) << 32;
	if (*at != ':')
		return false;
	*device |= strtoull(at + 1, &at, 16);
	*inode = strtoull(at, &at, 10);
	while (*at == ' ')
		at++;
	*path = at;
	return *inode != 0;
}

/* Fill @process with what it maps now. @before is the same process one sweep ago, or NULL. */
static int process_read(struct discovery *discovery, const struct discover_events *events, const struct process *before,
			struct process *process)
{
	uint64_t start, end, offset, device, inode;
	char path[32], *text, *line, *next, *name;
	size_t size, i;
	int err = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", process->pid);
	text = slurp(path, 64u << 20, &size);
	if (!text)
		return 0;
	for (line = text; line && *line && !err; line = next) {
		struct mapping *known, fresh;
		struct loaded loaded;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!line_parse(line, &start, &end, &offset, &device, &inode, &name))
			continue;
		known = mapping_find(process, device, inode);
		if (!known) {
			known = before ? mapping_find(before, device, inode) : NULL;
			fresh = (struct mapping){ device, inode, NULL };
			/* What could not be opened is tried again: an exec may have come between maps and map_files. */
			fresh.object = known && known->object ?
					       known->object :
					       object_get(discovery, events, process->pid, start, end, name);
			err = append(&process->mapping, &process->mapping_count, sizeof(fresh), &fresh);
			known = &fresh;
		}
		if (err || !known->object)
			continue;
		known->object->seen = discovery->sweep;
		if (!known->object->descriptors.count)
			continue;
		for (i = 0; i < process->loaded_count; i++)
			if (process->loaded[i].object == known->object)
				break;
		loaded.object = known->object;
		if (i == process->loaded_count &&
		    !descriptors_bias(&known->object->descriptors, start, offset, &loaded.bias))
			err = append(&process->loaded, &process->loaded_count, sizeof(loaded), &loaded);
	}
	free(text);
	return err;
}

static int by_pid(const void *a, const void *b)
{
	return ((const struct process *)a)->pid - ((const struct process *)b)->pid;
}

struct process *discover_find(const struct discovery *discovery, pid_t pid)
{
	const struct process wanted = { .pid = pid };

	return discovery->count ? bsearch(&wanted, discovery->process, discovery->count, sizeof(wanted), by_pid) : NULL;
}

/* Objects that nobody maps: forgotten when their file is deleted, or, if they have nothing to attach to, after a while.
 * A file with descriptors that still exists stays attached, so that its next process counts from its first event. */
static void objects_prune(struct discovery *discovery, const struct discover_events *events)
{
	struct object *object, *next;
	struct stat st;

	HASH_ITER(hh, discovery->objects, object, next) {
		if (object->seen == discovery->sweep)
			continue;
		if (object->fd >= 0 ? fstat(object->fd, &st) || st.st_nlink : discovery->sweep - object->seen < UNUSED_SWEEPS)
			continue;
		if (object->fd >= 0)
			events->gone(events->context, object);
		HASH_DEL(discovery->objects, object);
		object_free(object);
	}
}

int discover_sweep(struct discovery *discovery, const struct discover_events *events)
{
	struct process *list = NULL, *old;
	size_t count = 0, i;
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	int err = 0;

	if (!proc)
		return -errno;
	discovery->sweep++;
	while (!err && (entry = readdir(proc))) {
		struct process process = { 0 };

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		process.pid = atoi(entry->d_name);
		if (process.pid == getpid() || discover_start(process.pid, &process.start_ticks, &process.parent, &process.stack))
			continue;
		old = discover_find(discovery, process.pid);
		if (old && old->start_ticks != process.start_ticks)
			old = NULL;
		err = process_read(discovery, events, old, &process);
		/* A resource is settled by what exec gave. */
		if (old && old->stack == process.stack)
			process.resource = old->resource;
		if (!err)
			err = append(&list, &count, sizeof(process), &process);
		if (err)
			process_free(&process);
	}
	(void)closedir(proc);
	for (i = 0; i < discovery->count; i++)
		process_free(&discovery->process[i]);
	free(discovery->process);
	discovery->process = list;
	discovery->count = count;
	if (count)
		qsort(list, count, sizeof(*list), by_pid);
	objects_prune(discovery, events);
	return err;
}

void discover_free(struct discovery *discovery, const struct discover_events *events)
{
	struct object *object, *next;
	size_t i;

	for (i = 0; i < discovery->count; i++)
		process_free(&discovery->process[i]);
	free(discovery->process);
	discovery->process = NULL;
	discovery->count = 0;
	HASH_ITER(hh, discovery->objects, object, next) {
		if (object->fd >= 0)
			events->gone(events->context, object);
		HASH_DEL(discovery->objects, object);
		object_free(object);
	}
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
	char path[32], target[4096], unit[256], *text;
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
	if (text && !service_unit(text, unit, sizeof(unit)))
		facts.unit = arena_strdup(arena, unit);
	free(text);
	for (i = 0; i < process->loaded_count; i++)
		facts.catalogue |= process->loaded[i].object->catalogue;
	*ret = facts;
	return 0;
}
