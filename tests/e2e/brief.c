/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * brief - fires at once, and ends at once unless told to stay.
 *
 *   brief [--title] [--hide] [--veil] [--fork N] [--user UID] [--drop UID] [--stay] COUNT
 *
 * COUNT events of a counter, and a level set to COUNT, in this process and in each of N children. --title first writes
 * over arguments and environment, as programs do to show a title in ps. --hide makes the environment unreadable, but for what lies
 * on the first page of it. --veil: COUNT events more, before the others, while a page of the environment cannot be read; PAD
 * stands there, longer than two pages. --user becomes that user before it fires; with --drop the children do, and the
 * parent stays who it is.
 * --stay: print "ready" and wait for the end of stdin; a number there is so many more events, and another "ready".
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <probemeter/probemeter.h>

#define PROBEMETER_SCOPE "EndToEnd"

PROBEMETER_COUNTER(brief_total, "brief.total", "{event}", "Events fired")
PROBEMETER_UPDOWNCOUNTER(brief_level, "brief.level", "{event}", "What was asked for")

extern char **environ;

static void title_set(char **argv)
{
	char *end = argv[0], **at;

	for (at = argv; *at; at++)
		end = *at + strlen(*at);
	for (at = environ; *at; at++)
		end = *at + strlen(*at);
	memset(argv[0], 'T', (size_t)(end - argv[0]));
}

static int environment_hide(void)
{
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE), begin = ((unsigned long)environ[0] | (page - 1)) + 1, end = begin;
	char **at;

	for (at = environ; *at; at++)
		end = ((unsigned long)*at + strlen(*at)) | (page - 1);
	return end < begin ? -1 : mprotect((void *)begin, end + 1 - begin, PROT_NONE);
}

/* Who may look at the second page of PAD. */
static void veil(int protection)
{
	uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE), page = ((uintptr_t)getenv("PAD") + size) & ~(size - 1);

	if (mprotect((void *)page, size, protection)) {
		perror("brief: mprotect");
		exit(4);
	}
}

static void fire(long count, int veiled)
{
	long i;

	if (veiled) {
		veil(PROT_NONE);
		for (i = 0; i < count; i++)
			PROBEMETER_ADD(brief_total, 1);
		veil(PROT_READ | PROT_WRITE);
	}
	for (i = 0; i < count; i++)
		PROBEMETER_ADD(brief_total, 1);
	PROBEMETER_SET(brief_level, count);
}

int main(int argc, char **argv)
{
	int title = 0, hide = 0, veiled = 0, stay = 0, forks = 0, i;
	long count = 0, user = -1, drop = -1;
	char line[16];

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--title"))
			title = 1;
		else if (!strcmp(argv[i], "--hide"))
			hide = 1;
		else if (!strcmp(argv[i], "--veil"))
			veiled = 1;
		else if (!strcmp(argv[i], "--stay"))
			stay = 1;
		else if (!strcmp(argv[i], "--fork"))
			forks = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--user"))
			user = atol(argv[++i]);
		else if (!strcmp(argv[i], "--drop"))
			drop = atol(argv[++i]);
		else
			count = atol(argv[i]);
	}
	if (title)
		title_set(argv);
	if (hide && environment_hide())
		return 2;
	if (user >= 0 && setresuid((uid_t)user, (uid_t)user, (uid_t)user))
		return 2;
	while (forks && fork())
		forks--;
	/* Children have left the loop before it came to 0. */
	if (forks && drop >= 0 && setresuid((uid_t)drop, (uid_t)drop, (uid_t)drop))
		return 2;
	fire(count, veiled);
	if (stay) {
		do {
			if (write(STDOUT_FILENO, "ready\n", 6) != 6)
				return 3;
			if (!fgets(line, sizeof(line), stdin))
				break;
			fire(atol(line), veiled);
		} while (1);
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
