// SPDX-License-Identifier: BSD-2-Clause
// nullptr as a value. Names: e_histogram.
#include <string>

#include "errors.h"

void use();
void use()
{
	PROBEMETER_RECORD(e_histogram, nullptr, "x");
}
