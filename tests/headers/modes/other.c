/* SPDX-License-Identifier: BSD-2-Clause */
/* other.c - the same metrics in a second translation unit, in strict ISO C or C++. */
#include "fire.h"

void fire_other(const char *who, long n, double x)
{
	fire_all(who, n, x);
}
