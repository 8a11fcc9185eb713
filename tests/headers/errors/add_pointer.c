/* SPDX-License-Identifier: BSD-2-Clause */
/* A pointer as a value. Names: e_counter. */
#include "errors.h"

void use(void);
void use(void)
{
	int i = 7;

	PROBEMETER_ADD(e_counter, &i, "x", "y");
}
