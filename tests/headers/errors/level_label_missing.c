/* SPDX-License-Identifier: BSD-2-Clause */
/* One label too few, in a SET. Names: e_gauge. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_SET(e_gauge, 1.5);
}
