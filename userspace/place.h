/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * place.h - the slot of a key in the table of cells, by the rules of cell.bpf.h.
 */
#ifndef PROBEMETER_PLACE_H
#define PROBEMETER_PLACE_H

#include <stdint.h>

#include "kernel.h"

/* The slot that has this key, in any group it may be in. Return: slot, or -1. */
long place_find(const struct kernel *kernel, uint64_t hash, uint64_t where);

/* A free slot for a key that has none, beside programs that do the same. Return: slot, or -1: its groups are full. */
long place_take(struct kernel *kernel, uint64_t hash, uint64_t where);

/* Give back a slot that no program has seen. */
void place_free(struct kernel *kernel, long slot);

#endif
