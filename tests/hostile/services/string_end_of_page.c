/* SPDX-License-Identifier: BSD-2-Clause */
/* A label without an end, up to where memory ends: it cannot be read, and its events are counted.
 * expects: attack\.end\.of\.page[^\n]*\n(    [^\n]*\n)*?    \(all others: too many series\) +\d */
#include "attack.h"

PROBEMETER_COUNTER(attack_end, "attack.end.of.page", "1", "", "name")

int main(void)
{
	char *page = page_with_end(1);

	memset(page, 'x', PAGE);
	FOREVER
		probemeter_stub_attack_end(1, 42, page + PAGE - 100);
}
