/* SPDX-License-Identifier: BSD-2-Clause */
/* ADD on a histogram. Names: e_histogram. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_histogram, 1, "x");
}
