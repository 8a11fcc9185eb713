/* SPDX-License-Identifier: BSD-2-Clause */
#include "limiter.h"

#include <errno.h>
#include <math.h>
#include <probemeter/integr8scode.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "limit_store.h"
#include "log.h"
#include "truth.h"

#define EXPIRE_EVERY 512		/* checks */
#define EXPIRE_AGE_S 600.0

enum algorithm { TOKEN_BUCKET, SLIDING_WINDOW };

static const char *const algorithm_names[] = {
	[TOKEN_BUCKET] = "token_bucket",
	[SLIDING_WINDOW] = "sliding_window",
};

static struct rule {
	const char *group;
	enum algorithm algorithm;
	const char *priority;
	int requests;
	double seconds;
} rules[NR_LIMIT_GROUPS] = {
	[LIMIT_EXECUTION] = { "execution", TOKEN_BUCKET, "10", 20, 2 },
	[LIMIT_QUERY] = { "query", SLIDING_WINDOW, "5", 200, 2 },
	[LIMIT_SSE] = { "sse", SLIDING_WINDOW, "3", 30, 2 },
	[LIMIT_ADMIN] = { "admin", TOKEN_BUCKET, "1", 10, 2 },
};

/* By the beginning of a user's name; the last row fits everybody. */
static const struct multiplier {
	const char *prefix;
	double factor;
	const char *label;
} multipliers[] = {
	{ "premium-", 2.0, "2.0" },
	{ "trial-", 0.5, "0.5" },
	{ "", 1.0, "1.0" },
};

struct limiter {
	struct limit_store *store;
	atomic_uint checks;
	atomic_bool failing;		/* warn once per outage */
};

/* One check while it is made. */
struct check {
	const struct limit_request *request;
	const struct rule *rule;
	const struct multiplier *multiplier;
	char key[160];
	double now_s;
	int limit;
	double tokens;			/* token bucket: what is left */
};

int limiter_create(struct limit_store *store, struct limiter **ret)
{
	struct limiter *limiter = calloc(1, sizeof(*limiter));

	if (!limiter)
		return -ENOMEM;
	limiter->store = store;
	*ret = limiter;
	return 0;
}

int limiter_configure(const char *setting)
{
	double seconds;
	char group[32];
	int requests, end = 0;

	if (sscanf(setting, "%31[a-z]=%d/%lf%n", group, &requests, &seconds, &end) != 3 || setting[end] ||
	    requests < 1 || requests > 1000000 || !(seconds > 0 && seconds <= EXPIRE_AGE_S))
		return -EINVAL;
	for (int i = 0; i < NR_LIMIT_GROUPS; i++) {
		if (strcmp(rules[i].group, group))
			continue;
		rules[i].requests = requests;
		rules[i].seconds = seconds;
		return 0;
	}
	return -EINVAL;
}

static const struct multiplier *multiplier_of(const struct limit_request *request)
{
	const struct multiplier *m = multipliers;

	if (!request->authenticated)
		return &multipliers[sizeof(multipliers) / sizeof(multipliers[0]) - 1];
	while (strncmp(request->client, m->prefix, strlen(m->prefix)))
		m++;
	return m;
}

/*
 * A bucket of @limit tokens refills evenly over the rule's time; a request
 * takes one. Return: 0 with @ret filled, or -errno.
 */
static int check_bucket(struct limit_store *store, struct check *check, struct limit_verdict *ret)
{
	double per_s = check->limit / check->rule->seconds, tokens, at_s;
	int err;

	err = limit_store_hget(store, check->key, &tokens, &at_s);
	if (err == -ENOENT)
		tokens = check->limit;
	else if (err)
		return err;
	else
		tokens = fmin(check->limit, tokens + fmax(0, check->now_s - at_s) * per_s);

	ret->allowed = tokens >= 1;
	if (ret->allowed)
		tokens -= 1;
	else
		ret->retry_after_s = (int)ceil((1 - tokens) / per_s);
	ret->remaining = (int)tokens;
	check->tokens = tokens;
	err = limit_store_hset(store, check->key, tokens, check->now_s);
	return err < 0 ? err : 0;
}

