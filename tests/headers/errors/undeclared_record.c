/* SPDX-License-Identifier: BSD-2-Clause */
/* An undeclared metric, in a RECORD. Names: e_unknown. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_RECORD(e_unknown, 1.5, "x");
}
