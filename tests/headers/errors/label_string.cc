// SPDX-License-Identifier: BSD-2-Clause
// A std::string as a label. Names: e_counter.
#include <string>

#include "errors.h"

void use();
void use()
{
	PROBEMETER_ADD(e_counter, 1, "x", std::string("y"));
}