/* At most @limit requests in any stretch of the rule's time. As check_bucket(). */
static int check_window(struct limit_store *store, struct check *check, struct limit_verdict *ret)
{
	double begin_s = check->now_s - check->rule->seconds, oldest_s = 0;
	int err, used;

	err = limit_store_zremrangebyscore(store, check->key, begin_s);
	if (err < 0)
		return err;
	used = limit_store_zcard(store, check->key, &oldest_s);
	if (used < 0)
		return used;
	ret->allowed = used < check->limit;
	if (!ret->allowed) {
		ret->remaining = 0;
		ret->retry_after_s = (int)ceil(oldest_s - begin_s);
		return 0;
	}
	ret->remaining = check->limit - used - 1;
	err = limit_store_zadd(store, check->key, check->now_s);
	return err < 0 ? err : 0;
}

static int check_in_store(struct limiter *limiter, struct check *check, struct limit_verdict *ret)
{
	int err, end_err;

	err = limit_store_begin(limiter->store);
	if (err)
		return err;
	if (check->rule->algorithm == TOKEN_BUCKET)
		err = check_bucket(limiter->store, check, ret);
	else
		err = check_window(limiter->store, check, ret);
	if (!err && atomic_fetch_add(&limiter->checks, 1) % EXPIRE_EVERY == EXPIRE_EVERY - 1)
		(void)limit_store_expire(limiter->store, check->now_s - EXPIRE_AGE_S);
	end_err = limit_store_end(limiter->store);
	return err ? err : end_err;
}

static void record(const struct check *check, const struct limit_verdict *verdict, double took_ms)
{
	const char *authenticated = check->request->authenticated ? "true" : "false";
	const char *endpoint = check->request->endpoint;
	const char *algorithm = algorithm_names[check->rule->algorithm];
	const char *group = check->rule->group, *priority = check->rule->priority;
	const char *multiplier = check->multiplier->label;
	double used_percent = 100.0 * (verdict->limit - verdict->remaining) / verdict->limit;

	PROBEMETER_ADD(rate_limit_requests_total, 1, authenticated, endpoint, algorithm);
	truth_add("rate_limit.requests.total", 1, authenticated, endpoint, algorithm, NULL);
	if (verdict->allowed) {
		PROBEMETER_ADD(rate_limit_allowed_total, 1, group, priority, multiplier);
		truth_add("rate_limit.allowed.total", 1, group, priority, multiplier, NULL);
	} else {
		PROBEMETER_ADD(rate_limit_rejected_total, 1, group, priority, multiplier);
		truth_add("rate_limit.rejected.total", 1, group, priority, multiplier, NULL);
	}
	PROBEMETER_RECORD(rate_limit_check_duration, took_ms, endpoint, authenticated);
	PROBEMETER_RECORD(rate_limit_remaining, (double)verdict->remaining);
	PROBEMETER_RECORD(rate_limit_quota_usage, used_percent);
	truth_record("rate_limit.check.duration", took_ms, endpoint, authenticated, NULL);
	truth_record("rate_limit.remaining", verdict->remaining, NULL);
	truth_record("rate_limit.quota.usage", used_percent, NULL);
	if (check->rule->algorithm == TOKEN_BUCKET) {
		PROBEMETER_RECORD(rate_limit_token_bucket_tokens, check->tokens, endpoint);
		truth_record("rate_limit.token_bucket.tokens", check->tokens, endpoint, NULL);
	}
}

void limiter_check(struct limiter *limiter, const struct limit_request *request, struct limit_verdict *ret)
{
	double start_s = clock_mono_s();
	struct check check = {
		.request = request,
		.rule = &rules[request->group],
		.multiplier = multiplier_of(request),
		.now_s = start_s,
	};
	int err;

	check.limit = (int)fmax(1, check.rule->requests * check.multiplier->factor);
	check.tokens = check.limit;
	snprintf(check.key, sizeof(check.key), "%s:%s", check.rule->group, request->client);
	*ret = (struct limit_verdict){ .allowed = true, .limit = check.limit, .remaining = check.limit };

	err = check_in_store(limiter, &check, ret);
	if (err) {
		*ret = (struct limit_verdict){ .allowed = true, .limit = check.limit, .remaining = check.limit };
		if (!atomic_exchange(&limiter->failing, true))
			log_warn("limiter: the store fails (%s); requests pass unlimited until it is back",
				 strerror(-err));
	} else {
		atomic_store(&limiter->failing, false);
	}
	record(&check, ret, (clock_mono_s() - start_s) * 1e3);
}

void limiter_bypass(const char *endpoint)
{
	PROBEMETER_ADD(rate_limit_bypass_total, 1, endpoint);
	truth_add("rate_limit.bypass.total", 1, endpoint, NULL);
}

void limiter_free(struct limiter *limiter)
{
	free(limiter);
}
