/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * levels - a family of processes whose levels are set and added to as told.
 *
 * Commands come on stdin, each is answered by one line of JSON on stdout:
 *
 *   add N | set N | latest N | gauge X   this process's level, without labels
 *   at LABEL add N | at LABEL set N      its level with a label
 *   threads T N        T threads, each N times: +1 on one label, -1 on another, SET and then ADD on a label of its own
 *   busy T             T threads do that until the next command comes; the answer has how often each did
 *   race T N           T threads name the same N new labels at the same time, each +1 on each
 *   sets N             N label sets, +1 on each
 *   fork               a child that obeys the same commands; the answer has its number and pid
 *   tell I COMMAND     child I does COMMAND; its answer
 *   vfork MS           a child that shares this memory for MS before it ends
 *   exec               this process becomes the program anew
 *   orphan N           a child that adds N to the level and then waits, also when its parent is gone, for a minute at most;
 *                      the answer has its pid
 *   count N            N events of a counter and of a histogram
 *   eat N              touch N MiB of memory
 *   segv | abort       it dies of that
 *   way                was the kernel asked to wipe the values in children, and did it agree
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Levels"
#include <probemeter/probemeter.h>

PROBEMETER_UPDOWNCOUNTER(levels_open, "levels.open", "{thing}", "Added to and set")
PROBEMETER_UPDOWNCOUNTER(levels_labelled, "levels.labelled", "{thing}", "The same with a label", "label")
PROBEMETER_UPDOWNCOUNTER_LATEST(levels_latest, "levels.latest", "{thing}", "Only set")
PROBEMETER_GAUGE(levels_gauge, "levels.gauge", "1", "A number")
PROBEMETER_COUNTER(levels_events, "levels.events.total", "{event}", "Events", "of")
PROBEMETER_HISTOGRAM(levels_sizes, "levels.sizes", "By", "As many values", "of")

#define MAX_CHILDREN 8
#define MAX_THREADS 32
#define UNTIL_TOLD LONG_MAX

static struct child {
	FILE *to, *from;
} children[MAX_CHILDREN];
static unsigned child_count;
static char **arguments;
static FILE *in, *out;

static void commands(void);

static struct worker {
	pthread_t id;
	unsigned number;
	long n;
	int race;
} workers[MAX_THREADS];
static unsigned worker_count, arrived;
static int enough;

static void *work(void *context)
{
	struct worker *worker = context;
	char own[16], label[32];
	long i;

	(void)snprintf(own, sizeof(own), "thread-%u", worker->number);
	if (worker->race) {
		(void)__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL);
		while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < worker_count)
			(void)usleep(0);
		for (i = 0; i < worker->n; i++) {
			(void)snprintf(label, sizeof(label), "race-%ld", i);
			PROBEMETER_ADD(levels_labelled, 1, label);
		}
		return NULL;
	}
	for (i = 0; i < worker->n && !__atomic_load_n(&enough, __ATOMIC_RELAXED); i++) {
		PROBEMETER_ADD(levels_labelled, 1, "up");
		PROBEMETER_ADD(levels_labelled, -1, "down");
		PROBEMETER_SET(levels_labelled, i, own);
		PROBEMETER_ADD(levels_labelled, worker->number, own);
	}
	worker->n = i;
	return NULL;
}

static void threads(unsigned count, long n, int race)
{
	unsigned i;

	worker_count = count = count < MAX_THREADS ? count : MAX_THREADS;
	arrived = 0;
	enough = 0;
	for (i = 0; i < count; i++) {
		workers[i] = (struct worker){ .number = i, .n = n, .race = race };
		if (pthread_create(&workers[i].id, NULL, work, &workers[i]))
			exit(1);
	}
	if (n == UNTIL_TOLD) {
		struct pollfd command = { .fd = fileno(in), .events = POLLIN };

		(void)poll(&command, 1, -1);
		__atomic_store_n(&enough, 1, __ATOMIC_RELAXED);
	}
	for (i = 0; i < count; i++)
		(void)pthread_join(workers[i].id, NULL);
}

static void fork_child(void)
{
	int down[2], up[2];
	pid_t pid;

	if (child_count == MAX_CHILDREN || pipe(down) || pipe(up))
		exit(1);
	(void)fflush(NULL);
	pid = fork();
	if (!pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Nobody else keeps its input open. */
		while (child_count--) {
			(void)close(fileno(children[child_count].to));
			(void)close(fileno(children[child_count].from));
		}
		child_count = 0;
		(void)close(down[1]);
		(void)close(up[0]);
		in = fdopen(down[0], "r");
		out = fdopen(up[1], "w");
		if (!in || !out)
			_exit(1);
		commands();
		_exit(0);
	}
	(void)close(down[0]);
	(void)close(up[1]);
	children[child_count].to = fdopen(down[1], "w");
	children[child_count].from = fdopen(up[0], "r");
	fprintf(out, "{\"child\": %u, \"pid\": %d}", child_count++, pid);
}

