/* SPDX-License-Identifier: BSD-2-Clause */
/* A floating value as a level of whole numbers. Names: e_updown. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_SET(e_updown, 1.5, "x");
}
