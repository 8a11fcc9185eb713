/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trial.c - the fastest nop, by trial rather than by version.
 *
 * Kernels differ in which nops they turn into a call, and one of them kills forked children that hit a patched site
 * without the guard (stub_x86_64.h). So a child of the agent fires this binary's own stub, forks, and the grandchild fires
 * too, with each way attached in turn; a way is good if all are alive and the kernel counted every hit. At last the child
 * locks itself in behind seccomp and fires once more: the call that a nop becomes is a system call, and a kernel that shows
 * it to filters would kill a service that has one.
 */
#include "trial.h"

#define PROBEMETER_SCOPE TRIAL_SCOPE
#include <probemeter/probemeter.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena.h"
#include "log.h"
#include "probe.skel.h"
#include "../bpf/maps.h"

PROBEMETER_COUNTER(probemeter_trial, "probemeter.trial", "{hit}", "Hits of the agent's own trial")

#define HITS 2000
#define RUNS 5
#define CHILD_SECONDS 10

/* What the child tells: ns per hit of each run. */
struct report {
	double ns[RUNS];
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void fire(double *ret_ns)
{
	uint64_t start = probemeter_now_();
	int i;

	for (i = 0; i < HITS; i++)
		PROBEMETER_ADD(probemeter_trial, 1);
	*ret_ns = (double)(probemeter_now_() - start) / HITS;
}

/* From here on no system call but those of fire() and of the report. A kernel without seccomp has no service behind it. */
static void lock_in(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 4, 0), /* where the clock is one */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sigaltstack, 3, 0), /* AddressSanitizer's, before _exit() */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

/* Runs in the child: fire, fork, fire there too. Nothing here allocates or locks: the agent may have threads. */
static void child(int report_fd)
{
	struct report report;
	int run, status;
	double again;
	pid_t pid;

	/* Whatever goes wrong with a probe, it ends with us and in time. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)alarm(CHILD_SECONDS);
	for (run = 0; run < RUNS; run++)
		fire(&report.ns[run]);
	pid = fork();
	if (pid < 0)
		_exit(2);
	if (!pid) {
		(void)alarm(CHILD_SECONDS);
		fire(&report.ns[0]);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		_exit(1);
	lock_in();
	fire(&again);
	_exit(write(report_fd, &report, sizeof(report)) != sizeof(report));
}

/* All that the trial's kernel side has counted: there is nothing else in it. */
static uint64_t hits_read(const struct kernel *kernel)
{
	uint64_t hits = 0;
	size_t i;

	for (i = 0; i < (size_t)kernel->cpus * kernel->slots; i++)
		hits += kernel->cells[i].count;
	return hits;
}

static int try_way(const struct kernel *kernel, enum attach_way way, int fd, const struct descriptor *d,
		   struct trial_result *ret)
{
	struct attachment *attachment = attach_new(NULL, 0);
	struct kernel_site places[2];
	struct report report;
	int err, status, pipes[2];
	uint64_t before;
	pid_t pid;

	if (!attachment)
		return -ENOMEM;
	err = attach_sites(kernel, attachment, kernel->skeleton->progs.counter, fd, places, attach_places(way, d, 0, places));
	if (err)
		goto out;
	if (pipe2(pipes, O_CLOEXEC)) {
		err = -errno;
		goto out;
	}
	before = hits_read(kernel);
	pid = fork();
	if (!pid)
		child(pipes[1]);
	(void)close(pipes[1]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && !status &&
	    read(pipes[0], &report, sizeof(report)) == sizeof(report)) {
		qsort(report.ns, RUNS, sizeof(report.ns[0]), by_value);
		ret->ns = report.ns[0]; /* the least: what else runs on the host only adds */
		ret->counts = hits_read(kernel) - before == (uint64_t)(RUNS + 2) * HITS;
	}
	(void)close(pipes[0]);
	err = pid < 0 ? -errno : 0;
out:
	attach_free(attachment);
	return err;
}

/* The stub of the binary open at @fd; NULL if it cannot be found. */
static int stub_of(int fd, struct arena *arena, const struct descriptor **ret)
{
	struct descriptors own = { 0 };
	int err = fd < 0 ? -ENOENT : arena ? descriptors_read(fd, arena, &own) : -ENOMEM;
	size_t i;

	for (i = 0; !err && i < own.count; i++)
		if (!strcmp(own.descriptor[i].metric.scope, TRIAL_SCOPE)) {
			*ret = &own.descriptor[i];
			return 0;
		}
	return err ? err : -ENOENT;
}

int trial_barrier(const struct kernel *kernel)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), err;
	struct attachment *attachment = attach_new(NULL, 0);
	struct arena *arena = arena_new();
	const struct descriptor *stub = NULL;
	struct kernel_site places[2];

	err = attachment ? stub_of(fd, arena, &stub) : -ENOMEM;
	if (!err)
		err = attach_sites(kernel, attachment, kernel->skeleton->progs.counter, fd, places,
				   attach_places(ATTACH_NOTED, stub, 0, places));
	attach_free(attachment);
	arena_free(arena);
	if (fd >= 0)
		(void)close(fd);
	return err;
}

int trial_run(enum kernel_links links, struct trial *ret)
{
	const struct kernel_limits limits = { .cells = 1024, .series = 64, .services = 64, .series_per_metric = 64 };
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), err;
	struct arena *arena = arena_new();
	const struct descriptor *stub = NULL;
	struct kernel kernel = { 0 };
	struct trial trial = { 0 };
	enum attach_way way;

	err = stub_of(fd, arena, &stub);
	if (!err)
		err = kernel_load(&limits, links, NULL, &kernel);
	if (err)
		goto out;
	trial.links = kernel.links;
	for (way = 0; way < ATTACH_WAYS; way++) {
		struct trial_result *result = &trial.result[way];
		struct kernel_site places[2];
		int failed;

		if (way != ATTACH_NOTED && attach_places(way, stub, 0, places) < 2)
			continue; /* stubs of this machine have one nop */
		failed = try_way(&kernel, way, fd, stub, result);
		log_message(LOG_DEBUG, "trial: %s: %s, %.0f ns per hit", attach_way_name[way],
			    failed ? strerror(-failed) : result->counts ? "counts" : "does not count every hit", result->ns);
		/* The ways differ by half and more where one is optimised: a quarter is what a busy host can do to a fast one. */
		if (result->counts && (!trial.result[trial.way].counts ||
				       result->ns < trial.result[trial.way].ns * (trial.way == ATTACH_NOTED ? 1.25 : 1)))
			trial.way = way;
	}
	*ret = trial;
out:
	kernel_free(&kernel);
	arena_free(arena);
	if (fd >= 0)
		(void)close(fd);
	return err;
}

void trial_describe(const struct trial *trial, char *ret, size_t size)
{
	(void)snprintf(ret, size, "probes on the %s, by %s: %.0f ns per hit here", attach_way_name[trial->way],
		       trial->links == KERNEL_LINKS_UPROBE_MULTI ? "uprobe_multi" : "perf_event",
		       trial->result[trial->way].ns);
}
