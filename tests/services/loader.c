/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader - opens and closes libraries as told; it and they fire the same metrics.
 *
 * Commands come on stdin, each is answered by one line of JSON on stdout. I is 0 for the program itself, else the number
 * of a library (tests/e2e/plugin.c):
 *
 *   open I PATH      dlopen(); the answer says where its code lies
 *   close I          dlclose()
 *   listened I       wait until somebody listens to it, at most 20 s; the answer says for how many ms
 *   fire I FROM N    N events and N values, with label FROM
 *   change I FROM N  add N to the level with label FROM
 *   fork             a child takes over, the parent waits for its end
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../e2e/plugin.h"

#define MAX_LIBRARIES 8

static struct library {
	void *handle;
	void (*fire)(const char *, long);
	void (*change)(const char *, long);
	int (*listened)(void);
} libraries[MAX_LIBRARIES];

static void own_fire(const char *from, long count)
{
	for (long i = 0; i < count; i++) {
		PROBEMETER_ADD(plugin_events, 1, from);
		PROBEMETER_RECORD(plugin_size, 64.0, from);
	}
}

static void own_change(const char *from, long change)
{
	PROBEMETER_ADD(plugin_open, change, from);
}

static int own_listened(void)
{
	return PROBEMETER_ENABLED(plugin_events) && PROBEMETER_ENABLED(plugin_size);
}

static double now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void library_open(struct library *library, const char *path)
{
	library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library->handle) {
		(void)fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	*(void **)&library->fire = dlsym(library->handle, "plugin_fire");
	*(void **)&library->change = dlsym(library->handle, "plugin_change");
	*(void **)&library->listened = dlsym(library->handle, "plugin_listened");
	(void)printf("{\"at\": %llu}\n", (unsigned long long)(uintptr_t)library->fire);
}

static void wait_for_listener(const struct library *library)
{
	double start = now_ms();

	while (!library->listened() && now_ms() - start < 20000)
		(void)usleep(200);
	(void)printf("{\"ms\": %.3f}\n", now_ms() - start);
}

static int command(char *line)
{
	char *verb = strtok(line, " \n"), *number = strtok(NULL, " \n"), *first = strtok(NULL, " \n"), *second = strtok(NULL, " \n");
	struct library *library = &libraries[number ? strtoul(number, NULL, 10) % MAX_LIBRARIES : 0];

	if (verb && !strcmp(verb, "open") && first) {
		library_open(library, first);
	} else if (verb && !strcmp(verb, "close")) {
		(void)printf("{\"closed\": %d}\n", dlclose(library->handle));
	} else if (verb && !strcmp(verb, "listened")) {
		wait_for_listener(library);
	} else if (verb && !strcmp(verb, "fire") && second) {
		library->fire(first, strtol(second, NULL, 10));
		(void)printf("{\"fired\": %s}\n", second);
	} else if (verb && !strcmp(verb, "change") && second) {
		library->change(first, strtol(second, NULL, 10));
		(void)printf("{\"changed\": %s}\n", second);
	} else if (verb && !strcmp(verb, "fork")) {
		pid_t child = fork();

		if (child > 0) {
			(void)waitpid(child, NULL, 0);
			_exit(0);
		}
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)printf("{\"pid\": %d}\n", getpid());
	} else {
		return 1;
	}
	return 0;
}

int main(void)
{
	char line[4200];

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	libraries[0] = (struct library){ NULL, own_fire, own_change, own_listened };
	(void)printf("{\"pid\": %d}\n", getpid());
	while (fgets(line, sizeof(line), stdin))
		if (command(line))
			return 2;
	return 0;
}
