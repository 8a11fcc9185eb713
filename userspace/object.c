/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object.c - which file is this, has it descriptors, and is it still what it was.
 *
 * Consumes mappings and paths; produces struct object. A file is opened and read once per version; after that, a glance
 * at its time and size is enough, once per round. Anything but a regular file is left alone. What to do with an object
 * is the caller's business (struct discover_events).
 *
 * Only reading can wait for a file system that hangs (handles are opened with O_PATH, times come from the kernel's own
 * memory), and reading is done with patience: such a file system is left alone until it has answered. What attaching
 * needs of the file is read too, so that it finds it in memory.
 */
#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "arena.h"
#include "lease.h"
#include "log.h"
#include "patience.h"
#include "service.h"
#include "trial.h"

#define PATIENCE_MS 500
#define MAX_READINGS 16 /* past that, only files on disks are read */
#define MAX_FILES 65536
#define PRUNED_AT_ONCE 1 /* detaching waits for all CPUs, several times */

/* What is known of a file, by the name that mappings have for it. */
struct file {
	struct {
		uint64_t device, inode;
	} key;
	UT_hash_handle hh;
	struct object_id id;
	struct object *object; /* NULL: no descriptors */
	unsigned looked; /* the round in which its id was compared */
	unsigned seen; /* the last sweep before it was asked for */
};

/* A file that is being read. */
struct reading {
	int handle; /* O_PATH */
	struct object *object;
	int err;
	struct patience *patience; /* of one that takes long */
	struct reading *next;
};

