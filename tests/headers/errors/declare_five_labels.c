/* SPDX-License-Identifier: BSD-2-Clause */
/* Five labels declared. Names: e_five. */
#include "errors.h"

PROBEMETER_COUNTER(e_five, "e.five", "1", "Five", "1", "2", "3", "4", "5")
