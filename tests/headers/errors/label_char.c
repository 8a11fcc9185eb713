/* SPDX-License-Identifier: BSD-2-Clause */
/* A character as a label. Names: e_histogram. */
#include "errors.h"

void use(void);
void use(void)
{
	char c = 'x';

	PROBEMETER_RECORD(e_histogram, 1, c);
}
