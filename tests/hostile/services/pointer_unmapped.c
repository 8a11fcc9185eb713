/* SPDX-License-Identifier: BSD-2-Clause */
/* A label whose memory comes and goes, one hit after the other: now it is read, now it cannot be.
 * expects: attack\.unmapped[^\n]*\n(    [^\n]*\n)*?    name=here */
#include "attack.h"

PROBEMETER_COUNTER(attack_unmapped, "attack.unmapped", "1", "", "name")

int main(void)
{
	uint64_t hash = 0;

	FOREVER {
		char *page = page_with_end(1);

		(void)strcpy(page, "here");
		probemeter_stub_attack_unmapped(1, ++hash % 50, page);
		(void)munmap(page, 2 * PAGE);
		probemeter_stub_attack_unmapped(1, 50 + hash % 50, page);
	}
}
