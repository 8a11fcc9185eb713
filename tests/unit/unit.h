/* SPDX-License-Identifier: BSD-2-Clause */
/* unit.h - cmocka with the headers it wants before it. */
#ifndef PROBEMETER_UNIT_H
#define PROBEMETER_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
