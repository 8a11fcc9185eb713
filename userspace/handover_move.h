/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover_move.h - the totals of old sets into the maps that count.
 */
#ifndef PROBEMETER_HANDOVER_MOVE_H
#define PROBEMETER_HANDOVER_MOVE_H

#include "handover.h"

/**
 * handover_move - add up what @handover->set have, and make it the new set's
 * @handover: no program counts into its sets any more; told how much it was
 * @kernel:   its programs count
 *
 * Killed or failed at any point, the new set either has all of it or nothing.
 *
 * Return: 0 or -errno.
 */
int handover_move(struct handover *handover, const struct pins *pins, struct kernel *kernel);

#endif
