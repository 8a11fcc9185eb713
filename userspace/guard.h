/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard.h - a process beside the agent that goes on to protect attached files when the agent is gone.
 */
#ifndef PROBEMETER_GUARD_H
#define PROBEMETER_GUARD_H

#include <stdbool.h>
#include <stdint.h>

struct guard;
struct pins;

/* The name, argv[0], by which main() knows what it is. */
#define GUARD_NAME "probemeter-guard"

/* Start one for the links of @pins, which are persistent and outlive @ret. Return: 0 or -errno. */
int guard_start(const struct pins *pins, const char *run_dir, struct guard **ret);

/* Protect file @fd, attached as @number; or, with @fd -1, no more. */
int guard_file(struct guard *guard, uint32_t number, int fd);

/* Is it there? If not, free it and start another one, and tell that of every file. */
bool guard_lives(const struct guard *guard);

/* Let go of it: from now on it is alone. */
void guard_free(struct guard *guard);

/* Wait, at most @wait_ms, until no probe is in file @fd any more, whoever's. Return: false if there is still one. */
bool guard_clean(int fd, unsigned wait_ms);

/* What the process does: @argv is GUARD_NAME, bpffs, directory of the set, run directory; a socket of the agent's is
 * descriptor 0. Return: exit code. */
int guard_main(int argc, char **argv);

#endif
