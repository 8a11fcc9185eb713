/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * short - a library for LD_PRELOAD: from some moment on there is no memory, or no room in a bpffs.
 *
 * $SHORT_HEAP=N: after N allocations malloc() and its like fail. $SHORT_MAPS=N: after N shared mappings, which an agent makes of
 * BPF maps, mmap() fails. $SHORT_FILTER=N: the same as $SHORT_HEAP, but counted from when libseccomp is first asked for a filter.
 * For good, as when a limit is reached. $SHORT_LARGEST=FILE: the first 8 bytes of it, a number that may change at any time, are the
 * largest allocation that succeeds. $SHORT_PINS=N: after N pins there is no room for another one. A bpffs has no size that a mount
 * could bound: what a full one says, ENOSPC, it says where the kernel has no memory for an inode (bpf_get_inode(),
 * kernel/bpf/inode.c).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's own, under the names that no library takes over. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static atomic_long heap = LONG_MAX, maps = LONG_MAX, pins = LONG_MAX, unbounded = LONG_MAX, *largest = &unbounded;

static void largest_map(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long at = syscall(SYS_mmap, NULL, sizeof(*largest), PROT_READ, MAP_SHARED, fd, 0);

	if (fd < 0 || (at < 0 && at > -4096))
		abort();
	largest = (atomic_long *)at;
	(void)close(fd);
}

static void __attribute__((constructor)) begin(void)
{
	const char *said = getenv("SHORT_HEAP");

	if (said)
		heap = atol(said);
	said = getenv("SHORT_MAPS");
	if (said)
		maps = atol(said);
	said = getenv("SHORT_PINS");
	if (said)
		pins = atol(said);
	said = getenv("SHORT_LARGEST");
	if (said)
		largest_map(said);
}

static int none(atomic_long *left)
{
	/* Far from LONG_MIN, however long it goes on. */
	if (*left > 0 && (*left)-- > 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

static int none_of(size_t size)
{
	if (size > (size_t)*largest) {
		errno = ENOMEM;
		return 1;
	}
	return none(&heap);
}

void *malloc(size_t size)
{
	return none_of(size) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return none_of(count * size) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
	return none_of(size) ? NULL : __libc_realloc(at, size);
}

void *seccomp_init(uint32_t action)
{
	void *(*real)(uint32_t) = NULL;
	const char *said = getenv("SHORT_FILTER");

	*(void **)&real = dlsym(RTLD_NEXT, "seccomp_init");
	if (said)
		heap = atol(said);
	return real(action);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	if (flags & MAP_SHARED && none(&maps))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

/* libbpf makes its system calls by this. */
long syscall(long number, ...)
{
	static long (*real)(long number, ...);
	long argument[6];
	va_list list;
	int i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		argument[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && argument[0] == BPF_OBJ_PIN && none(&pins)) {
		errno = ENOSPC;
		return -1;
	}
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return real(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}
