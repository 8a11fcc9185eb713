/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard.c - what an agent that was killed cannot do: give up a file before somebody writes to it.
 *
 * Consumes the files that the agent attaches and the kernel's word that somebody opens one for writing; produces the end
 * of that file's links, before the writer goes on. See lease.c for why: a program that is written over in place where
 * links are pinned would start with breakpoints in the middle of its instructions, and does not even crash for sure.
 * (Tried on 6.18: it calculated wrong.) The kernel holds leases for processes only, so there must be one.
 *
 * It is a program of its own, started by the agent, as a fork of the agent would keep its maps alive. It holds neither
 * maps nor links. It has a lease on each file from the moment in which the file is attached, so there is no time in which
 * nobody has one. It ends when the pins are gone, or some time after another agent has come, which has a guard too.
 */
#include "guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lease.h"
#include "lock.h"
#include "pins.h"
#include "privilege.h"
#include "sandbox.h"

/* Another agent has been there for so long: by now it protects its files itself. */
#define SUCCEEDED_S 20
/* The kernel takes a lease away after 45 s (fs.lease-break-time). */
#define CLEAN_MS 20000

/* --- is it clean? */

static uint64_t clock_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Breakpoints are put into every executable mapping, also into this one, and the file does not show them. */
static bool has_probe(int fd, size_t size)
{
	char part[65536];
	char *text = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	bool differs = false;
	size_t at = 0;
	ssize_t got;

	if (text == MAP_FAILED)
		return true; /* nobody knows: wait */
	while (!differs && (got = pread(fd, part, sizeof(part), (off_t)at)) > 0 && at + (size_t)got <= size) {
		differs = memcmp(text + at, part, (size_t)got);
		at += (size_t)got;
	}
	(void)munmap(text, size);
	return differs;
}

bool guard_clean(int fd, unsigned wait_ms)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	uint64_t end = clock_ms() + wait_ms;
	struct stat st;

	if (fstat(fd, &st) || !st.st_size)
		return true;
	while (has_probe(fd, (size_t)st.st_size)) {
		if (clock_ms() >= end)
			return false;
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

/* --- the agent's side */

struct guard {
	pid_t pid;
	int socket;
};

struct message {
	uint32_t number;
	uint32_t add; /* else it is not attached any more */
};

static void become(int socket, char *const argv[])
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	(void)privilege_pass();
	if (dup2(socket, 0) == 0)
		(void)execv(sandbox_self, argv);
	_exit(127);
}

int guard_start(const struct pins *pins, const char *run_dir, struct guard **ret)
{
	char *const argv[] = { (char *)GUARD_NAME, (char *)pins->base, (char *)pins->directory, (char *)run_dir, NULL };
	const struct timeval patience = { .tv_sec = 2 };
	struct guard *guard = calloc(1, sizeof(*guard));
	int sockets[2], err;

	if (!guard)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) {
		err = -errno;
		free(guard);
		return err;
	}
	guard->pid = fork();
	if (!guard->pid)
		become(sockets[1], argv);
	err = guard->pid < 0 ? -errno : 0;
	(void)close(sockets[1]);
	guard->socket = sockets[0];
	(void)setsockopt(guard->socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (err)
		guard_free(guard);
	else
		*ret = guard;
	return err;
}

int guard_file(struct guard *guard, uint32_t number, int fd)
{
	struct message message = { .number = number, .add = fd >= 0 };
	struct iovec content = { &message, sizeof(message) };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr header = { .msg_iov = &content, .msg_iovlen = 1 };

	if (fd >= 0) {
		header.msg_control = &control;
		header.msg_controllen = sizeof(control.room);
		*CMSG_FIRSTHDR(&header) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
							    .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &fd, sizeof(fd));
	}
	return sendmsg(guard->socket, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

bool guard_lives(const struct guard *guard)
{
	return waitpid(guard->pid, NULL, WNOHANG) == 0;
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	(void)close(guard->socket);
	free(guard);
}

/* --- the guard's side */

struct file {
	struct file *next;
	uint32_t number;
	int fd; /* opened by us: a lease belongs to it */
};

struct watchman {
	struct pins pins;
	const char *run_dir;
	int leases;
	bool alone; /* the agent is gone */
	struct file *files;
};

static void file_drop(struct file **at)
{
	struct file *file = *at;

	*at = file->next;
	(void)close(file->fd);
	free(file);
}

static void file_remove(struct watchman *watchman, uint32_t number)
{
	struct file **at = &watchman->files;

	while (*at)
		if ((*at)->number == number)
			file_drop(at);
		else
			at = &(*at)->next;
}

/* A descriptor of our own of what the agent's is open on, wherever that file is by now. */
static void file_add(struct watchman *watchman, uint32_t number, int theirs)
{
	struct file *file = calloc(1, sizeof(*file));
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", theirs);
	if (file)
		file->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!file || file->fd < 0) {
		free(file);
		return;
	}
	file->number = number;
	file->next = watchman->files;
	watchman->files = file;
	/* The agent has one too, and was refused where somebody writes. */
	(void)lease_take(file->fd);
}

