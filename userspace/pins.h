/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pins.h - where maps and links stay when no agent runs.
 */
#ifndef PROBEMETER_PINS_H
#define PROBEMETER_PINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PINS_PATH 512
#define PINS_NAME 64

struct pins {
	bool persistent; /* there is a bpffs; else nothing below does anything */
	bool refused; /* there is a bpffs, and nothing can be pinned in it: persistent is false */
	bool adopted; /* the set is there already */
	char base[PINS_PATH]; /* BPFFS/probemeter */
	uint64_t generation; /* of the set in use */
	uint64_t salt; /* of the set that it takes over, whose cells keep their places; 0: of none */
	char directory[PINS_PATH]; /* base/SCHEMA-gGENERATION */
};

/* One set of maps, with its links. */
struct pins_set {
	char schema[PINS_NAME];
	uint64_t generation; /* 0: its name says nothing that we understand */
	char path[PINS_PATH];
};

/* Look whether a bpffs is at @bpffs; it need not be, nor exist. Return: 0, or -errno if it is and nothing can be made there. */
int pins_open(const char *bpffs, struct pins *ret);

/* Use this set from now on, whether it is there (@adopted) or will be made. Return: 0 or -ENAMETOOLONG. */
int pins_use(struct pins *pins, const char *schema, uint64_t generation, bool adopted);

/* Does an error mean that something is short, and not that anything is wrong? */
bool pins_short(int err);

/* What an error of reading a pin means: one of those, or -EBADMSG: it is not what it should be. */
int pins_error(int err);

/* Complete sets, by generation, at most @room. Return: how many, or -errno. */
long pins_sets(const struct pins *pins, struct pins_set *ret, size_t room);

/* A map of a set, of the one in use, or one that all sets share: descriptor, or -errno. */
int pins_set_map(const struct pins_set *set, const char *name);
int pins_map_open(const struct pins *pins, const char *name);
int pins_common_open(const struct pins *pins, const char *name);

/* Pinning a whole set: begin, each map, commit. What was not committed does not count. */
int pins_begin(const struct pins *pins);
int pins_map_add(const struct pins *pins, const char *name, int fd);
int pins_common_add(const struct pins *pins, const char *name, int fd);
int pins_commit(const struct pins *pins);
void pins_abandon(const struct pins *pins);

/* One more map in a set that is complete. */
int pins_map_late(const struct pins *pins, const char *name, int fd);

/* Links, by the number of their object and of the link in it, or PINS_WATCH for those that see execs and forks. Open: descriptor or -errno. Remove: all of an object. */
#define PINS_WATCH 0xffffffffu
int pins_link_open(const struct pins *pins, uint32_t object, uint32_t link);
int pins_link_add(const struct pins *pins, uint32_t object, uint32_t link, int fd);
void pins_links_remove(const struct pins *pins, uint32_t object);

/* End the links of a set, and where the kernel tells us wait until their programs cannot run any more; where it does not
 * they may for some seconds more, and must find that it is not their turn (bpf/turn.bpf.h). Return: 0, or -EBUSY if somebody
 * else holds one of them. */
int pins_set_detach(const struct pins_set *set);

/* Remove a set whole. */
int pins_set_remove(const struct pins_set *set);

/* A set that cannot be used: its links go, the rest is kept under another name, written to @ret. */
int pins_set_aside(const struct pins *pins, const char *path, char *ret, size_t size);

/* Whose turn it is, forgotten: for when no set is left. */
void pins_common_remove(const struct pins *pins);

/* What was pinned below base, and is to vanish. */
struct pins_found {
	size_t links, maps, other;
	struct pins_id *id; /* of each, and of the links' programs */
	size_t id_count;
};

/* Remove everything there is of us. @ret: what there was; pins_found_free() it. Return: 0 or -errno, with @ret valid. */
int pins_remove(const char *bpffs, struct pins_found *ret);

/* How many of those the kernel still has, after up to @wait_ms for it to let go; the first one described in @text. */
size_t pins_left(const struct pins_found *found, unsigned wait_ms, char *text, size_t size);

void pins_found_free(struct pins_found *found);

/* Is there anything of us? */
bool pins_there(const char *bpffs);

/* The directory of all sets at @ret (PINS_PATH bytes), to be locked, made if @make. Return: 0 or -errno; -ENOENT where pins cannot
 * be, or are not. */
int pins_base(const char *bpffs, bool make, char *ret);

/* It goes if there is nothing in it. */
void pins_base_leave(const char *bpffs);

#endif
