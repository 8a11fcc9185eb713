/* SPDX-License-Identifier: BSD-2-Clause */
/* Label pointers into the kernel, and to where an address cannot be: nothing is read from there.
 * expects: attack\.kernel[^\n]*\n(    [^\n]*\n)*?    \(all others: too many series\) +\d */
#include "attack.h"

PROBEMETER_COUNTER(attack_kernel, "attack.kernel", "1", "", "name")

int main(void)
{
	static const uintptr_t where[] = { UINT64_C(0xffff888000000000), UINT64_C(0xffffffff81000000), UINT64_C(0xffffffffff600000),
					   UINTPTR_MAX, UINT64_C(0xdead000000000000), 8 };
	uint64_t hash = 0;

	FOREVER {
		hash++;
		probemeter_stub_attack_kernel(1, hash % 6, (const char *)where[hash % 6]);
	}
}
