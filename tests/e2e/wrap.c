/* SPDX-License-Identifier: BSD-2-Clause */
/* wrap - a counter whose total goes past 2^64: each line on stdin is a number to add; the answer is an empty object. */
#include <stdio.h>
#include <stdlib.h>

#define PROBEMETER_SCOPE "Wrap"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(wrap_total, "wrap.total", "{event}", "Goes round")
PROBEMETER_HISTOGRAM(wrap_size, "wrap.size", "{byte}", "Beside it")

int main(void)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		int64_t n = (int64_t)strtoll(line, NULL, 10);

		PROBEMETER_ADD(wrap_total, n);
		PROBEMETER_RECORD(wrap_size, 1.0);
		printf("{}\n");
		(void)fflush(stdout);
	}
	return 0;
}
