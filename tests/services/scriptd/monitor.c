/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define FILE_SIZE_LIMIT (64u << 20)

void monitor_report(int control_fd, const struct launch_result *result)
{
	(void)send(control_fd, result, sizeof(*result), MSG_NOSIGNAL);
}

static void limit(int resource, rlim_t max)
{
	(void)setrlimit(resource, &(struct rlimit){ .rlim_cur = max, .rlim_max = max });
}

/* The script's process, until exec. Reports why exec failed through @error_fd. */
static void become_script(const struct launch_request *request, int script_fd, int output_fd, int error_fd)
{
	char *argv[4] = { (char *)request->interpreter, NULL, NULL, NULL };
	char *envp[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", NULL };
	char script_path[] = "/dev/fd/3";
	int argc = 1, err;
	sigset_t none;

	if (request->flag[0])
		argv[argc++] = (char *)request->flag;
	argv[argc] = script_path;

	/* The launcher ignores these, and an ignored signal stays so over exec. */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);

	/* Out of the way first, so that no dup2() below overwrites one still needed. */
	script_fd = fcntl(script_fd, F_DUPFD_CLOEXEC, 10);
	output_fd = fcntl(output_fd, F_DUPFD_CLOEXEC, 10);
	error_fd = fcntl(error_fd, F_DUPFD_CLOEXEC, 10);
	(void)close(0);
	if (open("/dev/null", O_RDONLY) != 0 || dup2(output_fd, 1) < 0 || dup2(output_fd, 2) < 0 ||
	    dup2(script_fd, 3) < 0)
		goto out;
	(void)close_range(4, ~0u, CLOSE_RANGE_CLOEXEC);

	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, FILE_SIZE_LIMIT);
	limit(RLIMIT_AS, (rlim_t)request->memory_mib << 20);
	execve(request->interpreter, argv, envp);
out:
	err = errno;
	(void)!write(error_fd, &err, sizeof(err));
	_exit(127);
}

/*
 * Fork and exec. A pipe that exec closes tells success from failure.
 * Return: the pid, or -errno with nothing left to wait for.
 */
static pid_t start_script(const struct launch_request *request, int script_fd, int output_fd)
{
	int error_pipe[2], err = 0;
	pid_t pid;

	if (pipe2(error_pipe, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0) {
		err = errno;
		goto out;
	}
	if (pid == 0)
		become_script(request, script_fd, output_fd, error_pipe[1]);
	(void)setpgid(pid, pid);
	close(error_pipe[1]);
	error_pipe[1] = -1;
	if (read(error_pipe[0], &err, sizeof(err)) == sizeof(err))
		(void)waitpid(pid, NULL, 0);
	else
		err = 0;
out:
	close(error_pipe[0]);
	if (error_pipe[1] >= 0)
		close(error_pipe[1]);
	return err ? -err : pid;
}

/* Wait for exit, the time limit, or a word (or the end) of the service. */
static void wait_for_end(int pidfd, int control_fd, uint32_t timeout_ms, struct launch_result *result)
{
	double deadline_s = clock_mono_s() + timeout_ms / 1e3;
	struct pollfd fds[] = {
		{ .fd = pidfd, .events = POLLIN },
		{ .fd = control_fd, .events = POLLIN },
	};
	double left_s;

	for (;;) {
		left_s = deadline_s - clock_mono_s();
		if (left_s <= 0) {
			result->timed_out = true;
			return;
		}
		if (poll(fds, 2, (int)(left_s * 1e3) + 1) <= 0)
			continue;
		if (fds[0].revents)
			return;
		if (fds[1].revents) {
			result->cancelled = true;
			return;
		}
	}
}

/*
 * Descendants that left the process group were handed to this process, their
 * sub-reaper, when their parents died. Each kill can hand over more, so go on
 * until there is nothing to wait for.
 */
static void kill_orphans(void)
{
	FILE *children;
	int pid;

	for (;;) {
		children = fopen("/proc/thread-self/children", "re");
		while (children && fscanf(children, "%d", &pid) == 1)
			(void)kill(pid, SIGKILL);
		if (children)
			(void)fclose(children);
		if (wait4(-1, NULL, __WALL, NULL) < 0 && errno == ECHILD)
			return;
	}
}

void monitor_run(const struct launch_request *request, int script_fd, int output_fd, int control_fd)
{
	struct launch_result result = { 0 };
	double start_s = clock_mono_s();
	struct rusage usage = { 0 };
	int pidfd, status = 0;
	pid_t pid;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = start_script(request, script_fd, output_fd);
	close(script_fd);
	close(output_fd);
	if (pid < 0) {
		result.start_errno = -pid;
		goto out;
	}
	pidfd = pidfd_open(pid, 0);
	if (pidfd >= 0) {
		wait_for_end(pidfd, control_fd, request->timeout_ms, &result);
		close(pidfd);
	} else {
		result.start_errno = errno;
	}

	/* The leader is not reaped yet, so its group's number cannot be another's. */
	(void)kill(-pid, SIGKILL);
	while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	result.wall_s = clock_mono_s() - start_s;
	result.wait_status = status;
	result.cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	result.peak_kib = usage.ru_maxrss;
	kill_orphans();
out:
	monitor_report(control_fd, &result);
	close(control_fd);
}
