/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bytes - a service whose every text is not UTF-8: a metric's name, unit, scope, description, label name, label value.
 *
 * It fires three events of each kind, says so, and waits for the end of its input.
 */
#include <stdio.h>

#define PROBEMETER_SCOPE "sc\xffope"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(bytes_count, "bytes.count\xc3", "{\x80}", "Torn \xe2\x82", "la\xfe" "bel")
PROBEMETER_GAUGE(bytes_level, "bytes.level\xf5\x80\x80\x80", "\xff", "\xed\xa0\x80", "\xc0\xaf")
PROBEMETER_HISTOGRAM(bytes_size, "bytes.size\xff", "s", "\x80", "\xff")

int main(void)
{
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	/* Somebody listens now. */
	if (getchar() == EOF)
		return 1;
	for (i = 0; i < 3; i++) {
		PROBEMETER_ADD(bytes_count, 1, "va\xfflue");
		PROBEMETER_SET(bytes_level, 3, "\xf0\x9f\x98");
		PROBEMETER_RECORD(bytes_size, 1, "\xed\xb0\x80");
	}
	puts("fired");
	(void)getchar();
	return 0;
}