/* Return: false when the agent is gone. */
static bool message_read(struct watchman *watchman)
{
	struct message message;
	struct iovec content = { &message, sizeof(message) };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr header = { .msg_iov = &content, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control.room) };
	ssize_t got = recvmsg(0, &header, MSG_CMSG_CLOEXEC);
	struct cmsghdr *with = got > 0 ? CMSG_FIRSTHDR(&header) : NULL;
	int fd = -1;

	if (with && with->cmsg_level == SOL_SOCKET && with->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(with), sizeof(fd));
	if (got == sizeof(message) && !message.add)
		file_remove(watchman, message.number);
	else if (got == sizeof(message) && fd >= 0)
		file_add(watchman, message.number, fd);
	if (fd >= 0)
		(void)close(fd);
	return got > 0 || (got < 0 && errno == EINTR);
}

/* Somebody waits to write. */
static void yield(struct watchman *watchman, int fd)
{
	struct file **at = &watchman->files;

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	if (!*at)
		return;
	pins_links_remove(&watchman->pins, (*at)->number);
	(void)guard_clean(fd, CLEAN_MS);
	lease_end(fd);
	file_drop(at);
}

static bool is_guard(const char *pid)
{
	char path[300], name[sizeof(GUARD_NAME)] = "";
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	file = fopen(path, "re");
	if (file && !fgets(name, sizeof(name), file))
		name[0] = '\0';
	if (file)
		(void)fclose(file);
	return !strcmp(name, GUARD_NAME);
}

/* Does the directory lead to the pins for the host's first process too? A service manager gives an agent its own mounts. */
static bool is_shared(const struct watchman *watchman)
{
	char path[PINS_PATH + 16];
	struct stat own, other;

	(void)snprintf(path, sizeof(path), "/proc/1/root%s", watchman->pins.directory);
	return !stat(watchman->pins.directory, &own) && !stat(path, &other) && own.st_dev == other.st_dev &&
	       own.st_ino == other.st_ino;
}

/* Where nobody else can reach the pins, as in the mount namespace of a test that was killed, they are for nothing; they go
 * with the namespace, and that with us. */
static bool is_out_of_reach(const struct watchman *watchman)
{
	DIR *dir = is_shared(watchman) ? NULL : opendir("/proc");
	struct dirent *entry;
	struct stat own, other;
	char path[300];
	bool alone = dir && !stat("/proc/self/ns/mnt", &own);

	while (alone && (entry = readdir(dir))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || strtol(entry->d_name, NULL, 10) == getpid())
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%s/ns/mnt", entry->d_name);
		if (!stat(path, &other))
			alone = other.st_ino != own.st_ino || is_guard(entry->d_name);
	}
	if (dir)
		(void)closedir(dir);
	return alone;
}

/* Is there nothing to protect any more? @since_ms: since when there has been another agent, 0: there is none. */
static bool is_over(const struct watchman *watchman, uint64_t *since_ms)
{
	struct stat st;
	pid_t pid;

	if (lstat(watchman->pins.directory, &st) || is_out_of_reach(watchman))
		return true;
	if (lock_holder(watchman->run_dir, &pid) != 1)
		*since_ms = 0;
	else if (!*since_ms)
		*since_ms = clock_ms();
	return *since_ms && clock_ms() - *since_ms > SUCCEEDED_S * 1000;
}

static void watch(struct watchman *watchman)
{
	struct pollfd fds[2] = { { .fd = watchman->leases, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
	uint64_t since_ms = 0;
	int fd;

	do {
		(void)poll(fds, 2, watchman->alone ? 1000 : -1);
		while ((fd = leases_next(watchman->leases)) >= 0)
			yield(watchman, fd);
		if (fds[1].revents && !message_read(watchman)) {
			watchman->alone = true;
			fds[1].fd = -1;
		}
	} while (!watchman->alone || !is_over(watchman, &since_ms));
}

int guard_main(int argc, char **argv)
{
	struct watchman watchman = { .pins.persistent = true };
	int null;

	if (argc != 4)
		return 2;
	(void)snprintf(watchman.pins.base, sizeof(watchman.pins.base), "%s", argv[1]);
	(void)snprintf(watchman.pins.directory, sizeof(watchman.pins.directory), "%s", argv[2]);
	watchman.run_dir = argv[3];
	/* What ends an agent must not end what is to be there afterwards. */
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	sandbox_again();
	(void)privilege_drop(PRIVILEGE_GUARD);
	(void)close_range(3, ~0u, 0);
	/* Who reads what the agent prints must see its end. */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		return 1;
	(void)chdir("/");
	watchman.leases = leases_open();
	if (watchman.leases < 0)
		return 1;
	watch(&watchman);
	return 0;
}
