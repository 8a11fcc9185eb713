/* SPDX-License-Identifier: BSD-2-Clause */
/* A label where none is declared. Names: e_bare. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_bare, 1, "x");
}