void objects_round(struct objects *objects)
{
	objects->round++;
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

/* What a handle names, without asking its file system. -EINVAL: no regular file. */
static int identify(int handle, struct object_id *ret)
{
	struct statx st;

	if (statx(handle, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st))
		return -errno;
	memset(ret, 0, sizeof(*ret)); /* padding is part of the key */
	ret->device = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
	ret->inode = st.stx_ino;
	ret->changed.tv_sec = st.stx_mtime.tv_sec;
	ret->changed.tv_nsec = st.stx_mtime.tv_nsec;
	ret->size = st.stx_size;
	return S_ISREG(st.stx_mode) ? 0 : -EINVAL;
}

static bool id_equal(const struct object_id *a, const struct object_id *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* Read what attaching will read: the pages of the sites. */
static void pages_touch(int fd, const struct descriptors *descriptors)
{
	char byte;
	size_t i, j;

	for (i = 0; i < descriptors->count; i++) {
		const struct descriptor *d = &descriptors->descriptor[i];
		const uint64_t place[] = { d->noted, d->fast5, d->fast10, d->slow, d->semaphore };

		for (j = 0; j < sizeof(place) / sizeof(place[0]); j++)
			if (place[j] && pread(fd, &byte, 1, (off_t)place[j]) < 0)
				return;
	}
}

/* In a thread of its own: this may take for ever. */
static void reading_work(void *at)
{
	struct reading *reading = at;
	struct object *object = reading->object;
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", reading->handle);
	/* A file under a lease is tried again later: anybody can take one on a file of his own. */
	object->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	reading->err = object->fd < 0 ? -errno : descriptors_read(object->fd, object->arena, &object->descriptors);
	if (!reading->err)
		pages_touch(object->fd, &object->descriptors);
}

static void reading_free(struct reading *reading)
{
	if (!reading)
		return;
	object_free(reading->object);
	(void)close(reading->handle);
	free(reading);
}

/* Does the file system of @id still owe us an answer? */
static bool device_hangs(struct objects *objects, const struct object_id *id)
{
	struct reading **at = &objects->reading;
	unsigned count = 0;
	bool hangs = false;

	while (*at) {
		struct reading *reading = *at;

		if (patience_over(reading->patience)) {
			*at = reading->next;
			reading_free(reading);
			continue;
		}
		hangs |= reading->object->id.device == id->device;
		at = &reading->next;
		count++;
	}
	return hangs || (count >= MAX_READINGS && !(id->device >> 32));
}

/* What the descriptors say that does not take reading. */
static void object_judge(struct object *object)
{
	size_t i;

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
}

/* Read the file of @handle, which is consumed. @ret: NULL if it has no descriptors. */
static int object_read(struct objects *objects, int handle, const struct object_id *id, const char *path,
		       struct object **ret)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	struct object *object = calloc(1, sizeof(*object));
	int err = -ENOMEM;

	if (!reading || !object) {
		free(reading);
		free(object);
		(void)close(handle);
		return -ENOMEM;
	}
	reading->handle = handle;
	reading->object = object;
	object->fd = -1;
	object->id = *id;
	object->path = strdup(path);
	object->arena = arena_new();
	if (!object->path || !object->arena)
		goto out;
	err = device_hangs(objects, id) ? -EBUSY : patience_begin(reading_work, reading, PATIENCE_MS, &reading->patience);
	if (err == -ETIMEDOUT) {
		log_message(LOG_WARN, "'%s': its file system does not answer; what lies there is not counted until it does",
			    path);
		reading->next = objects->reading;
		objects->reading = reading;
		return err;
	}
	if (err)
		goto out;
	err = reading->err;
	if (err == -EIO || err == -ENOMEM)
		log_message(LOG_WARN, "'%s': cannot be read: %s; its probes, if it has any, are not counted", path,
			    strerror(-err));
	if (err == -ENOEXEC || err == -EIO)
		err = 0;
	if (err)
		goto out;
	object_judge(object);
	*ret = NULL;
	if (object->descriptors.count) {
		*ret = object;
		reading->object = NULL;
	}
out:
	reading_free(reading);
	return err;
}

/* Have two versions of a file the same metrics at the same places? Then it was only touched. */
static bool same_sites(const struct object *a, const struct object *b)
{
	size_t i;

	if (a->descriptors.count != b->descriptors.count)
		return false;
	for (i = 0; i < a->descriptors.count; i++) {
		const struct descriptor *x = &a->descriptors.descriptor[i], *y = &b->descriptors.descriptor[i];

		if (x->noted != y->noted || x->fast5 != y->fast5 || x->fast10 != y->fast10 || x->slow != y->slow ||
		    x->semaphore != y->semaphore || x->levels_address != y->levels_address ||
		    x->metric.kind != y->metric.kind || strcmp(x->metric.scope, y->metric.scope) ||
		    strcmp(x->metric.name, y->metric.name))
			return false;
	}
	return true;
}

static void object_leave(struct objects *objects, const struct discover_events *events, struct object *object)
{
	struct file *file, *next;

	events->gone(events->context, object);
	HASH_DEL(objects->list, object);
	HASH_ITER(hh, objects->file, file, next)
		if (file->object == object) {
			HASH_DEL(objects->file, file);
			free(file);
		}
}

/* Leave it while processes may still refer to it. */
static void object_replace(struct objects *objects, const struct discover_events *events, struct object *object)
{
	object_leave(objects, events, object);
	object->next = objects->replaced;
	objects->replaced = object;
}

void objects_yield(struct objects *objects, const struct discover_events *events, int fd)
{
	struct object *object;

	for (object = objects->list; object && object->fd != fd; object = object->hh.next)
		;
	if (object)
		object_replace(objects, events, object);
	/* Only now, detached. */
	lease_end(fd);
	objects->unread = true;
}

/* The attached version of an inode, of which there can be one: its pages are the file's. */
static struct object *object_of_inode(const struct objects *objects, const struct object_id *id)
{
	struct object *object;

	for (object = objects->list; object; object = object->hh.next)
		if (object->id.inode == id->inode && object->id.device == id->device)
			return object;
	return NULL;
}

/* The object of an open handle, which is consumed; found, or made. */
static int object_get(struct objects *objects, const struct discover_events *events, int handle,
		      const struct object_id *id, const char *path, uint64_t time_ns, struct object **ret)
{
	struct object *found = NULL, *before;
	struct object_id real;
	int err;

	HASH_FIND(hh, objects->list, id, sizeof(*id), found);
	if (found) {
		(void)close(handle);
		*ret = found;
		return 0;
	}
	err = object_read(objects, handle, id, path, &found);
	if (err)
		return err;
	if (found && events->identify) {
		events->identify(events->context, found->fd, &found->id);
		found->below = !id_equal(&found->id, id);
		HASH_FIND(hh, objects->list, &found->id, sizeof(found->id), before);
		if (before) {
			object_free(found);
			*ret = before;
			before->below |= !id_equal(&before->id, id);
			return 0;
		}
		real = found->id;
		id = &real;
	}
	before = object_of_inode(objects, id);
	if (before && found && same_sites(before, found)) {
		object_free(found);
		HASH_DEL(objects->list, before);
		before->id = *id;
		HASH_ADD(hh, objects->list, id, sizeof(before->id), before);
		*ret = before;
		return 0;
	}
	/* Written over in place: what is attached means nothing any more. */
	if (before)
		object_replace(objects, events, before);
	/* Somebody is writing to it. */
	if (found && objects->leased && lease_take(found->fd) == -EAGAIN) {
		object_free(found);
		return -EAGAIN;
	}
	if (found) {
		found->mapped_ns = time_ns;
		HASH_ADD(hh, objects->list, id, sizeof(found->id), found);
		events->found(events->context, found);
	}
	*ret = found;
	return 0;
}

/* A handle on a mapped file, without any effect on it. Anything but a regular file has an id, too. */
static int handle_open(const struct mapping *mapping, struct object_id *ret, bool *ret_regular)
{
	char path[80];
	int handle, err;

	(void)snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", mapping->pid, (unsigned long long)mapping->start,
		       (unsigned long long)mapping->end);
	handle = open(path, O_PATH | O_CLOEXEC);
	err = handle < 0 ? -errno : identify(handle, ret);
	if (err == -ESRCH)
		err = -ENOENT;
	/* The process is gone. Its next one will run the same file, if the path names it to us, too. */
	if (err == -ENOENT && mapping->time_ns && *mapping->path == '/') {
		handle = open(mapping->path, O_PATH | O_CLOEXEC);
		err = handle < 0 ? -errno : identify(handle, ret);
		if (!err && (ret->device != mapping->device || ret->inode != mapping->inode))
			err = -ENOENT;
	}
	*ret_regular = !err;
	if (!err || err == -EINVAL)
		return handle;
	if (handle >= 0)
		(void)close(handle);
	return err;
}

