/* SPDX-License-Identifier: BSD-2-Clause */
/* A float to ADD. Names: e_updown. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_updown, 1.0f, "x");
}
