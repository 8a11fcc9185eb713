/* SPDX-License-Identifier: BSD-2-Clause */
/* library.c - the same metrics in a shared library: stubs, semaphores and levels of its own. */
#include "fire.h"

__attribute__((visibility("default"))) void fire_library(const char *who, long n, double x)
{
	fire_all(who, n, x);
}
