/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.h - uthash, with an end that says why where a table finds no memory.
 *
 * Its own is exit(-1) without a word. To go on instead would leave things that no table knows: a count that is in none is
 * worse than an agent that is started again.
 */
#ifndef PROBEMETER_TABLE_H
#define PROBEMETER_TABLE_H

#include "shortage.h"

#define uthash_fatal(message) shortage_end()
#include <uthash.h>

#endif
