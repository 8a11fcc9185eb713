/* SPDX-License-Identifier: BSD-2-Clause */
/* show.h - one look at a running agent. */
#ifndef PROBEMETER_SHOW_H
#define PROBEMETER_SHOW_H

#include <stdbool.h>

struct held;
struct options;

/* `probemeter snapshot`: what the agent holds now, as text or JSON. Return: exit code. */
int show_snapshot(const struct options *options);

/* The same as JSON; as text, with @rates over a second. Return: exit code. */
int show_json(const struct options *options);
int show_text(const struct options *options, bool rates);

/* Ask, and put the rows in the place of those before, if any: their past goes on. Says what is wrong. Return: 0 or -errno. */
int show_look(const struct options *options, struct held *held);

/* Does standard output show nothing but ASCII? */
bool show_ascii(void);

#endif
