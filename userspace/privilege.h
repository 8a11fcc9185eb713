/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * privilege.h - what the agent must be allowed to do, whether it is, and giving up the rest.
 */
#ifndef PROBEMETER_PRIVILEGE_H
#define PROBEMETER_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Who keeps what. */
enum privilege_user {
	PRIVILEGE_AGENT,
	PRIVILEGE_AGENT_EVENTS, /* one whose links are perf events */
	PRIVILEGE_GUARD, /* see guard.h */
};

struct privilege {
	int capability;
	const char *name;
	const char *why; /* "to ..." */
	bool guard; /* the guard (guard.h) needs it, too */
	bool events; /* only where links are perf events */
	bool optional;
	const char *without; /* of an optional one: what is not as good then */
};

extern const struct privilege privileges[];
extern const size_t privilege_count;

/* Is this one effective now? CAP_SYS_ADMIN stands for those that were split off from it. */
bool privilege_held(const struct privilege *privilege);

/* The needed ones that are not held, each with what it is for, separated by "; ". Return: how many. */
size_t privilege_missing(char *ret, size_t size);

/**
 * privilege_drop - keep what the table names and is held now, for good: nothing this process does brings back the rest
 * @user: by whom
 *
 * Effective, permitted and (with CAP_SETPCAP) bounding sets are cut to the table, inheritable and ambient ones emptied, and
 * no_new_privs is set. For the calling thread and those that it starts.
 *
 * Return: 0 or -errno.
 */
int privilege_drop(enum privilege_user user);

/* May probes be attached by perf events? Linux asks for more than CAP_PERFMON there. */
bool privilege_events(void);

/* In a child that is about to become the guard: let what it needs, as far as it is held, survive the exec of any user.
 * Allocates nothing and locks nothing. Return: 0 or -errno. */
int privilege_pass(void);

/* The table as Markdown. */
void privilege_document(FILE *out);

#endif
