/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "language.h"
#include "launcher.h"

#define MAX_LINES 100
#define MAX_LINE 512

struct runner {
	struct launcher *launcher;
	unsigned int memory_mib;
	int cancel_fd;			/* readable once cancelled */
};

/* Output on its way: the beginning is kept, lines are handed on. */
struct output {
	runner_line_fn *line_fn;
	void *ctx;
	struct run_result *result;
	size_t kept;
	char line[MAX_LINE];
	size_t line_len;
	unsigned int lines;
};

static const char *const status_names[] = {
	[RUN_COMPLETED] = "completed",
	[RUN_FAILED] = "failed",
	[RUN_TIMEOUT] = "timeout",
};

const char *run_status_name(enum run_status status)
{
	return status_names[status];
}

int runner_create(struct launcher *launcher, unsigned int memory_mib, struct runner **ret)
{
	struct runner *runner = calloc(1, sizeof(*runner));
	int err;

	if (!runner)
		return -ENOMEM;
	runner->launcher = launcher;
	runner->memory_mib = memory_mib;
	runner->cancel_fd = eventfd(0, EFD_CLOEXEC);
	if (runner->cancel_fd < 0) {
		err = -errno;
		free(runner);
		return err;
	}
	*ret = runner;
	return 0;
}

void runner_cancel(struct runner *runner)
{
	(void)eventfd_write(runner->cancel_fd, 1);
}

void runner_free(struct runner *runner)
{
	if (!runner)
		return;
	close(runner->cancel_fd);
	free(runner);
}

static void output_end_line(struct output *out)
{
	out->line[out->line_len] = '\0';
	out->line_len = 0;
	if (out->line_fn && out->lines++ < MAX_LINES)
		out->line_fn(out->ctx, out->line);
}

static void output_feed(struct output *out, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = data[i];

		if (c != '\n' && c != '\t' && (c < ' ' || c > '~'))
			c = '?';
		if (out->kept < RUN_OUTPUT_KEPT - 1)
			out->result->output[out->kept++] = c;
		if (c != '\n')
			out->line[out->line_len++] = c;
		if (c == '\n' || out->line_len == MAX_LINE - 1)
			output_end_line(out);
	}
}

/* Return: false at the end of the output. */
static bool output_read(struct output *out, int fd)
{
	char buf[4096];
	ssize_t n;

	n = read(fd, buf, sizeof(buf));
	if (n > 0)
		output_feed(out, buf, (size_t)n);
	return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

/* An anonymous file, so that no script ever lies on disk. */
static int script_open(const char *script)
{
	size_t len = strlen(script), done = 0;
	ssize_t n;
	int fd, err;

	fd = memfd_create("script", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (done < len) {
		n = write(fd, script + done, len - done);
		if (n < 0) {
			err = -errno;
			close(fd);
			return err;
		}
		done += (size_t)n;
	}
	return fd;
}

/* Read output until the monitor has reported and the pipe is empty. */
static int follow(struct runner *runner, int output_fd, int control_fd, struct output *out,
		  struct launch_result *ret)
{
	struct pollfd fds[] = {
		{ .fd = control_fd, .events = POLLIN },
		{ .fd = output_fd, .events = POLLIN },
		{ .fd = runner->cancel_fd, .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (fds[1].revents && !output_read(out, output_fd))
			fds[1].fd = -1;
		if (fds[2].revents) {
			(void)shutdown(control_fd, SHUT_WR);
			fds[2].fd = -1;
		}
		/* The monitor reports last, when no process can write any more. */
		if (fds[0].revents && !(fds[1].fd >= 0 && fds[1].revents)) {
			if (recv(control_fd, ret, sizeof(*ret), 0) != sizeof(*ret))
				return -EPIPE;
			return 0;
		}
	}
}

static void judge(const struct launch_result *launch, struct run_result *ret)
{
	int status = launch->wait_status;

	ret->status = RUN_FAILED;
	ret->cancelled = launch->cancelled;
	if (launch->start_errno) {
		ret->error_type = "start_failed";
		ret->exit_code = 127;
		return;
	}
	ret->wall_s = launch->wall_s;
	ret->memory_mib = (double)launch->peak_kib / 1024;
	ret->cpu_millicores = launch->cpu_s / launch->wall_s * 1e3;
	ret->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (launch->timed_out) {
		ret->status = RUN_TIMEOUT;
		ret->error_type = "timeout";
	} else if (launch->cancelled) {
		ret->error_type = "shutdown";
	} else if (WIFSIGNALED(status)) {
		ret->error_type = "signal";
	} else if (ret->exit_code) {
		ret->error_type = "nonzero_exit";
	} else {
		ret->status = RUN_COMPLETED;
	}
}

int runner_run(struct runner *runner, const struct language *language, const char *script,
	       unsigned int timeout_ms, runner_line_fn *line, void *ctx, struct run_result *ret)
{
	struct launch_request request = { .timeout_ms = timeout_ms, .memory_mib = runner->memory_mib };
	struct output out = { .line_fn = line, .ctx = ctx, .result = ret };
	int script_fd = -1, control_fd = -1, output_pipe[2] = { -1, -1 }, err;
	struct launch_result launch;

	memset(ret, 0, sizeof(*ret));
	snprintf(request.interpreter, sizeof(request.interpreter), "%s", language->interpreter);
	snprintf(request.flag, sizeof(request.flag), "%s", language->flag);

	script_fd = script_open(script);
	if (script_fd < 0) {
		err = script_fd;
		goto out;
	}
	if (pipe2(output_pipe, O_CLOEXEC | O_NONBLOCK)) {
		err = -errno;
		goto out;
	}
	/* Only our end stays non-blocking: scripts do not expect EAGAIN on stdout. */
	(void)fcntl(output_pipe[1], F_SETFL, 0);
	err = launcher_launch(runner->launcher, &request, script_fd, output_pipe[1], &control_fd);
	if (err)
		goto out;
	close(output_pipe[1]);
	output_pipe[1] = -1;
	err = follow(runner, output_pipe[0], control_fd, &out, &launch);
	if (err)
		goto out;
	if (out.line_len)
		output_end_line(&out);
	judge(&launch, ret);
out:
	for (int i = 0; i < 2; i++)
		if (output_pipe[i] >= 0)
			close(output_pipe[i]);
	if (control_fd >= 0)
		close(control_fd);
	if (script_fd >= 0)
		close(script_fd);
	return err;
}
