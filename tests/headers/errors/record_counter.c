/* SPDX-License-Identifier: BSD-2-Clause */
/* RECORD on a counter. Names: e_counter. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_RECORD(e_counter, 1, "x", "y");
}
