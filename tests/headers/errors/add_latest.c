/* SPDX-License-Identifier: BSD-2-Clause */
/* ADD on a level that is only set. Names: e_latest. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_latest, 1, "x");
}
