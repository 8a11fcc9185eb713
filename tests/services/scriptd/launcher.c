/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor.h"

struct launcher {
	pid_t pid;
	int sock;
};

enum { FD_SCRIPT, FD_OUTPUT, FD_CONTROL, NR_FDS };

static int send_request(int sock, const struct launch_request *request, const int fds[NR_FDS])
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * NR_FDS)];
		struct cmsghdr align;
	} control = { .buf = { 0 } };
	struct iovec iov = { .iov_base = (void *)request, .iov_len = sizeof(*request) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int) * NR_FDS);
	memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * NR_FDS);
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

/* Return: 1 with a request, 0 at the end of the service, -errno. */
static int receive_request(int sock, struct launch_request *request, int fds[NR_FDS])
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * NR_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = request, .iov_len = sizeof(*request) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *cmsg;
	ssize_t n;

	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (n != sizeof(*request) || !cmsg || cmsg->cmsg_len != CMSG_LEN(sizeof(int) * NR_FDS))
		return -EPROTO;
	memcpy(fds, CMSG_DATA(cmsg), sizeof(int) * NR_FDS);
	return 1;
}

/*
 * The launcher's own process. Ctrl-C reaches the whole process group; only the
 * end of the socket ends the launcher, after the last of its monitors.
 */
static void serve(int sock)
{
	struct launch_request request;
	int fds[NR_FDS];
	pid_t pid;
	int err;

	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);	/* monitors reap themselves */
	while ((err = receive_request(sock, &request, fds)) != 0) {
		if (err == -EINTR)
			continue;
		if (err < 0)
			break;
		pid = fork();
		if (pid == 0) {
			close(sock);
			signal(SIGCHLD, SIG_DFL);
			monitor_run(&request, fds[FD_SCRIPT], fds[FD_OUTPUT], fds[FD_CONTROL]);
			_exit(0);
		}
		if (pid < 0)
			monitor_report(fds[FD_CONTROL], &(struct launch_result){ .start_errno = errno });
		for (int i = 0; i < NR_FDS; i++)
			close(fds[i]);
	}
	while (wait(NULL) > 0 || errno == EINTR)
		;
	_exit(0);
}

int launcher_start(const char *workdir, struct launcher **ret)
{
	struct launcher *launcher;
	int sv[2], err;

	launcher = calloc(1, sizeof(*launcher));
	if (!launcher)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv)) {
		err = -errno;
		goto out_free;
	}
	launcher->pid = fork();
	if (launcher->pid < 0) {
		err = -errno;
		goto out_close;
	}
	if (launcher->pid == 0) {
		close(sv[0]);
		if (chdir(workdir))
			_exit(1);
		serve(sv[1]);
	}
	close(sv[1]);
	launcher->sock = sv[0];
	*ret = launcher;
	return 0;

out_close:
	close(sv[0]);
	close(sv[1]);
out_free:
	free(launcher);
	return err;
}

int launcher_launch(struct launcher *launcher, const struct launch_request *request,
		    int script_fd, int output_fd, int *ret)
{
	int sv[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return -errno;
	err = send_request(launcher->sock, request, (int[NR_FDS]){
		[FD_SCRIPT] = script_fd, [FD_OUTPUT] = output_fd, [FD_CONTROL] = sv[1] });
	close(sv[1]);
	if (err) {
		close(sv[0]);
		return err;
	}
	*ret = sv[0];
	return 0;
}

void launcher_stop(struct launcher *launcher)
{
	if (!launcher)
		return;
	close(launcher->sock);
	while (waitpid(launcher->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(launcher);
}
