/* SPDX-License-Identifier: BSD-2-Clause */
/* A pointer to something else as a label. Names: e_counter. */
#include "errors.h"

void use(void);
void use(void)
{
	int i = 7;

	PROBEMETER_ADD(e_counter, 1, "x", &i);
}
