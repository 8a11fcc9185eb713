/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trial.h - find out which nop of a stub this kernel probes fastest and without losing a hit.
 */
#ifndef PROBEMETER_TRIAL_H
#define PROBEMETER_TRIAL_H

#include "attach.h"

/* Scope of the stub that trials fire: an executable that carries it is an agent and no service. */
#define TRIAL_SCOPE "probemeter.trial"

struct trial_result {
	bool counts; /* every hit was counted and nobody died */
	double ns; /* per hit, least of the runs; 0 if it was not measured */
};

struct trial {
	enum attach_way way; /* the fastest that counts; ATTACH_NOTED if no other does */
	enum kernel_links links; /* as this kernel has them */
	struct trial_result result[ATTACH_WAYS];
};

/**
 * trial_run - try each way on a stub of this very binary, in children of our own
 * @links: how to attach
 * @ret:   untouched on failure
 *
 * Loads and unloads the counting programs for itself, so that nothing of the trial is left in the agent's counts.
 *
 * Return: 0, or -errno if the programs cannot be loaded or nothing could be tried.
 */
int trial_run(enum kernel_links links, struct trial *ret);

/* Return when no hit of any probe is under way that began before the call: the kernel waits for that when it takes a probe
 * away, so a probe nobody hits is attached and taken away. Return: 0 or -errno. */
int trial_barrier(const struct kernel *kernel);

/* One line for people: the way taken and what a hit costs. */
void trial_describe(const struct trial *trial, char *ret, size_t size);

#endif
