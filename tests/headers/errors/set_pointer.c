/* SPDX-License-Identifier: BSD-2-Clause */
/* A pointer as a gauge's value. Names: e_gauge. */
#include "errors.h"

void use(void);
void use(void)
{
	int i = 7;

	PROBEMETER_SET(e_gauge, &i, "x");
}
