/* SPDX-License-Identifier: BSD-2-Clause */
/* Even more. Names: e_counter. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_counter, 1, "1", "2", "3", "4", "5", "6");
}
