/* SPDX-License-Identifier: BSD-2-Clause */
/* reload.h - what SIGHUP changes: the options read anew, as far as they can change while the agent runs. */
#ifndef PROBEMETER_RELOAD_H
#define PROBEMETER_RELOAD_H

#include <stdbool.h>

#include "options.h"

struct rules;

/* What was read; the caller takes each part or leaves it to reload_drop(). */
struct reload {
	struct options options; /* complete; what needs a restart is as it was at the start */
	struct rules *rules; /* as @options ask for */
	bool changed[OPTION_COUNT];
	bool sender; /* something that an exporter was made of is not what it was */
};

/**
 * reload_read - configuration, file of headers and rules, once more
 * @started: options of the start, which outlive @ret
 * @now:     those that count now: @started, or those of the last reload
 *
 * Says in the log what changed, and of what cannot change that it needs a restart; or what is wrong, and then nothing may
 * change.
 *
 * Return: 0, or a negative errno and nothing to drop.
 */
int reload_read(const struct options *started, const struct options *now, struct reload *ret);

void reload_drop(struct reload *reload);

#endif
