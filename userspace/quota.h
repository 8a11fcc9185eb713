/* SPDX-License-Identifier: BSD-2-Clause */
/* quota.h - so that one owner cannot take what all share. */
#ifndef PROBEMETER_QUOTA_H
#define PROBEMETER_QUOTA_H

#include <stdbool.h>
#include <stddef.h>

struct quota;

/* @limit: of all owners together; one gets at most half of it. NULL if memory is short. */
struct quota *quota_new(size_t limit);

/* Take @amount for @owner, a pointer that is only compared. Return: false, and nothing is taken, if that is too much, or if
 * memory is short. */
bool quota_take(struct quota *quota, const void *owner, size_t amount);

/* What @owner has, or with NULL all together. */
size_t quota_taken(const struct quota *quota, const void *owner);

/* @owner has so much less. */
void quota_return(struct quota *quota, const void *owner, size_t amount);

/* @owner has nothing any more. */
void quota_give(struct quota *quota, const void *owner);

/* Nobody has anything. */
void quota_reset(struct quota *quota);
void quota_free(struct quota *quota);

#endif
