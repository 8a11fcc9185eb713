/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stop.c - end the agent; with --detach, everything of it.
 *
 * Consumes the lock (who runs) and the pins; produces their absence, and the proof: every link, map and program that was
 * pinned is asked for by its id until the kernel knows none of them, and the semaphores of all living processes are read.
 * A semaphore that somebody else's probe holds up is told apart by the links that are left in the kernel.
 */
#include "stop.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "baselines.h"
#include "discover.h"
#include "lock.h"
#include "log.h"
#include "options.h"
#include "pins.h"

#define END_MS 60000 /* an agent's last export may take its time (OTEL_METRIC_EXPORT_TIMEOUT) */
#define LET_GO_MS 10000

/* --- ending it */

static int end_agent(const struct options *options, pid_t pid)
{
	struct pollfd ended = { .events = POLLIN };
	pid_t holder = 0;
	int err = 0;

	ended.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	/* The pid may have become another process's between the question and the descriptor: ask again. */
	if (ended.fd < 0 || lock_holder(options->run_dir, &holder) != 1 || holder != pid) {
		if (ended.fd >= 0)
			(void)close(ended.fd);
		return 0; /* it has ended by itself */
	}
	if (syscall(SYS_pidfd_send_signal, ended.fd, SIGTERM, NULL, 0)) {
		err = -errno;
		log_message(LOG_ERROR, "stop: process %d, the agent, cannot be told to end: %s; run as root", pid, strerror(-err));
	} else {
		/* A busy agent that gets no signal in time is left to its owner: killing it would lose its last export. */
		while ((err = poll(&ended, 1, END_MS)) < 0 && errno == EINTR)
			;
		err = err == 1 ? 0 : -ETIMEDOUT;
		if (err)
			log_message(LOG_ERROR, "stop: process %d, the agent, has not ended in %d s; see its log, or send it SIGKILL", pid,
				    END_MS / 1000);
		else
			log_message(LOG_INFO, "stop: the agent, process %d, has ended", pid);
	}
	(void)close(ended.fd);
	return err;
}

/* --- the proof */

static void nothing(void *context, struct object *object)
{
	(void)context;
	(void)object;
}

static bool is_raised(const struct process *process, const struct loaded *loaded, const struct descriptor *descriptor)
{
	uint16_t value = 0;
	const struct iovec local = { &value, sizeof(value) };
	const struct iovec remote = { (void *)(descriptor->semaphore_address + loaded->bias), sizeof(value) };

	return descriptor->semaphore_address && process_vm_readv(process->pid, &local, 1, &remote, 1, 0) == sizeof(value) &&
	       value;
}

/* How many semaphores of living processes are up; one of them at @ret. */
static size_t raised(const struct discovery *discovery, const struct process **ret, const struct descriptor **ret_what)
{
	const struct process *process;
	size_t i, k, count = 0;

	for (process = discovery->process; process; process = process->hh.next)
		for (i = 0; i < process->loaded_count; i++) {
			const struct descriptors *d = &process->loaded[i].object->descriptors;

			for (k = 0; k < d->count; k++) {
				if (!is_raised(process, &process->loaded[i], &d->descriptor[k]))
					continue;
				count++;
				*ret = process;
				*ret_what = &d->descriptor[k];
			}
		}
	return count;
}

/* The link types that uprobes have (Linux 5.15 and 6.6, include/uapi/linux/bpf.h). */
enum { LINK_PERF_EVENT = 7, LINK_UPROBE_MULTI = 12 };

/* Does somebody else have a link that may hold semaphores up? Its id, 0: nobody. */
static uint32_t others_link(void)
{
	uint32_t id = 0;

	while (!bpf_link_get_next_id(id, &id)) {
		struct bpf_link_info info = { 0 };
		uint32_t size = sizeof(info);
		int fd = bpf_link_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &size))
			info.type = 0;
		(void)close(fd);
		if (info.type == LINK_PERF_EVENT || info.type == LINK_UPROBE_MULTI)
			return id;
	}
	return 0;
}

/* Look once. Return: 1 if semaphores are up and no link that might hold them is there, 0, or -errno. Says what it saw if it is
 * not 1, or if it is the @last look. */
