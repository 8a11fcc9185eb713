/* SPDX-License-Identifier: BSD-2-Clause */
/* A floating value to ADD. Names: e_counter. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_counter, 1.5, "x", "y");
}
