/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names.h - the label values of kernel-side series, read once each.
 */
#ifndef PROBEMETER_NAMES_H
#define PROBEMETER_NAMES_H

#include "points.h"
#include "snapshot.h"

struct names;

struct names *names_new(void);
void names_free(struct names *names);

/**
 * names_get - label values of a series, valid UTF-8
 * @metric: says how many
 * @ret:    array of metric->label_count strings that live until names_forget()
 *
 * Return: 0, -ENOENT while the kernel has not got all of them, -ENOMEM.
 */
int names_get(struct names *names, const struct kernel *kernel, const struct raw_series *series,
	      const struct metric *metric, const char *const **ret);

/* Note that events of this series were exported in the overflow series because it had no name; true from then on. What
 * was counted without a name must stay there, or the overflow series would step back. Return: 0 or -ENOMEM. */
int names_spill(struct names *names, const struct raw_series *series);
bool names_spilled(const struct names *names, const struct raw_series *series);

/* Keep nothing of the services that @gone (shape [PM_MAX_SERVICES]) names. */
void names_forget(struct names *names, const bool *gone);

#endif
