/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pins.c - BPF maps and links in bpffs, so that counting outlives the agent.
 *
 *     BPFFS/probemeter/SET/                one set of maps: schema (its number, a hash of sources, sizes and limits), generation
 *                      SET/MAP             a map, by its name
 *                      SET/links/OBJECT-N  the Nth link of a file whose sites are attached
 *                      SET/links/watch-N   what sees execs and forks
 *                      turn, marks         what all sets share, see bpf/turn.bpf.h
 *                      building/           a set that is not complete; whoever finds it removes it
 *                      aside-TIME/         a set that could not be read, without its links
 *
 * Consumes descriptors and names; produces pins and descriptors. What the maps mean is kernel.c's, what the objects are
 * remember.c's.
 *
 * The agent may be killed between any two instructions here. A set of maps appears by one rename. A link that is made
 * and not pinned yet goes with its maker; what it counted by then stays, in the maps. A link has pin and maps or
 * neither: its program holds the maps. What the maps know of an object (its metrics' ids, remember.c) is written before
 * its first link is made, so no link counts under an id that nobody can explain.
 *
 * The same schema is adopted: the maps are opened instead of made, the links stay as they are. They go on with the
 * programs they were attached with, since the kernel exchanges the program of neither kind of link (BPF_LINK_UPDATE is
 * EINVAL for both, tried on 6.18), and a link made anew beside the old one or after it would count twice or not at all.
 * That is right because a change of what programs write is a change of the schema. New links get the new programs. What
 * becomes of a set of another schema is handover.c's.
 */
#include "pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define BUILDING "building"
#define ASIDE "aside-"
#define LINKS "links"
#define TURN "turn"
#define MARKS "marks"
#define LET_GO_MS 10000

enum kind { KIND_MAP, KIND_LINK, KIND_PROGRAM, KIND_OTHER };

struct pins_id {
	enum kind kind;
	uint32_t id;
};

static int join(char *ret, const char *directory, const char *name)
{
	return snprintf(ret, PINS_PATH, "%s/%s", directory, name) < PINS_PATH ? 0 : -ENAMETOOLONG;
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

/* --- walking: every entry of a directory, sub-directories after what is in them */

static int walk(const char *directory, int (*each)(void *context, const char *path, bool is_directory), void *context)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	char path[PINS_PATH];
	struct stat st;
	int err = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		err = join(path, directory, entry->d_name);
		if (err || lstat(path, &st))
			continue;
		if (S_ISDIR(st.st_mode))
			err = walk(path, each, context);
		if (!err)
			err = each(context, path, S_ISDIR(st.st_mode));
	}
	(void)closedir(dir);
	return err;
}

static int remove_one(void *context, const char *path, bool is_directory)
{
	(void)context;
	return (is_directory ? rmdir(path) : unlink(path)) && errno != ENOENT ? -errno : 0;
}

static int remove_tree(const char *path)
{
	int err = walk(path, remove_one, NULL);

	return err ? err : remove_one(NULL, path, true);
}

/* --- one set */

