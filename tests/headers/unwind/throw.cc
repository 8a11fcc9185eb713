// SPDX-License-Identifier: BSD-2-Clause
// throw.cc - exceptions around a probe: right behind it, out of its arguments, and from a handler on the probed place.
#include <csignal>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

#include <sys/mman.h>

#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(throw_count, "throw.count", "1", "Thrown", "a")
PROBEMETER_GAUGE(throw_gauge, "throw.gauge", "1", "Thrown", "a")

extern "C" unsigned char probemeter_site_throw_count[];

static int alive;

struct counted {
	counted()
	{
		alive++;
	}
	~counted()
	{
		alive--;
	}
};

__attribute__((noinline)) static void behind(int n)
{
	counted here;
	std::string label(40, 'x');

	PROBEMETER_ADD(throw_count, n, label.c_str());
	throw std::runtime_error(label);
}

static const char *no_label()
{
	throw std::logic_error("label");
}

__attribute__((noinline)) static void out_of_argument(int n)
{
	counted here;

	PROBEMETER_SET(throw_gauge, n, no_label());
}

__attribute__((noinline)) static void out_of_probe(int n)
{
	counted here;

	PROBEMETER_ADD(throw_count, n, "x");
}

// With -fnon-call-exceptions: thrown while the program counter stands on the probed nop itself.
static void throw_from_trap(int)
{
	throw std::range_error("trap");
}

template <class Error> static bool unwinds(void (*function)(int))
{
	counted here;

	try {
		function(7);
	} catch (const Error &) {
		return alive == 1;
	}
	return false;
}

int main()
{
	for (unsigned short enabled : { 0, 1 }) {
		probemeter_semaphore_throw_count = enabled;
		if (!unwinds<std::runtime_error>(behind) || !unwinds<std::logic_error>(out_of_argument))
			return 1;
	}

	auto page = reinterpret_cast<uintptr_t>(probemeter_site_throw_count) & ~static_cast<uintptr_t>(4095);
	std::signal(SIGTRAP, throw_from_trap);
	if (mprotect(reinterpret_cast<void *>(page), 4096, PROT_READ | PROT_WRITE | PROT_EXEC))
		return 2;
	probemeter_site_throw_count[0] = 0xcc;
	return unwinds<std::range_error>(out_of_probe) ? 0 : 3;
}
