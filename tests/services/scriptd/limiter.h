/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limiter - may this client make this request now? Each group of endpoints has
 * a rule: a token bucket or a sliding window, so many requests in so many
 * seconds, times the client's multiplier.
 */
#ifndef SCRIPTD_LIMITER_H
#define SCRIPTD_LIMITER_H

#include <stdbool.h>

struct limit_store;
struct limiter;

enum limit_group { LIMIT_EXECUTION, LIMIT_QUERY, LIMIT_SSE, LIMIT_ADMIN, NR_LIMIT_GROUPS, LIMIT_BYPASS = -1 };

struct limit_request {
	enum limit_group group;
	const char *endpoint;		/* label: the route's pattern */
	const char *client;		/* user, or address of an anonymous one */
	bool authenticated;
};

struct limit_verdict {
	bool allowed;
	int limit, remaining;
	int retry_after_s;		/* when not allowed */
};

int limiter_create(struct limit_store *store, struct limiter **ret);

/** limiter_configure - "group=requests/seconds". Return: 0 or -EINVAL. */
int limiter_configure(const char *setting);

/** limiter_check - take one request from @request's client's quota; a store that fails lets it pass */
void limiter_check(struct limiter *limiter, const struct limit_request *request, struct limit_verdict *ret);

/** limiter_bypass - count a request to an endpoint that is never limited */
void limiter_bypass(const char *endpoint);

/** limiter_free - NULL is fine */
void limiter_free(struct limiter *limiter);

#endif
