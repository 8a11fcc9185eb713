/* SPDX-License-Identifier: BSD-2-Clause */
/* A string as a value. Names: e_bare. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_bare, "1");
}
