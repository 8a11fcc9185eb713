/* SPDX-License-Identifier: BSD-2-Clause */
/* A double as a label. Names: e_gauge. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_SET(e_gauge, 1, 7.5);
}
