/* SPDX-License-Identifier: BSD-2-Clause */
/* No label where two are declared. Names: e_counter. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_counter, 1);
}
