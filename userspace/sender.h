/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sender.h - one export at a time, beside the agent's work.
 */
#ifndef PROBEMETER_SENDER_H
#define PROBEMETER_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ship.h"
#include "split.h"

struct options;
struct sender;

/* What became of one request. */
enum delivery {
	DELIVERY_UNTRIED, /* one before it failed, or there was no time left */
	DELIVERY_DONE, /* the collector has it, also if it rejected some of its points */
	DELIVERY_REFUSED, /* an answer that the same request would get again */
	DELIVERY_FAILED, /* the collector has not got it */
	DELIVERY_UNCERTAIN, /* it may have it: the answer was lost */
};

struct sender_result {
	size_t first, count; /* its points, as in struct request */
	enum delivery delivery;
	int err; /* as ship_send() has it */
	struct ship_result ship; /* zeroed if untried */
};

/* Starts its thread. NULL if memory or threads are short. */
struct sender *sender_new(const struct options *options);

/**
 * sender_submit - send the requests of one export, in order, within the export timeout
 * @requests: bodies are copied
 *
 * After one that was not answered, or asked to come again later, the rest is not tried: the collector is down. After one
 * that was refused for good the others are sent all the same.
 *
 * Return: 0, -EBUSY while another export is under way or its results have not been taken, -ENOMEM.
 */
int sender_submit(struct sender *sender, const struct requests *requests);

/* Is an export under way, or are there results to be taken? */
bool sender_busy(struct sender *sender);

/* Readable once results or trouble are there. */
int sender_fd(const struct sender *sender);

/* How the first try of a request under way failed, as soon as that is known; then ask sender_results() too. @ret false:
 * nothing new. */
bool sender_trouble(struct sender *sender, struct ship_result *ret);

/* Results of the last export, one per request, once; they stay until the next one. Return: how many, 0: nothing new. */
size_t sender_results(struct sender *sender, const struct sender_result **ret);

/* Before the last export: cut short what is under way. It has HTTP_GRACE_MS, and its results may be taken afterwards. */
void sender_end(struct sender *sender);

/* The last export, after sender_end(): in the caller's thread, within what that has left of the export timeout. Its results
 * are there at once. @quiet_ms: as in struct ship_limit. */
int sender_flush(struct sender *sender, const struct requests *requests, uint64_t quiet_ms);

void sender_free(struct sender *sender);

#endif
