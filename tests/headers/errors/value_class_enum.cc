// SPDX-License-Identifier: BSD-2-Clause
// A scoped enumeration as a value. Names: e_bare.
#include <string>

#include "errors.h"

void use();
void use()
{
	enum class color { red };
	PROBEMETER_ADD(e_bare, color::red);
}
