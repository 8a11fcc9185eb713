/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * filter.c - a seccomp filter on its way from the library that makes it to the kernel.
 *
 * Consumes what writes a filter; produces a process behind it. What is in the filter is sandbox.c's.
 *
 * libseccomp 2.5 does not look whether it got memory while it makes its rules into a program: it crashes, or frees twice. So
 * that happens in a child, whose end says how it went.
 */
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The end of a child that gave its errno as its exit status. */
static int outcome(pid_t pid)
{
	int status;

	if (pid < 0 || TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) != pid)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ENOMEM;
}

int filter_make(int (*write_to)(int fd), struct filter *ret)
{
	size_t size = 0;
	ssize_t more;
	int err, pipes[2];
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid) {
		/* Its crash is told by us: no core, and no last words of the C library. */
		(void)prctl(PR_SET_DUMPABLE, 0);
		(void)close(STDERR_FILENO);
		_exit(-write_to(pipes[1]));
	}
	err = pid < 0 ? -errno : 0;
	(void)close(pipes[1]);
	while (size < sizeof(ret->code) &&
	       (more = TEMP_FAILURE_RETRY(read(pipes[0], (char *)ret->code + size, sizeof(ret->code) - size))) > 0)
		size += (size_t)more;
	(void)close(pipes[0]);
	if (!err)
		err = outcome(pid);
	ret->count = (unsigned short)(size / sizeof(ret->code[0]));
	return err || ret->count ? err : -ENODATA;
}

int filter_load(const struct filter *filter)
{
	const struct sock_fprog program = { .len = filter->count, .filter = (struct sock_filter *)filter->code };
	int err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	/* Nobody's code runs here but ours: no need to slow it down for what it might guess of itself. */
	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program))
		return 0;
	err = -errno;
	/* The older way, for whom a filter around the agent refuses the newer one: systemd's @system-service lacks it. */
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) ? err : 0;
}

int filter_possible(void)
{
	const struct filter all = { .count = 1, .code = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) } };
	pid_t pid = fork();

	if (!pid)
		_exit(-filter_load(&all));
	return outcome(pid);
}
