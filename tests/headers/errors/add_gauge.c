/* SPDX-License-Identifier: BSD-2-Clause */
/* ADD on a gauge. Names: e_gauge. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_gauge, 1, "x");
}
