/* SPDX-License-Identifier: BSD-2-Clause */
/* top.h - a live view of a running agent. */
#ifndef PROBEMETER_TOP_H
#define PROBEMETER_TOP_H

struct options;

/* In a terminal, until q or Ctrl-C; elsewhere once, as text or JSON. Return: exit code. */
int top(const struct options *options);

#endif
