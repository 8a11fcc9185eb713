/* SPDX-License-Identifier: BSD-2-Clause */
/* answer.h - what the agent's main thread does for those who ask. */
#ifndef PROBEMETER_ANSWER_H
#define PROBEMETER_ANSWER_H

#include "collect.h"
#include "serve.h"
#include "view.h"

struct options;
struct answers;

/**
 * answers_new - listen where @options say, and serve
 *
 * What cannot be listened on is said in the log, and the agent works without it; but for the port of exporter prometheus
 * if there is no other exporter.
 *
 * Return: 0, -ENOMEM, or -errno if the port is all there is to do and cannot be had.
 */
int answers_new(const struct options *options, struct answers **ret);

/* Exporter prometheus' state to the exporters of @view, if it has a port. */
void answers_describe(const struct answers *answers, struct view *view);

/* Poll this for input, and then, or when due, call answers_give(). */
int answers_fd(const struct answers *answers);
uint64_t answers_due(const struct answers *answers);

/* What an answer is made from. With @noop set in @view there is no collector. */
struct answers_source {
	struct collector *collector;
	const struct discovery *discovery;
	const struct self *self;
	/* Called once before a collection: brings @discovery up to date. */
	void (*settle)(void *context);
	/* Fills in the rest of @view. */
	void (*describe)(void *context, struct view *view);
	void *context;
};

/* Answer whoever waits, if it is time. Return: true if somebody who may do so told the agent to end. */
bool answers_give(struct answers *answers, const struct answers_source *source);

void answers_set_ready(struct answers *answers);

void answers_free(struct answers *answers);

#endif
