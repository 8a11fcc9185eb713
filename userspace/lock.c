/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.c - a record lock on RUN/agent.lock, and an flock() of the directory of the pins.
 *
 * A record lock and not a pid in a file, as the kernel itself says who holds it, in our pid namespace, and forgets it with
 * the process; nothing can be stale. It is not inherited by children. One rule comes with it: closing any descriptor of
 * the file gives it up, so only this file opens it.
 *
 * A directory of bpffs can hold neither files nor record locks of a writer. Its flock() would be inherited by a child that
 * lives on; the guard closes all it has (guard.c).
 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int lock_path(const char *directory, char *ret, size_t size)
{
	return (size_t)snprintf(ret, size, "%s/agent.lock", directory) < size ? 0 : -ENAMETOOLONG;
}

/* 1: held by another process. */
static int holder_of(int fd, pid_t *ret_pid)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_GETLK, &whole))
		return -errno;
	if (whole.l_type == F_UNLCK)
		return 0;
	*ret_pid = whole.l_pid > 0 ? whole.l_pid : 0;
	return 1;
}

int lock_take(const char *directory, pid_t *ret_pid)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[512];
	int err = lock_path(directory, path, sizeof(path)), fd;

	if (err)
		return err;
	if (mkdir(directory, 0755) && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	if (!fcntl(fd, F_SETLK, &whole))
		return fd;
	err = errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
	/* It may be free again by the time we ask who had it. */
	if (err == -EBUSY && holder_of(fd, ret_pid) != 1)
		*ret_pid = 0;
	(void)close(fd);
	return err;
}

void lock_release(int lock)
{
	if (lock >= 0)
		(void)close(lock);
}

int lock_holder(const char *directory, pid_t *ret_pid)
{
	char path[512];
	int err = lock_path(directory, path, sizeof(path)), fd;

	if (err)
		return err;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	err = holder_of(fd, ret_pid);
	(void)close(fd);
	return err;
}

/* Who has the flock() of a file, as /proc/locks says; 0: nobody that can be seen from here. */
static pid_t flock_holder(const struct stat *st)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256];
	pid_t found = 0;

	while (locks && !found && fgets(line, sizeof(line), locks)) {
		unsigned major_number, minor_number;
		unsigned long long inode;
		int pid;

		if (sscanf(line, "%*u: FLOCK %*s WRITE %d %x:%x:%llu", &pid, &major_number, &minor_number, &inode) == 4 &&
		    makedev(major_number, minor_number) == st->st_dev && inode == st->st_ino && pid > 0)
			found = pid;
	}
	if (locks)
		(void)fclose(locks);
	return found;
}

int lock_directory(const char *path, pid_t *ret_pid)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), err;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return fd;
	err = errno == EWOULDBLOCK ? -EBUSY : -errno;
	*ret_pid = err == -EBUSY && !fstat(fd, &st) ? flock_holder(&st) : 0;
	(void)close(fd);
	return err;
}
