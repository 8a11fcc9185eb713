/* SPDX-License-Identifier: BSD-2-Clause */
/* patience.h - to wait for what may never end, for a while. */
#ifndef PROBEMETER_PATIENCE_H
#define PROBEMETER_PATIENCE_H

struct patience;

/**
 * patience_begin - do @work(@argument) in a thread, and wait for its end for at most @ms
 *
 * Return: 0 when it is done; -ETIMEDOUT if it still runs: then @argument belongs to it until patience_over(); -errno.
 */
int patience_begin(void (*work)(void *argument), void *argument, unsigned ms, struct patience **ret);

/* Is it done by now? Then @patience is freed. Return: 1 or 0. */
int patience_over(struct patience *patience);

#endif
