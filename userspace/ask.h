/* SPDX-License-Identifier: BSD-2-Clause */
/* ask.h - the running agent's answers, from its socket. */
#ifndef PROBEMETER_ASK_H
#define PROBEMETER_ASK_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * ask_snapshot - what the agent at @run_dir holds now
 * @past:  and what was before, if the agent knows of that
 * @ret:   as view.h describes it; caller frees with json_object_put()
 * @error: one line: what was asked, why it failed, and what to do
 *
 * Waits at most some seconds. Return: 0, or a negative errno with @error.
 */
int ask_snapshot(const char *run_dir, bool past, json_object **ret, char *error, size_t error_size);

#endif
