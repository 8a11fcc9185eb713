/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limit_store - the rate limiter's state, in a store that outlives requests.
 * The platform of the reference keeps it in Redis; here it is an SQLite file
 * with the same few operations under Redis's names, each timed.
 */
#ifndef SCRIPTD_LIMIT_STORE_H
#define SCRIPTD_LIMIT_STORE_H

struct limit_store;

/** limit_store_open - start with an empty store in file @path. Return: 0, -EIO (logged), -ENOMEM. */
int limit_store_open(const char *path, struct limit_store **ret);

/** limit_store_begin - the operations until limit_store_end() are one transaction of this thread */
int limit_store_begin(struct limit_store *store);

/** limit_store_end - commit */
int limit_store_end(struct limit_store *store);

/** limit_store_hget - a bucket's @tokens at @at_s. Return: 0, -ENOENT, -EIO. */
int limit_store_hget(struct limit_store *store, const char *key, double *tokens, double *at_s);

int limit_store_hset(struct limit_store *store, const char *key, double tokens, double at_s);

/** limit_store_zremrangebyscore - forget @key's entries up to @until_s */
int limit_store_zremrangebyscore(struct limit_store *store, const char *key, double until_s);

/** limit_store_zcard - how many entries, and when the @oldest_s was added. Return: count or -EIO. */
int limit_store_zcard(struct limit_store *store, const char *key, double *oldest_s);

int limit_store_zadd(struct limit_store *store, const char *key, double at_s);

/** limit_store_expire - forget whatever was last touched before @before_s */
int limit_store_expire(struct limit_store *store, double before_s);

/** limit_store_ping - does it answer? */
int limit_store_ping(struct limit_store *store);

/** limit_store_close - NULL is fine */
void limit_store_close(struct limit_store *store);

#endif
