/* SPDX-License-Identifier: BSD-2-Clause */
/* One label too many, in a RECORD. Names: e_histogram. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_RECORD(e_histogram, 1.5, "x", "y");
}
