/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drops.c - the words for enum pm_drop.
 */
#include "drops.h"

#include "../bpf/maps.h"

const struct drop_reason drop_reasons[PM_DROP_REASONS] = {
	[PM_DROP_NEGATIVE] = { "negative", "a counter was fired with a negative number",
			       "use an up-down counter for what can fall" },
	[PM_DROP_NOT_FINITE] = { "not_finite", "a histogram was fired with NaN or an infinity",
				 "check the value before recording it" },
	[PM_DROP_NO_CELL] = { "no_cell", "the kernel had no room for another cell, nor for the overflow series",
			      "use fewer label values" },
	[PM_DROP_NO_SERVICE] = { "no_service", "there are more services than there is room for",
				 "run fewer distinct OTEL_RESOURCE_ATTRIBUTES per host" },
};
