/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forker - a master that forks workers which fork, while threads go on firing on all sides.
 *
 * Every event is counted in shared memory right after it was fired, so the truth survives whoever dies. Commands come on
 * stdin, each is answered by one line of JSON on stdout:
 *
 *   fork hot|quiet WORKERS EVENTS   the master fires before and while it forks (hot) or never (quiet). Each worker fires
 *                                   EVENTS from two threads while it forks two more, which do the same without forking
 *   race TIMES                      TIMES new masters, which begin to fire in two threads while a third one forks
 *   vfork TIMES                     TIMES vfork, an event in the shared memory, and exec of this program, which fires
 *   spawn TIMES                     the same by posix_spawn()
 *
 * forker --no-wipe makes the kernel refuse MADV_WIPEONFORK first, as a strict sandbox would: every stub is on its slow way.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Forker"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(forker_count, "forker.count", "{event}", "Events by who fired them", "who")
PROBEMETER_HISTOGRAM(forker_time, "forker.time", "s", "Values by who recorded them", "who")

extern char **environ;

/* The stub's guard (ABI.md): 1 in a process that may take the fast way. */
#ifdef __x86_64__
extern unsigned char probemeter_home[4096] __attribute__((visibility("hidden")));
#else
static const unsigned char probemeter_home[] = { 0 }; /* there is one way */
#endif

enum who { MASTER, WORKER, GRANDCHILD, VFORKED, EXECUTED, WHO };
static const char *const who_name[WHO] = { "master", "worker", "grandchild", "vforked", "executed" };

#define TRUTH_FD 100 /* kept over exec */
static struct truth {
	unsigned long fired[WHO];
	unsigned long processes, died, fast[WHO], slow[WHO];
	int last_status;
} *truth;

static volatile int stop;

static void fire(enum who who)
{
	PROBEMETER_ADD(forker_count, 1, who_name[who]);
	PROBEMETER_RECORD(forker_time, 0.25, who_name[who]);
	(void)__atomic_add_fetch(&truth->fired[who], 1, __ATOMIC_RELAXED);
}

static void note_way(enum who who)
{
	(void)__atomic_add_fetch(probemeter_home[0] ? &truth->fast[who] : &truth->slow[who], 1, __ATOMIC_RELAXED);
}

static pid_t must(pid_t pid)
{
	if (pid < 0) {
		perror("forker: fork");
		exit(1);
	}
	if (pid)
		(void)__atomic_add_fetch(&truth->processes, 1, __ATOMIC_RELAXED);
	return pid;
}

static void reap(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status) {
		(void)__atomic_add_fetch(&truth->died, 1, __ATOMIC_RELAXED);
		truth->last_status = status;
	}
}

struct load {
	pthread_t id;
	enum who who;
	unsigned long events; /* 0: until `stop` */
};

static void *load_main(void *context)
{
	struct load *load = context;
	unsigned long i;

	for (i = 0; load->events ? i < load->events : !stop; i++)
		fire(load->who);
	return NULL;
}

static void load_start(struct load *load, enum who who, unsigned long events)
{
	*load = (struct load){ .who = who, .events = events };
	if (pthread_create(&load->id, NULL, load_main, load))
		exit(1);
}

/* In a worker: two threads fire, two children are forked meanwhile and do the same. */
static void worker(unsigned long events)
{
	struct load load[2];
	pid_t child[2];
	unsigned i;

	for (i = 0; i < 2; i++)
		load_start(&load[i], WORKER, events);
	for (i = 0; i < 2; i++) {
		child[i] = must(fork());
		if (!child[i]) {
			for (i = 0; i < 2; i++)
				load_start(&load[i], GRANDCHILD, events);
			for (i = 0; i < 2; i++)
				(void)pthread_join(load[i].id, NULL);
			note_way(GRANDCHILD);
			_exit(0);
		}
	}
	for (i = 0; i < 2; i++)
		(void)pthread_join(load[i].id, NULL);
	note_way(WORKER);
	for (i = 0; i < 2; i++)
		reap(child[i]);
}

static void command_fork(int hot, unsigned workers, unsigned long events)
{
	pid_t *child = calloc(workers, sizeof(*child));
	struct load load[2];
	unsigned i;

	if (!child)
		exit(1);
	stop = 0;
	for (i = 0; hot && i < 1000; i++)
		fire(MASTER);
	for (i = 0; hot && i < 2; i++)
		load_start(&load[i], MASTER, 0);
	for (i = 0; i < workers; i++) {
		child[i] = must(fork());
		if (!child[i]) {
			worker(events);
			_exit(0);
		}
	}
	for (i = 0; i < workers; i++)
		reap(child[i]);
	stop = 1;
	for (i = 0; hot && i < 2; i++)
		(void)pthread_join(load[i].id, NULL);
	if (hot)
		note_way(MASTER);
	free(child);
}

