/* SPDX-License-Identifier: BSD-2-Clause */
/* RECORD_SINCE on a counter. Names: e_counter. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_RECORD_SINCE(e_counter, 1, "x", "y");
}
