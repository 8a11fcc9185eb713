/* SPDX-License-Identifier: BSD-2-Clause */
/* use.c - one use of each kind alone in a function, for listing.py, which counts what it costs while nobody listens. */
#include <probemeter/probemeter.h>

#define PROBEMETER_SCOPE "Use"
PROBEMETER_COUNTER(u_plain, "u.plain", "{event}", "No label")
PROBEMETER_COUNTER(u_four, "u.four", "{event}", "Four labels", "a", "b", "c", "d")
PROBEMETER_HISTOGRAM(u_real, "u.real", "s", "A real", "a")
PROBEMETER_GAUGE(u_level, "u.level", "1", "A level", "a")

void use_plain(long n);
void use_four(const char *a, const char *b, const char *c, const char *d);
void use_real(double x, const char *a);
void use_level(double x, const char *a);

void use_plain(long n)
{
	PROBEMETER_ADD(u_plain, n);
}

void use_four(const char *a, const char *b, const char *c, const char *d)
{
	PROBEMETER_ADD(u_four, 1, a, b, c, d);
}

void use_real(double x, const char *a)
{
	PROBEMETER_RECORD(u_real, x, a);
}

void use_level(double x, const char *a)
{
	PROBEMETER_SET(u_level, x, a);
}

int main(void)
{
	use_plain(1);
	use_four("1", "2", "3", "4");
	use_real(0.5, "1");
	use_level(0.5, "1");
	return 0;
}