/* One new master: its first events and its first forks at the same time. */
static void race_master(void)
{
	struct load load[2];
	pid_t child[8];
	unsigned i, j;

	stop = 0;
	for (i = 0; i < 2; i++)
		load_start(&load[i], MASTER, 300);
	for (i = 0; i < 8; i++) {
		child[i] = must(fork());
		if (!child[i]) {
			for (j = 0; j < 20; j++)
				fire(WORKER);
			note_way(WORKER);
			_exit(0);
		}
	}
	for (i = 0; i < 8; i++)
		reap(child[i]);
	for (i = 0; i < 2; i++)
		(void)pthread_join(load[i].id, NULL);
}

/* This program anew: with its truth, and @task to do. */
static void anew(const char *task)
{
	char *arguments[] = { "forker", (char *)(uintptr_t)task, NULL };

	(void)execv("/proc/self/exe", arguments);
	_exit(127);
}

static void command_race(unsigned times)
{
	unsigned i;
	pid_t pid;

	for (i = 0; i < times; i++) {
		pid = must(fork());
		if (!pid)
			anew("--race");
		reap(pid);
	}
}

/* Apart, so that the child has no variable of the loop's to spoil. */
static __attribute__((noinline)) pid_t vfork_and_exec(void)
{
	pid_t pid = vfork();

	if (!pid) {
		fire(VFORKED);
		anew("--executed");
	}
	return pid;
}

static void command_vfork(unsigned times)
{
	unsigned i;

	for (i = 0; i < times; i++) {
		fire(MASTER);
		reap(must(vfork_and_exec()));
	}
}

static void command_spawn(unsigned times)
{
	char *arguments[] = { "forker", "--executed", NULL };
	unsigned i;
	pid_t pid;

	for (i = 0; i < times; i++) {
		fire(MASTER);
		if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ))
			exit(1);
		reap(must(pid));
	}
}

static void print_counts(const char *name, const unsigned long *count)
{
	unsigned i, printed = 0;

	printf("\"%s\": {", name);
	for (i = 0; i < WHO; i++)
		if (count[i])
			printf("%s\"%s\": %lu", printed++ ? ", " : "", who_name[i], count[i]);
	printf("}, ");
}

static void answer(void)
{
	printf("{");
	print_counts("fired", truth->fired);
	print_counts("fast", truth->fast);
	print_counts("slow", truth->slow);
	printf("\"processes\": %lu, \"died\": %lu, \"last_status\": %d}\n", truth->processes, truth->died, truth->last_status);
	(void)fflush(stdout);
}

/* From now on madvise(, , MADV_WIPEONFORK) is refused, also after exec. */
static void refuse_wipe(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_WIPEONFORK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0)) {
		perror("forker: seccomp");
		exit(1);
	}
}

static void truth_open(void)
{
	if (fcntl(TRUTH_FD, F_GETFD) < 0) {
		int fd = memfd_create("truth", 0);

		if (fd < 0 || ftruncate(fd, sizeof(*truth)) || dup2(fd, TRUTH_FD) < 0)
			exit(1);
		(void)close(fd);
	}
	truth = mmap(NULL, sizeof(*truth), PROT_READ | PROT_WRITE, MAP_SHARED, TRUTH_FD, 0);
	if (truth == MAP_FAILED)
		exit(1);
}

int main(int argc, char **argv)
{
	char line[128], verb[16], how[16];
	unsigned long a, b;
	unsigned i;

	if (argc > 1 && !strcmp(argv[1], "--no-wipe")) {
		refuse_wipe();
		anew("--refused");
	}
	truth_open();
	if (argc > 1 && !strcmp(argv[1], "--race")) {
		race_master();
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "--executed")) {
		for (i = 0; i < 50; i++)
			fire(EXECUTED);
		return 0;
	}
	printf("{\"ready\": %d}\n", getpid());
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		a = b = 0;
		memset(truth, 0, sizeof(*truth));
		if (sscanf(line, "fork %15s %lu %lu", how, &a, &b) == 3)
			command_fork(!strcmp(how, "hot"), (unsigned)a, b);
		else if (sscanf(line, "%15s %lu", verb, &a) == 2 && !strcmp(verb, "race"))
			command_race((unsigned)a);
		else if (!strcmp(verb, "vfork"))
			command_vfork((unsigned)a);
		else if (!strcmp(verb, "spawn"))
			command_spawn((unsigned)a);
		answer();
	}
	return 0;
}