static int make_directory(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

/* Can anything be made there? What is tried leaves nothing. */
static int try_making(const char *base, const char *building)
{
	bool fresh = !mkdir(base, 0700);
	int err = fresh || errno == EEXIST ? 0 : -errno;

	if (!err && (mkdir(building, 0700) || rmdir(building)))
		err = -errno;
	if (fresh)
		(void)rmdir(base);
	return err;
}

int pins_open(const char *bpffs, struct pins *ret)
{
	struct pins pins = { .persistent = is_bpffs(bpffs), .generation = 1 };
	char building[PINS_PATH];
	struct stat st;
	int err = 0;

	if (pins.persistent) {
		err = join(pins.base, bpffs, "probemeter");
		if (!err)
			err = join(building, pins.base, BUILDING);
		if (!err && !lstat(building, &st))
			err = remove_tree(building);
		if (!err)
			err = try_making(pins.base, building);
	}
	if (!err)
		*ret = pins;
	return err;
}

int pins_use(struct pins *pins, const char *schema, uint64_t generation, bool adopted)
{
	pins->generation = generation;
	pins->adopted = adopted;
	return snprintf(pins->directory, PINS_PATH, "%s/%s-g%llu", pins->base, schema, (unsigned long long)generation) <
			       PINS_PATH ?
		       0 :
		       -ENAMETOOLONG;
}

bool pins_short(int err)
{
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE || err == -EAGAIN;
}

int pins_error(int err)
{
	return pins_short(err) ? err : -EBADMSG;
}

/* --- sets */

static void set_parse(const char *name, struct pins_set *ret)
{
	const char *generation = strrchr(name, '-');
	char *end = NULL;

	ret->generation = 0;
	ret->schema[0] = '\0';
	if (!generation || generation[1] != 'g' || generation - name >= PINS_NAME)
		return;
	memcpy(ret->schema, name, (size_t)(generation - name));
	ret->schema[generation - name] = '\0';
	ret->generation = strtoull(generation + 2, &end, 10);
	if (*end)
		ret->generation = 0;
}

static int by_generation(const void *a, const void *b)
{
	const struct pins_set *x = a, *y = b;

	return (x->generation > y->generation) - (x->generation < y->generation);
}

long pins_sets(const struct pins *pins, struct pins_set *ret, size_t room)
{
	static const char *const others[] = { ".", "..", BUILDING, TURN, MARKS };
	DIR *dir = pins->persistent ? opendir(pins->base) : NULL;
	struct dirent *entry;
	long count = 0;
	size_t i;

	if (!dir)
		return !pins->persistent || errno == ENOENT ? 0 : -errno;
	while ((size_t)count < room && (entry = readdir(dir))) {
		for (i = 0; i < sizeof(others) / sizeof(others[0]) && strcmp(entry->d_name, others[i]); i++)
			;
		if (i < sizeof(others) / sizeof(others[0]) || !strncmp(entry->d_name, ASIDE, strlen(ASIDE)))
			continue;
		set_parse(entry->d_name, &ret[count]);
		if (!join(ret[count].path, pins->base, entry->d_name))
			count++;
	}
	(void)closedir(dir);
	qsort(ret, (size_t)count, sizeof(*ret), by_generation);
	return count;
}

static int map_open(const char *directory, const char *name)
{
	char path[PINS_PATH];
	int fd;

	if (join(path, directory, name))
		return -ENAMETOOLONG;
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

int pins_set_map(const struct pins_set *set, const char *name)
{
	return map_open(set->path, name);
}

int pins_map_open(const struct pins *pins, const char *name)
{
	return map_open(pins->directory, name);
}

int pins_common_open(const struct pins *pins, const char *name)
{
	return map_open(pins->base, name);
}

static int map_pin(const char *directory, const char *name, int fd)
{
	char path[PINS_PATH];
	int err = join(path, directory, name);

	return err ? err : bpf_obj_pin(fd, path) ? -errno : 0;
}

int pins_common_add(const struct pins *pins, const char *name, int fd)
{
	return map_pin(pins->base, name, fd);
}

int pins_map_late(const struct pins *pins, const char *name, int fd)
{
	return map_pin(pins->directory, name, fd);
}

void pins_common_remove(const struct pins *pins)
{
	static const char *const names[] = { TURN, MARKS };
	char path[PINS_PATH];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!join(path, pins->base, names[i]) && unlink(path) && errno == EISDIR)
			(void)remove_tree(path);
}

int pins_begin(const struct pins *pins)
{
	char path[PINS_PATH], links[PINS_PATH];
	int err = join(path, pins->base, BUILDING);

	if (!err)
		err = make_directory(pins->base);
	if (!err)
		err = make_directory(path);
	if (!err)
		err = join(links, path, LINKS);
	return err ? err : make_directory(links);
}

int pins_map_add(const struct pins *pins, const char *name, int fd)
{
	char building[PINS_PATH];
	int err = join(building, pins->base, BUILDING);

	return err ? err : map_pin(building, name, fd);
}

int pins_commit(const struct pins *pins)
{
	char path[PINS_PATH];
	int err = join(path, pins->base, BUILDING);

	if (!err && rename(path, pins->directory))
		err = -errno;
	return err;
}

void pins_abandon(const struct pins *pins)
{
	char path[PINS_PATH];

	if (!join(path, pins->base, BUILDING))
		(void)remove_tree(path);
}

/* --- links */

static int link_path(const struct pins *pins, uint32_t object, uint32_t link, char ret[PINS_PATH])
{
	int length = object == PINS_WATCH ?
			     snprintf(ret, PINS_PATH, "%s/%s/watch-%u", pins->directory, LINKS, link) :
			     snprintf(ret, PINS_PATH, "%s/%s/%u-%u", pins->directory, LINKS, object, link);

	return length < PINS_PATH ? 0 : -ENAMETOOLONG;
}

static enum kind kind_of(int fd)
{
	char path[40], target[64];
	ssize_t length;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	target[length > 0 ? length : 0] = '\0';
	return !strcmp(target, "anon_inode:bpf-map")   ? KIND_MAP :
	       !strcmp(target, "anon_inode:bpf_link") || !strcmp(target, "anon_inode:bpf-link") ? KIND_LINK :
	       !strcmp(target, "anon_inode:bpf-prog")  ? KIND_PROGRAM :
							 KIND_OTHER;
}

int pins_link_open(const struct pins *pins, uint32_t object, uint32_t link)
{
	char path[PINS_PATH];
	int err = link_path(pins, object, link, path), fd;

	if (err)
		return err;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	if (kind_of(fd) == KIND_LINK)
		return fd;
	(void)close(fd);
	(void)unlink(path); /* something else in a link's place counts nothing */
	return -ENOENT;
}

int pins_link_add(const struct pins *pins, uint32_t object, uint32_t link, int fd)
{
	char path[PINS_PATH];
	int err = link_path(pins, object, link, path);

	if (!err && bpf_obj_pin(fd, path))
		err = -errno;
	return err;
}

struct of_object {
	uint32_t object;
};

static int link_remove(void *context, const char *path, bool is_directory)
{
	const struct of_object *of = context;
	const char *name = strrchr(path, '/') + 1;
	unsigned object, link;

	if (!is_directory && sscanf(name, "%u-%u", &object, &link) == 2 && object == of->object)
		(void)unlink(path);
	return 0;
}

void pins_links_remove(const struct pins *pins, uint32_t object)
{
	struct of_object of = { object };
	char path[PINS_PATH];

	if (pins->persistent && !join(path, pins->directory, LINKS))
		(void)walk(path, link_remove, &of);
}

/* --- setting aside */

static int aside_remove(void *context, const char *path, bool is_directory)
{
	(void)context;
	return is_directory && !strncmp(strrchr(path, '/') + 1, ASIDE, strlen(ASIDE)) ? remove_tree(path) : 0;
}

int pins_set_aside(const struct pins *pins, const char *path, char *ret, size_t size)
{
	char links[PINS_PATH], aside[PINS_PATH];
	struct stat st;
	/* One is enough to look at: each holds kernel memory. */
	int err = walk(pins->base, aside_remove, NULL);

	if (!err && snprintf(aside, sizeof(aside), "%s/" ASIDE "%lld", pins->base, (long long)time(NULL)) >= (int)sizeof(aside))
		err = -ENAMETOOLONG;
	/* Renamed first: whoever is killed here leaves nothing that could be taken for usable. */
	if (!err && rename(path, aside))
		err = -errno;
	if (!err)
		err = join(links, aside, LINKS);
	if (!err && !lstat(links, &st))
		err = S_ISDIR(st.st_mode) ? remove_tree(links) : remove_one(NULL, links, false);
	(void)snprintf(ret, size, "%s", err ? path : aside);
	return err;
}

/* --- removing everything */

static int id_add(struct pins_found *found, enum kind kind, uint32_t id)
{
	struct pins_id *grown;
	size_t i;

	for (i = 0; i < found->id_count; i++)
		if (found->id[i].kind == kind && found->id[i].id == id)
			return 0;
	grown = realloc(found->id, (found->id_count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	found->id = grown;
	found->id[found->id_count++] = (struct pins_id){ kind, id };
	return 0;
}

/* The ids of one pin, while it is there to be opened. */
static int find_one(void *context, const char *path, bool is_directory)
{
	struct pins_found *found = context;
	struct bpf_link_info link = { 0 };
	struct bpf_map_info map = { 0 };
	uint32_t link_size = sizeof(link), map_size = sizeof(map);
	int fd, err = 0;

	if (is_directory)
		return 0;
	fd = bpf_obj_get(path);
	switch (fd < 0 ? KIND_OTHER : kind_of(fd)) {
	case KIND_MAP:
		found->maps++;
		if (!bpf_obj_get_info_by_fd(fd, &map, &map_size))
			err = id_add(found, KIND_MAP, map.id);
		break;
	case KIND_LINK:
		found->links++;
		if (!bpf_obj_get_info_by_fd(fd, &link, &link_size)) {
			err = id_add(found, KIND_LINK, link.id);
			if (!err)
				err = id_add(found, KIND_PROGRAM, link.prog_id);
		}
		break;
	default:
		found->other++;
	}
	if (fd >= 0)
		(void)close(fd);
	return err;
}

/* Are we told which ids there are? The kernel asks for CAP_SYS_ADMIN before it looks (kernel/bpf/syscall.c, 5.15 to 6.18);
 * no id is 0. */
static bool may_ask(void)
{
	return bpf_map_get_fd_by_id(0) >= 0 || errno == ENOENT;
}

int pins_set_detach(const struct pins_set *set)
{
	struct pins_found found = { 0 };
	char links[PINS_PATH], text[64];
	int err = join(links, set->path, LINKS);

	if (!err)
		err = walk(links, find_one, &found);
	if (!err)
		err = remove_tree(links);
	/* A program's id goes when the last of its links has been taken out of its uprobes, and that waits for the hits that are
	 * under way. An agent that has given up CAP_SYS_ADMIN cannot know, and goes by what it has itself waited for. */
	if (!err && may_ask() && pins_left(&found, LET_GO_MS, text, sizeof(text)))
		err = -EBUSY;
	pins_found_free(&found);
	return err;
}

int pins_set_remove(const struct pins_set *set)
{
	return remove_tree(set->path);
}

bool pins_there(const char *bpffs)
{
	char base[PINS_PATH];
	struct stat st;

	return is_bpffs(bpffs) && !join(base, bpffs, "probemeter") && !lstat(base, &st);
}

int pins_base(const char *bpffs, bool make, char *ret)
{
	int err = is_bpffs(bpffs) ? join(ret, bpffs, "probemeter") : -ENOENT;

	if (!err && make)
		err = make_directory(ret);
	return err;
}

void pins_base_leave(const char *bpffs)
{
	char base[PINS_PATH];

	if (!pins_base(bpffs, false, base))
		(void)rmdir(base);
}

int pins_remove(const char *bpffs, struct pins_found *ret)
{
	char base[PINS_PATH];
	int err;

	*ret = (struct pins_found){ 0 };
	if (!pins_there(bpffs))
		return 0;
	err = join(base, bpffs, "probemeter");
	if (!err)
		err = walk(base, find_one, ret);
	if (!err)
		err = walk(base, remove_one, NULL);
	/* Empty it holds nothing. A service manager that lets us write there alone keeps us from removing the place itself. */
	return err || !rmdir(base) || errno == EROFS || errno == EBUSY ? err : -errno;
}

static bool still_there(const struct pins_id *id)
{
	int fd = id->kind == KIND_MAP  ? bpf_map_get_fd_by_id(id->id) :
		 id->kind == KIND_LINK ? bpf_link_get_fd_by_id(id->id) :
					 bpf_prog_get_fd_by_id(id->id);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0 || errno != ENOENT;
}

size_t pins_left(const struct pins_found *found, unsigned wait_ms, char *text, size_t size)
{
	static const char *const word[] = { [KIND_MAP] = "map", [KIND_LINK] = "link", [KIND_PROGRAM] = "program" };
	const struct timespec pause = { .tv_nsec = 20000000 };
	size_t left = 0, i;
	unsigned waited;

	/* The kernel lets go a grace period after the last pin. */
	for (waited = 0; waited <= wait_ms; waited += 20) {
		for (i = 0, left = 0; i < found->id_count; i++) {
			if (!still_there(&found->id[i]))
				continue;
			if (!left++)
				(void)snprintf(text, size, "%s %u", word[found->id[i].kind], found->id[i].id);
		}
		if (!left)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return left;
}

void pins_found_free(struct pins_found *found)
{
	free(found->id);
	*found = (struct pins_found){ 0 };
}