static int semaphores_look(bool last)
{
	const struct discover_events events = { .found = nothing, .gone = nothing };
	const struct descriptor *descriptor = NULL;
	const struct process *process = NULL;
	struct discovery discovery = { 0 };
	int err = discover_sweep(&discovery, &events);
	uint32_t link;
	size_t count;

	if (err) {
		log_message(LOG_ERROR, "stop: /proc cannot be read: %s; whether semaphores are back at 0 is not known",
			    strerror(-err));
		return err;
	}
	count = raised(&discovery, &process, &descriptor);
	link = count ? others_link() : 0;
	if (!count)
		log_message(LOG_INFO, "stop: all semaphores of living processes are at 0");
	else if (link)
		log_message(LOG_INFO, "stop: done: nothing of this agent listens any more; another tracer does, to %zu sites, such as '%s' in process %d: "
			    "by probes of its own, such as link %u", count, descriptor->metric.name, process->pid, link);
	else if (last)
		log_message(LOG_ERROR,
			    "stop: %zu semaphores are up, such as '%s' in process %d, and no BPF link is left; is perf or SystemTap attached?",
			    count, descriptor->metric.name, process->pid);
	discover_free(&discovery, &events);
	return count && !link;
}

/* A perf event takes its probe out a moment after the link that had it is gone. */
static int semaphores_prove(void)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	unsigned waited;
	int state = 1;

	for (waited = 0; waited <= LET_GO_MS && state > 0; waited += 100) {
		state = semaphores_look(waited + 100 > LET_GO_MS);
		if (state > 0)
			(void)nanosleep(&pause, NULL);
	}
	return state > 0 ? -EBUSY : state;
}

int stop_detach(const struct options *options)
{
	struct pins_found found;
	char text[64];
	size_t left;
	int err = pins_remove(options->bpffs, &found);

	if (err)
		log_message(LOG_ERROR, "stop: '%s/probemeter' cannot be removed: %s; run as root", options->bpffs, strerror(-err));
	left = err ? 0 : pins_left(&found, LET_GO_MS, text, sizeof(text));
	if (left) {
		log_message(LOG_ERROR, "stop: %zu BPF objects are still in the kernel, such as %s: another process has them open; "
			    "'bpftool link' and 'bpftool map' say which", left, text);
		err = -EBUSY;
	} else if (!err) {
		log_message(LOG_INFO, "stop: removed %zu links and %zu maps; the kernel has none of them any more", found.links,
			    found.maps);
	}
	pins_found_free(&found);
	baselines_remove(options->run_dir);
	return err ? err : semaphores_prove();
}

/* Pins that another agent uses are not removed from under it. */
static int lock_pins(const struct options *options, int *ret)
{
	char base[PINS_PATH];
	pid_t pid = 0;
	int err = pins_base(options->bpffs, false, base);

	*ret = err ? err : lock_directory(base, &pid);
	if (*ret != -EBUSY)
		return 0;
	log_message(LOG_ERROR, "stop: the pins in '%s' are those of an agent that runs, process %d (0: not to be seen from here), with "
		    "another --run-dir; give that one's", base, pid);
	return -EBUSY;
}

int stop(const struct options *options)
{
	pid_t pid = 0;
	int held = lock_holder(options->run_dir, &pid), err = 0, lock, pins_lock;

	if (held < 0) {
		log_message(LOG_ERROR, "stop: '%s' cannot be read: %s; run as root", options->run_dir, strerror(-held));
		return 1;
	}
	if (held && !pid) {
		log_message(LOG_ERROR, "stop: the agent runs outside of this pid namespace; run stop on the host");
		return 1;
	}
	if (held)
		err = end_agent(options, pid);
	else
		log_message(LOG_INFO, "stop: no agent runs here");
	if (err || !options->detach)
		return err ? 1 : 0;
	lock = lock_take(options->run_dir, &pid);
	if (lock < 0) {
		log_message(LOG_ERROR, "stop: '%s' cannot be locked: %s; %s", options->run_dir, strerror(-lock),
			    lock == -EBUSY ? "another agent has started meanwhile: run stop again" : "run as root");
		return 1;
	}
	err = lock_pins(options, &pins_lock);
	if (!err)
		err = stop_detach(options);
	lock_release(pins_lock);
	lock_release(lock);
	return err ? 1 : 0;
}
