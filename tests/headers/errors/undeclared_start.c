/* SPDX-License-Identifier: BSD-2-Clause */
/* An undeclared metric, in a START. Names: e_unknown. */
#include "errors.h"

void use(void);
void use(void)
{
	uint64_t start = PROBEMETER_START(e_unknown);

	(void)start;
}
