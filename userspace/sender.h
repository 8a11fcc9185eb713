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

struct options;
struct sender;

/* Starts its thread. NULL if memory or threads are short. */
struct sender *sender_new(const struct options *options);

/**
 * sender_submit - send a request body
 * @body: copied
 *
 * Return: 0, -EBUSY while another one is under way, -ENOMEM.
 */
int sender_submit(struct sender *sender, const uint8_t *body, size_t size);

/* Readable once a result is there. */
int sender_fd(const struct sender *sender);

/* What became of the last one; 0 if delivered, else -errno as ship_send() has it. @ret false: nothing new. */
bool sender_result(struct sender *sender, int *ret_err, struct ship_result *ret);

/**
 * sender_flush - at the end: cut short what is under way and send this one within the export timeout
 *
 * Return: as ship_send().
 */
int sender_flush(struct sender *sender, const uint8_t *body, size_t size, struct ship_result *ret);

void sender_free(struct sender *sender);

#endif
