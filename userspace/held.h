/* SPDX-License-Identifier: BSD-2-Clause */
/* held.h - what a running agent holds, as rows for people, with what came before. */
#ifndef PROBEMETER_HELD_H
#define PROBEMETER_HELD_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELD_PAST 60
#define HELD_COLUMN_S 10 /* that one number of the past is about, as in history.h */

enum held_kind { HELD_COUNTER, HELD_LEVEL, HELD_GAUGE, HELD_HISTOGRAM };

/* One series. All texts are printable: what a service chose can do nothing to a terminal. */
struct held_row {
	uint64_t key;
	size_t service; /* place in held.service */
	enum held_kind kind;
	const char *metric, *unit;
	const char *labels, *values; /* "region=eu tier=gold", "eu, gold" */
	double value; /* a histogram: how many */
	double rate; /* per second since the snapshot before; NAN: not known, or none */
	double p50, p99; /* NAN: none */
	bool above50, above99; /* larger than that */
	double past[HELD_PAST]; /* rates, or values of what has none; NAN: not known. The last one goes on */
	size_t past_count;
	double base; /* the value when the last one began */
};

struct held_service {
	const char *name;
	bool agent; /* the agent itself */
	unsigned processes;
	double rate; /* of all its series */
};

/* Lines that the agent says about itself. */
struct held_note {
	const char *text;
	bool warning;
};

#define HELD_NOTES 16

struct held {
	struct arena *arena;
	double time_s;
	double column_s; /* when the last one of each past[] began */
	char title[512];
	struct held_service *service;
	size_t service_count;
	struct held_row *row;
	size_t row_count;
	struct held_note note[HELD_NOTES]; /* exporters, then why there is less than expected */
	size_t note_count, notes_left; /* more of them */
};

/**
 * held_read - rows of @snapshot, which ask.h brought
 * @before: the rows of the snapshot before, for rates and past; NULL: none, the past is what @snapshot says of it
 * @ret:    caller frees with held_free()
 *
 * Return: 0, -ENOMEM, or -EPROTO for something that is not in view.h's format.
 */
int held_read(json_object *snapshot, const struct held *before, struct held *ret);

void held_free(struct held *held);

#endif
