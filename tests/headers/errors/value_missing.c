/* SPDX-License-Identifier: BSD-2-Clause */
/* No value. Names: e_bare. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_bare);
}
