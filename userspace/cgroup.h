/* SPDX-License-Identifier: BSD-2-Clause */
/* cgroup.h - what memory this process's own cgroup leaves it. */
#ifndef PROBEMETER_CGROUP_H
#define PROBEMETER_CGROUP_H

#include <stddef.h>
#include <stdint.h>

/**
 * cgroup_memory_limit - the lowest limit of the memory cgroups that this process is in, v2 or v1
 * @root: "" for this host; tests have trees of their own
 * @path: the file that says so, "" if there is no limit; room for @size bytes
 *
 * Return: bytes, UINT64_MAX without a limit.
 */
uint64_t cgroup_memory_limit(const char *root, char *path, size_t size);

#endif
