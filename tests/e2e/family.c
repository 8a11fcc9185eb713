/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * family - a service of three linked objects that forks: a program, a library linked to it and one that it loads.
 *
 * Compiled three times by family.py, PART being "program", "linked" or "loaded". Each object has stubs, guard and
 * semaphores of its own for the same three metrics. Every event is counted in memory that all processes share, behind the
 * last of the three, so the truth survives whoever dies.
 *
 * family LIBRARY PLACE PLACE, the latter the offsets of the fast nops in a stub. Commands on stdin:
 *
 *   fork hot|quiet CHILDREN EVENTS   the master's threads fire from every object before and while it forks (hot) or never
 *                                    (quiet). Each child fires EVENTS times from every object while it forks a child of
 *                                    its own, which does the same without forking. Answered by one line of JSON
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Family"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(family_count, "family.count", "{event}", "Events by who fired them from where", "who", "part")
PROBEMETER_HISTOGRAM(family_time, "family.time", "s", "Values at default bounds", "who", "part")
PROBEMETER_HISTOGRAM_BOUNDS(family_size, "family.size", "By", "Values at a declared bound", (1, 10, 100), "who", "part")

/* Which way the events of a process go, by its guard and by the bytes of its text: not asked of anybody. */
enum way { SLOW, UNPROBED, TRAP, CALL, WAYS };

struct part {
	const char *name;
	void (*fire)(const char *who);
	enum way (*way)(const unsigned place[2]);
};

/* ABI.md: 1 in a process that may take the fast way; and the stubs. */
extern unsigned char probemeter_home[4096] __attribute__((visibility("hidden")));
extern const unsigned char probemeter_site_family_count[] __attribute__((visibility("hidden")));
extern const unsigned char probemeter_site_family_time[] __attribute__((visibility("hidden")));

static void fire(const char *who)
{
	PROBEMETER_ADD(family_count, 1, who, PART);
	PROBEMETER_RECORD(family_time, 0.25, who, PART);
	PROBEMETER_RECORD(family_size, 10, who, PART);
}

/* A breakpoint is cc. Neither nop begins with it, and what else stands there is the kernel's call. */
static enum way way_of(const volatile unsigned char *stub, const unsigned place[2])
{
	unsigned char five = stub[place[0]], ten = stub[place[1]];

	if (five == 0x0f && ten == 0x66)
		return UNPROBED;
	return five == 0xcc || ten == 0xcc ? TRAP : CALL;
}

static enum way way(const unsigned place[2])
{
	enum way count = way_of(probemeter_site_family_count, place), time = way_of(probemeter_site_family_time, place);

	if (!probemeter_home[0])
		return SLOW;
	return count < time ? count : time;
}

#define PART_NAME(a) family_part_##a
#define PART_SYMBOL(a) PART_NAME(a)
extern const struct part PART_SYMBOL(PART_ID);
const struct part PART_SYMBOL(PART_ID) = { PART, fire, way };

#ifdef PROGRAM

enum who { MASTER, CHILD, GRANDCHILD, WHO };
static const char *const who_name[WHO] = { "master", "child", "grandchild" };
static const char *const way_name[WAYS] = { "slow", "unprobed", "trap", "call" };

extern const struct part family_part_linked;
#define PARTS 3
static const struct part *part[PARTS] = { &family_part_program, &family_part_linked };
static unsigned place[2];

static struct truth {
	unsigned long fired[WHO][PARTS];
	unsigned long way[WHO][PARTS][WAYS];
	unsigned long processes, died;
	int last_status;
} *truth;

#define OUTSTANDING 8 /* children at a time: a family, not a flood */

static volatile int stop;

static void fire_from(enum who who, unsigned from)
{
	part[from]->fire(who_name[who]);
	(void)__atomic_add_fetch(&truth->fired[who][from], 1, __ATOMIC_RELAXED);
}

static void note_ways(enum who who)
{
	unsigned i;

	for (i = 0; i < PARTS; i++)
		(void)__atomic_add_fetch(&truth->way[who][i][part[i]->way(place)], 1, __ATOMIC_RELAXED);
}

