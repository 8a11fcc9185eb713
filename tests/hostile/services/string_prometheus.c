/* SPDX-License-Identifier: BSD-2-Clause */
/* A label that looks like the end of a Prometheus line and the beginning of another, and like two of the console's pairs.
 * expects: name="x\\"\} 1\\nforged_total\{a=\\"b\\"\} 9  user=\\"root" */
#include "attack.h"

PROBEMETER_COUNTER(attack_prometheus, "attack.prometheus", "1", "", "name")

int main(void)
{
	FOREVER
		PROBEMETER_ADD(attack_prometheus, 1, "x\"} 1\nforged_total{a=\"b\"} 9  user=\"root");
}
