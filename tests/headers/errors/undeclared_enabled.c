/* SPDX-License-Identifier: BSD-2-Clause */
/* An undeclared metric, in an ENABLED. Names: e_unknown. */
#include "errors.h"

void use(void);
void use(void)
{
	if (PROBEMETER_ENABLED(e_unknown))
		return;
}
