/* SPDX-License-Identifier: BSD-2-Clause */
/* ticker - a thread that calls a function at once, and then in a period, until stopped. */
#ifndef SCRIPTD_TICKER_H
#define SCRIPTD_TICKER_H

struct ticker;

typedef void ticker_fn(void *ctx);

/** ticker_start - Return: 0 or -errno */
int ticker_start(double period_s, ticker_fn *fn, void *ctx, struct ticker **ret);

/** ticker_stop - wait for a call under way, end the thread, free; NULL is fine */
void ticker_stop(struct ticker *ticker);

#endif
