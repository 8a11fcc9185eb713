/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rules.h - what the administrator says about processes: which are counted, and under which names.
 *
 * One rule a line; blank lines and what follows '#' at a line's start are nothing:
 *
 *   include SELECTOR          count only processes that some include matches
 *   exclude SELECTOR          leave matching processes alone; wins over include
 *   service SELECTOR NAME     service.name of matching processes that name none; the first that matches
 *   name NAME SELECTOR        only processes that some rule of that name matches may call themselves NAME, a glob
 *
 *   SELECTOR: path:GLOB       the executable, or a library with probes
 *             cgroup:GLOB     a path of /proc/PID/cgroup, such as /system.slice/shop*
 *             unit:GLOB       systemd's unit, without .service
 *             uid:N, uid:N-M  the process's real user id
 *             GLOB            any of path, cgroup and unit
 *
 * In a GLOB, * and ? stand for slashes too.
 */
#ifndef PROBEMETER_RULES_H
#define PROBEMETER_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rules;
struct service_facts;

enum rule_verb { RULE_INCLUDE, RULE_EXCLUDE, RULE_SERVICE, RULE_NAME };

struct rules *rules_new(void);
void rules_free(struct rules *rules);

/* One line of the grammar. Return: 0, -ENOMEM, or -EINVAL with what was expected at @error. */
int rules_add(struct rules *rules, const char *line, char *error, size_t error_size);

/* One rule of the command line: @argument is a SELECTOR, or for RULE_SERVICE a SELECTOR=NAME. Likewise. */
int rules_add_argument(struct rules *rules, enum rule_verb verb, const char *argument, char *error, size_t error_size);

/* A file of lines. Return: as rules_add(), or -errno if it cannot be read; @error says all of it, with the line. */
int rules_add_file(struct rules *rules, const char *path, char *error, size_t error_size);

/* Of any function below, @rules may be NULL: no rules. */

/* May the file at @path be probed, as far as rules on files say? */
bool rules_file(const struct rules *rules, const char *path);

/* Is this process counted? */
bool rules_process(const struct rules *rules, const struct service_facts *facts);

/* The name that a `service` rule gives this process, or NULL. */
const char *rules_service(const struct rules *rules, const struct service_facts *facts);

/* May this process call itself @name? */
bool rules_name(const struct rules *rules, const char *name, const struct service_facts *facts);

/* Is any rule about who is counted? About users? */
bool rules_choose(const struct rules *rules);
bool rules_by_uid(const struct rules *rules);

/* Of all that they say; 0: nothing. */
uint64_t rules_hash(const struct rules *rules);

#endif
