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
	double ns; /* per hit, median of the runs; 0 if it was not measured */
};

/**
 * trial_run - try each way on a stub of this very binary, in children of our own
 * @ret_way:    the fastest way that counts; ATTACH_NOTED if no other does
 * @ret_result: what was found, by way
 *
 * Return: 0, or -errno if nothing could be tried (then @ret_way is ATTACH_NOTED).
 */
int trial_run(const struct kernel *kernel, enum attach_way *ret_way, struct trial_result ret_result[ATTACH_WAYS]);

#endif