/* Room for what is known of one more file. When there is none, most of it is forgotten, and learned again. */
static struct file *file_add(struct objects *objects, const struct mapping *mapping)
{
	struct file *file, *next, *fresh;

	if (HASH_COUNT(objects->file) >= MAX_FILES)
		HASH_ITER(hh, objects->file, file, next)
			if (!file->object) {
				HASH_DEL(objects->file, file);
				free(file);
			}
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh)
		return NULL;
	fresh->key.device = mapping->device;
	fresh->key.inode = mapping->inode;
	HASH_ADD(hh, objects->file, key, sizeof(fresh->key), fresh);
	return fresh;
}

static struct file *file_find(const struct objects *objects, const struct mapping *mapping)
{
	struct file key = { .key = { mapping->device, mapping->inode } }, *found;

	HASH_FIND(hh, objects->file, &key.key, sizeof(key.key), found);
	return found;
}

static int file_learn(struct objects *objects, const struct mapping *mapping, const struct object_id *id,
		      struct object *object)
{
	struct file *file = file_find(objects, mapping);

	if (!file)
		file = file_add(objects, mapping);
	if (!file)
		return -ENOMEM;
	file->id = *id;
	file->object = object;
	file->looked = objects->round;
	file->seen = objects->sweep;
	return 0;
}

int objects_get(struct objects *objects, const struct discover_events *events, const struct mapping *mapping,
		struct object **ret)
{
	struct file *file = file_find(objects, mapping);
	struct object *object = NULL;
	struct object_id id;
	int handle, err = 0;
	bool regular;

