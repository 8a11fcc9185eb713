/* SPDX-License-Identifier: BSD-2-Clause */
/* test_mode_other.c - the second translation unit of test_mode.c. */
#include "test_mode.h"

void fire_from_other_unit(int n)
{
	PROBEMETER_ADD(t_counter, n, "other", "");
}
