/* SPDX-License-Identifier: BSD-2-Clause */
/* A declaration without its description. Names: e_short. */
#include "errors.h"

PROBEMETER_GAUGE(e_short, "e.short", "1")
