// SPDX-License-Identifier: BSD-2-Clause
// A std::string as a value. Names: e_counter.
#include <string>

#include "errors.h"

void use();
void use()
{
	PROBEMETER_ADD(e_counter, std::string("1"), "x", "y");
}
