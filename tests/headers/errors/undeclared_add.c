/* SPDX-License-Identifier: BSD-2-Clause */
/* An undeclared metric. Names: e_unknown. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_unknown, 1);
}
