/* SPDX-License-Identifier: BSD-2-Clause */
/* An undeclared metric, in a SET. Names: e_unknown. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_SET(e_unknown, 1);
}
