/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lease.c - no file is written over while it is attached.
 *
 * The kernel keeps the places of probes by inode, whatever stands in the file. A binary that is written over in place, and
 * not replaced, would find breakpoints in the middle of its new instructions and crash. So the agent holds a read lease on
 * each attached file: whoever opens it for writing waits, for some milliseconds, until the agent has detached. A file that
 * is mapped by a running executable cannot be opened for writing anyway; this is for the times in between, and for
 * libraries. Leases end with the agent.
 */
#include "lease.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LEASE_SIGNAL (SIGRTMIN + 4)

int leases_open(void)
{
	sigset_t signals;
	int fd;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, LEASE_SIGNAL);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	/* What comes instead when too many are queued; its default is to end us. */
	(void)signal(SIGIO, SIG_IGN);
	fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int lease_take(int fd)
{
	struct f_owner_ex owner = { .type = F_OWNER_TID, .pid = gettid() };

	/* This thread and no other blocks the signal. */
	if (fcntl(fd, F_SETOWN_EX, &owner) || fcntl(fd, F_SETSIG, LEASE_SIGNAL) || fcntl(fd, F_SETLEASE, F_RDLCK))
		return -errno;
	return 0;
}

int leases_next(int leases)
{
	struct signalfd_siginfo info;

	return read(leases, &info, sizeof(info)) == sizeof(info) ? info.ssi_fd : -EAGAIN;
}

void lease_end(int fd)
{
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
}