static pid_t forked(void)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("family: fork");
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

/* A thread of the hot master: every object in turn, from one of its own. */
static void *master_main(void *context)
{
	unsigned from = *(unsigned *)context;

	for (; !stop; from = (from + 1) % PARTS)
		fire_from(MASTER, from);
	return NULL;
}

static void fire_all(enum who who, unsigned long events)
{
	unsigned long i;

	for (i = 0; i < events * PARTS; i++)
		fire_from(who, (unsigned)(i % PARTS));
}

static void *child_main(void *context)
{
	fire_all(CHILD, *(unsigned long *)context);
	return NULL;
}

static void child(unsigned long events)
{
	pthread_t id;
	pid_t pid;

	if (pthread_create(&id, NULL, child_main, &events))
		exit(1);
	pid = forked();
	if (!pid) {
		fire_all(GRANDCHILD, events);
		note_ways(GRANDCHILD);
		_exit(0);
	}
	(void)pthread_join(id, NULL);
	note_ways(CHILD);
	reap(pid);
}

static void command_fork(int hot, unsigned children, unsigned long events)
{
	static unsigned from[PARTS] = { 0, 1, 2 };
	pid_t outstanding[OUTSTANDING] = { 0 };
	pthread_t id[PARTS];
	unsigned i;

	stop = 0;
	if (hot)
		fire_all(MASTER, 10); /* so that its text is patched when the first child is forked */
	for (i = 0; hot && i < PARTS; i++)
		if (pthread_create(&id[i], NULL, master_main, &from[i]))
			exit(1);
	for (i = 0; i < children + OUTSTANDING; i++) {
		pid_t *slot = &outstanding[i % OUTSTANDING];

		if (*slot)
			reap(*slot);
		*slot = i < children ? forked() : 0;
		if (i < children && !*slot) {
			child(events);
			_exit(0);
		}
	}
	stop = 1;
	for (i = 0; hot && i < PARTS; i++)
		(void)pthread_join(id[i], NULL);
	if (hot)
		note_ways(MASTER);
}

static void answer(void)
{
	unsigned who, from, at;

	printf("{\"fired\": [");
	for (who = 0; who < WHO; who++)
		for (from = 0; from < PARTS; from++)
			printf("%s[\"%s\", \"%s\", %lu]", who || from ? ", " : "", who_name[who], part[from]->name,
			       truth->fired[who][from]);
	printf("], \"ways\": [");
	for (who = 0; who < WHO; who++)
		for (from = 0; from < PARTS; from++)
			for (at = 0; at < WAYS; at++)
				printf("%s[\"%s\", \"%s\", \"%s\", %lu]", who || from || at ? ", " : "", who_name[who],
				       part[from]->name, way_name[at], truth->way[who][from][at]);
	printf("], \"processes\": %lu, \"died\": %lu, \"last_status\": %d}\n", truth->processes, truth->died, truth->last_status);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	void *loaded = argc == 4 ? dlopen(argv[1], RTLD_NOW) : NULL;
	char line[128], how[16];
	unsigned long events;
	unsigned children;

	part[2] = loaded ? dlsym(loaded, "family_part_loaded") : NULL;
	if (!part[2]) {
		fprintf(stderr, "family: %s\n", argc == 4 ? dlerror() : "usage: family LIBRARY PLACE PLACE");
		return 1;
	}
	place[0] = (unsigned)strtoul(argv[2], NULL, 10);
	place[1] = (unsigned)strtoul(argv[3], NULL, 10);
	truth = mmap(NULL, sizeof(*truth), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (truth == MAP_FAILED)
		return 1;
	printf("{\"ready\": %d}\n", getpid());
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "fork %15s %u %lu", how, &children, &events) != 3)
			return 2;
		memset(truth, 0, sizeof(*truth));
		command_fork(!strcmp(how, "hot"), children, events);
		answer();
	}
	return 0;
}

#endif
