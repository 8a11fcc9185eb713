/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cgroup.c - from the own cgroup up to the mounted root, the lowest limit counts.
 *
 * Consumes /proc/self/cgroup, /proc/self/mountinfo and the files of the memory controller, in v2 (memory.max) or v1
 * (memory.limit_in_bytes), whichever has it. What a container's mounts hide is not seen.
 */
#include "cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A v1 file says "no limit" with the largest number of whole pages. */
#define V1_NONE (UINT64_MAX / 4)

static bool has_word(const char *list, const char *word)
{
	size_t length = strlen(word);
	const char *at;

	for (at = list; (at = strstr(at, word)); at += length)
		if ((at == list || at[-1] == ',') && (!at[length] || at[length] == ',' || at[length] == '\n'))
			return true;
	return false;
}

/* Where the memory controller's tree is mounted, and which of its directories that is. */
static bool tree_find(const char *root, bool v2, char mount[PATH_MAX], char below[PATH_MAX])
{
	char name[PATH_MAX], line[3 * PATH_MAX], type[64], options[1024];
	const char *tail;
	bool found = false;
	FILE *file;

	(void)snprintf(name, sizeof(name), "%s/proc/self/mountinfo", root);
	file = fopen(name, "re");
	while (!found && file && fgets(line, sizeof(line), file)) {
		tail = strstr(line, " - ");
		if (!tail || sscanf(line, "%*d %*d %*s %4095s %4095s", below, mount) != 2 ||
		    sscanf(tail, " - %63s %*s %1023s", type, options) != 2)
			continue;
		found = v2 ? !strcmp(type, "cgroup2") : !strcmp(type, "cgroup") && has_word(options, "memory");
	}
	if (file)
		(void)fclose(file);
	return found;
}

/* Our directory in that tree. */
static bool own_find(const char *root, bool v2, char ret[PATH_MAX])
{
	char name[PATH_MAX], line[2 * PATH_MAX], *controllers, *path;
	bool found = false;
	FILE *file;

	(void)snprintf(name, sizeof(name), "%s/proc/self/cgroup", root);
	file = fopen(name, "re");
	while (!found && file && fgets(line, sizeof(line), file)) {
		controllers = strchr(line, ':');
		path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		found = v2 ? !controllers[1] : has_word(controllers + 1, "memory");
		if (found)
			(void)snprintf(ret, PATH_MAX, "%s", path);
	}
	if (file)
		(void)fclose(file);
	return found;
}

static uint64_t number_of(const char *path)
{
	unsigned long long number;
	FILE *file = fopen(path, "re");
	bool got = file && fscanf(file, "%llu", &number) == 1;

	if (file)
		(void)fclose(file);
	return got && number < V1_NONE ? number : UINT64_MAX;
}

static uint64_t tree_limit(const char *root, bool v2, char *ret_path, size_t size)
{
	char mount[PATH_MAX], below[PATH_MAX], own[PATH_MAX], path[4 * PATH_MAX], *slash;
	uint64_t least = UINT64_MAX, limit;
	const char *rest;

	if (!tree_find(root, v2, mount, below) || !own_find(root, v2, own))
		return UINT64_MAX;
	/* A container sees a part of the tree, under a name that only the host knows. */
	rest = own;
	if (strcmp(below, "/") && !strncmp(own, below, strlen(below)))
		rest = own + strlen(below);
	if (!strcmp(rest, "/"))
		rest = "";
	memmove(own, rest, strlen(rest) + 1);
	for (;;) {
		(void)snprintf(path, sizeof(path), "%s%s%s/%s", root, mount, own, v2 ? "memory.max" : "memory.limit_in_bytes");
		limit = number_of(path);
		if (limit < least) {
			least = limit;
			(void)snprintf(ret_path, size, "%s", path);
		}
		slash = strrchr(own, '/');
		if (!slash)
			return least;
		*slash = '\0';
	}
}

uint64_t cgroup_memory_limit(const char *root, char *path, size_t size)
{
	uint64_t limit;

	path[0] = '\0';
	limit = tree_limit(root, true, path, size);
	return limit != UINT64_MAX ? limit : tree_limit(root, false, path, size);
}
