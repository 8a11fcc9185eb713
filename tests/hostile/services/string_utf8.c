/* SPDX-License-Identifier: BSD-2-Clause */
/* Labels with overlong forms, bytes that begin nothing, and lone surrogates as WTF-8 has them: U+FFFD in their place.
 * expects: name="?a\uFFFD+b\uFFFD+c\uFFFD+d */
#include "attack.h"

PROBEMETER_COUNTER(attack_utf8, "attack.utf8", "1", "", "name")

int main(void)
{
	FOREVER
		PROBEMETER_ADD(attack_utf8, 1, "a\xc0\xaf" "b\xed\xa0\x80\xed\xb0\x80" "c\xff\xfe" "d");
}
