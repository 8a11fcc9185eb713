/* SPDX-License-Identifier: BSD-2-Clause */
/* All right: the one file here that compiles, so that the others do not fail for a reason of their own. */
#include "errors.h"

void use(void);
void use(void)
{
	PROBEMETER_ADD(e_counter, 1, "x", "y");
	PROBEMETER_ADD(e_bare, 1u);
	PROBEMETER_ADD(e_updown, -1, "x");
	PROBEMETER_SET(e_updown, 1L, "x");
	PROBEMETER_SET(e_latest, 1, NULL);
	PROBEMETER_SET(e_gauge, 1.5, "x");
	PROBEMETER_SET(e_gauge, 1, "x");
	PROBEMETER_RECORD(e_histogram, 0.5f, "x");
	PROBEMETER_RECORD(e_histogram, 1, "x");
	PROBEMETER_RECORD_SINCE(e_histogram, PROBEMETER_START(e_histogram), "x");
}
