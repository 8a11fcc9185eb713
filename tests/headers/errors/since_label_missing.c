/* SPDX-License-Identifier: BSD-2-Clause */
/* One label too few, in a RECORD_SINCE. Names: e_histogram. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_RECORD_SINCE(e_histogram, PROBEMETER_START(e_histogram));
}