static void orphan(long share)
{
	int added[2];
	char byte = 0;
	pid_t pid;

	if (pipe(added))
		exit(1);
	pid = fork();
	if (!pid) {
		(void)alarm(60);
		PROBEMETER_ADD(levels_open, share);
		if (write(added[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	if (read(added[0], &byte, 1) != 1)
		exit(1);
	(void)close(added[0]);
	(void)close(added[1]);
	fprintf(out, "{\"pid\": %d}", pid);
}

static void count(long events)
{
	long i;

	for (i = 0; i < events; i++) {
		PROBEMETER_ADD(levels_events, 1, "one");
		PROBEMETER_RECORD(levels_sizes, 64.0, "one");
	}
}

static void eat(long mib)
{
	char *memory = malloc((size_t)mib << 20);

	if (!memory)
		exit(1);
	memset(memory, 1, (size_t)mib << 20);
	__asm__ volatile("" ::"r"(memory) : "memory"); /* no compiler may leave it out */
	free(memory);
}

static void tell(unsigned number, const char *command)
{
	struct child *child = &children[number];
	char answer[512];

	if (number >= child_count)
		exit(1);
	fprintf(child->to, "%s\n", command);
	(void)fflush(child->to);
	if (fgets(answer, sizeof(answer), child->from)) {
		answer[strcspn(answer, "\n")] = '\0';
		fprintf(out, "%s", answer);
	} else {
		fprintf(out, "{\"gone\": %u}", number);
	}
}

static int obey(const char *line)
{
	char verb[16] = "", label[64] = "", operation[16] = "";
	double real = 0;
	long a = 0, b = 0;
	int skip = 0;

	if (sscanf(line, "at %63s %15s %ld", label, operation, &a) == 3) {
		if (!strcmp(operation, "add"))
			PROBEMETER_ADD(levels_labelled, a, label);
		else
			PROBEMETER_SET(levels_labelled, a, label);
	} else if (sscanf(line, "tell %ld %n", &a, &skip) == 1 && skip) {
		tell((unsigned)a, line + skip);
		return 1;
	} else if (sscanf(line, "gauge %lf", &real) == 1) {
		PROBEMETER_SET(levels_gauge, real);
	} else {
		(void)sscanf(line, "%15s %ld %ld", verb, &a, &b);
		if (!strcmp(verb, "add")) {
			PROBEMETER_ADD(levels_open, a);
		} else if (!strcmp(verb, "set")) {
			PROBEMETER_SET(levels_open, a);
		} else if (!strcmp(verb, "latest")) {
			PROBEMETER_SET(levels_latest, a);
		} else if (!strcmp(verb, "threads") || !strcmp(verb, "race")) {
			threads((unsigned)a, b, *verb == 'r');
		} else if (!strcmp(verb, "busy")) {
			threads((unsigned)a, UNTIL_TOLD, 0);
			fprintf(out, "{\"times\": [");
			for (b = 0; b < worker_count; b++)
				fprintf(out, "%s%ld", b ? ", " : "", workers[b].n);
			fprintf(out, "]}");
			return 1;
		} else if (!strcmp(verb, "sets")) {
			for (b = 0; b < a; b++) {
				(void)snprintf(label, sizeof(label), "set-%ld", b);
				PROBEMETER_ADD(levels_labelled, 1, label);
			}
		} else if (!strcmp(verb, "fork")) {
			fork_child();
			return 1;
		} else if (!strcmp(verb, "orphan")) {
			orphan(a);
			return 1;
		} else if (!strcmp(verb, "count")) {
			count(a);
		} else if (!strcmp(verb, "eat")) {
			eat(a);
		} else if (!strcmp(verb, "vfork")) {
			pid_t pid = vfork();

			if (!pid) {
				(void)poll(NULL, 0, (int)a);
				_exit(0);
			}
			(void)waitpid(pid, NULL, 0);
		} else if (!strcmp(verb, "exec")) {
			(void)execv("/proc/self/exe", arguments);
			exit(1);
		} else if (!strcmp(verb, "segv")) {
			(void)signal(SIGSEGV, SIG_DFL);
			(void)raise(SIGSEGV);
		} else if (!strcmp(verb, "abort")) {
			abort();
		} else if (!strcmp(verb, "way")) {
			fprintf(out, "{\"wiped\": %u}", probemeter_levels_()->wiped);
			return 1;
		} else {
			fprintf(out, "{\"error\": \"what is that?\"}");
			return 1;
		}
	}
	return 0;
}

static void commands(void)
{
	char line[512];

	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		if (!obey(line))
			fprintf(out, "{\"pid\": %d}", getpid());
		fprintf(out, "\n");
		(void)fflush(out);
	}
}

int main(int argc, char **argv)
{
	(void)argc;
	arguments = argv;
	in = stdin;
	out = stdout;
	fprintf(out, "{\"ready\": %d}\n", getpid());
	(void)fflush(out);
	commands();
	return 0;
}
