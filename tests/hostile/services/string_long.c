/* SPDX-License-Identifier: BSD-2-Clause */
/* A label of 1 MiB: cut behind 511 bytes.
 * expects: attack\.long[^\n]*\n    name=x+… */
#include "attack.h"

PROBEMETER_COUNTER(attack_long, "attack.long", "1", "", "name")

int main(void)
{
	char *text = page_with_end(257);

	memset(text, 'x', 1 << 20);
	FOREVER
		PROBEMETER_ADD(attack_long, 1, text);
}
