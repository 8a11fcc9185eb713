/* SPDX-License-Identifier: BSD-2-Clause */
/* An integer as a label. Names: e_counter. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_counter, 1, "x", 7);
}
