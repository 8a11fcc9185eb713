/* SPDX-License-Identifier: BSD-2-Clause */
/* SET on a counter. Names: e_counter. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_SET(e_counter, 1, "x", "y");
}
