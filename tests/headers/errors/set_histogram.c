/* SPDX-License-Identifier: BSD-2-Clause */
/* SET on a histogram. Names: e_histogram. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_SET(e_histogram, 1, "x");
}
