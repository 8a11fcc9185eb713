/* SPDX-License-Identifier: BSD-2-Clause */
/* Bounds left out. Names: e_unbound. */
#include "errors.h"

PROBEMETER_HISTOGRAM_BOUNDS(e_unbound, "e.unbound", "1", "No bounds")
