/* SPDX-License-Identifier: BSD-2-Clause */
/* The same, for a latest one. Names: e_latest. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_SET(e_latest, 1.5, "x");
}
