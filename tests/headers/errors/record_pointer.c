/* SPDX-License-Identifier: BSD-2-Clause */
/* A pointer as a histogram's value. Names: e_histogram. */
#include "errors.h"

void use(void);
void use(void)
{
	int i = 7;

	PROBEMETER_RECORD(e_histogram, &i, "x");
}
