/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * classic.c - a USDT probe of systemtap's sys/sdt.h as a contestant: what every existing tool attaches to.
 *
 * The value crosses as an integer, in microseconds, because that is what bpftrace's hist() takes.
 */
#include <sys/sdt.h>

#include "loop.h"

LOOP(hit, DTRACE_PROBE3(bench, hit, (long)(value * 1e6), region, tier))

int main(void)
{
	static const struct operation operation[] = { { "hit", hit }, { NULL, NULL } };

	return loop_main(operation);
}
