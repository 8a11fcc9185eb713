/* SPDX-License-Identifier: BSD-2-Clause */
/* Labels that give orders to a terminal, in one byte and in two, begin lines and turn text around.
 * expects: name=\\x1b\[2J\\x1b\]0;owned\\x07\\x9b31m\\u\{202e\}\\n\\r */
#include "attack.h"

PROBEMETER_COUNTER(attack_terminal, "attack.terminal", "1", "", "name")

int main(void)
{
	FOREVER
		PROBEMETER_ADD(attack_terminal, 1, "\033[2J\033]0;owned\007\302\23331m\342\200\256\n\r");
}