	if (file)
		file->seen = objects->sweep;
	if (file && file->looked == objects->round) {
		*ret = file->object;
		return 0;
	}
	handle = handle_open(mapping, &id, &regular);
	if (handle < 0) {
		/* What is known stands until somebody else maps it. */
		*ret = file ? file->object : NULL;
		objects->unread |= !file && handle != -ENOENT;
		return file ? 0 : handle;
	}
	if (file && id_equal(&file->id, &id)) {
		(void)close(handle);
		file->looked = objects->round;
		*ret = file->object;
		return 0;
	}
	if (regular)
		err = object_get(objects, events, handle, &id, mapping->path, mapping->time_ns, &object);
	else
		(void)close(handle);
	objects->unread |= err != 0;
	if (err)
		return err;
	*ret = object;
	return file_learn(objects, mapping, &id, object);
}

int objects_path(struct objects *objects, const struct discover_events *events, const char *path, struct object **ret)
{
	int handle = open(path, O_PATH | O_CLOEXEC), err = handle < 0 ? -errno : 0;
	struct mapping mapping = { .path = path };
	struct object *object;
	struct object_id id;
	struct file *file;

	if (err)
		return err;
	err = identify(handle, &id);
	if (err) {
		(void)close(handle);
		return err;
	}
	/* Where mappings have another number for the device, this is one more entry. */
	mapping.device = id.device;
	mapping.inode = id.inode;
	file = file_find(objects, &mapping);
	if (file && id_equal(&file->id, &id)) {
		(void)close(handle);
		file->seen = objects->sweep;
		object = file->object;
	} else {
		err = object_get(objects, events, handle, &id, path, 0, &object);
		if (!err)
			err = file_learn(objects, &mapping, &id, object);
	}
	if (!err && !object)
		err = -ENOEXEC;
	if (!err)
		*ret = object;
	return err;
}

static bool is_deleted(const struct object *object)
{
	struct statx st;

	return !statx(object->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_NLINK, &st) && !st.stx_nlink;
}

bool objects_prune(struct objects *objects, const struct discover_events *events)
{
	struct object *object, *next;
	unsigned pruned = 0;

	HASH_ITER(hh, objects->list, object, next) {
		if (object->mapped || !is_deleted(object))
			continue;
		if (pruned++ == PRUNED_AT_ONCE)
			return true;
		object_leave(objects, events, object);
		object_free(object);
	}
	return false;
}

void objects_forget(struct objects *objects)
{
	struct file *file, *next;

	objects->sweep++;
	HASH_ITER(hh, objects->file, file, next)
		if (!file->object && objects->sweep - file->seen > 1) {
			HASH_DEL(objects->file, file);
			free(file);
		}
}

void objects_release(struct objects *objects)
{
	struct object *object;

	while (objects->replaced) {
		object = objects->replaced;
		objects->replaced = object->next;
		object_free(object);
	}
}

bool objects_stands(const struct objects *objects, const struct object *object, pid_t pid, uint64_t start, uint64_t end)
{
	const struct file *file;
	uint64_t device;
	struct statx st;
	char path[80];

	(void)snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid, (unsigned long long)start,
		       (unsigned long long)end);
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &st))
		return false;
	device = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
	if (st.stx_ino == object->id.inode && device == object->id.device)
		return true;
	for (file = object->below ? objects->file : NULL; file; file = file->hh.next)
		if (file->object == object && file->id.inode == st.stx_ino && file->id.device == device)
			return true;
	return false;
}

void objects_free(struct objects *objects, const struct discover_events *events)
{
	struct object *object, *next;
	struct file *file, *after;

	HASH_ITER(hh, objects->list, object, next) {
		events->gone(events->context, object);
		HASH_DEL(objects->list, object);
		object_free(object);
	}
	HASH_ITER(hh, objects->file, file, after) {
		HASH_DEL(objects->file, file);
		free(file);
	}
	objects_release(objects);
	/* A reading that never ends keeps what it works on. */
	(void)device_hangs(objects, &(struct object_id){ 0 });
}
