/* SPDX-License-Identifier: BSD-2-Clause */
/* one.c - the whole catalogue included, one metric used: one descriptor. */
#include <probemeter/integr8scode.h>

int main(void)
{
	PROBEMETER_RECORD(script_execution_duration, 0.25, "bash-5.2");
	return PROBEMETER_ENABLED(script_execution_duration);
}
