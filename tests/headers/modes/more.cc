// SPDX-License-Identifier: BSD-2-Clause
// more.cc - the same metrics from C++: templates, lambdas, namespaces, classes, inline functions. Compiled twice, as
// more and (with -DAGAIN) as again, so that what the linker keeps once per program is there twice.
#include <string>

#include "fire.h"

#ifdef AGAIN
#define FIRE fire_again
#else
#define FIRE fire_more
#endif

// A metric of a namespace's own, used by nobody.
namespace quiet {
PROBEMETER_COUNTER(m_quiet, "m.quiet", "1", "Never used")
}

enum plain { zero, one };

template <class Integer> void add(const char *who, Integer n)
{
	PROBEMETER_ADD(m_count, n);
	PROBEMETER_ADD(m_four, n + one, who, "four", "a label of more than sixteen bytes", nullptr);
}

inline void record(const std::string &who, double x)
{
	PROBEMETER_RECORD(m_hist, x, who.c_str());
}

struct holder {
	double x;
	template <class Label> void record(const Label &who) const
	{
		auto fire = [&](auto divisor) { PROBEMETER_RECORD(m_bounds, x / divisor, who.c_str(), "b"); };

		fire(2);
	}
	~holder();
};

inline holder::~holder()
{
}

namespace {
template <int sign> struct level {
	static void add(const std::string &who, long n)
	{
		PROBEMETER_ADD(m_updown, sign * n, who.c_str(), std::string().c_str(), "c");
	}
};
}

extern "C" void FIRE(const char *who, long n, double x)
{
	std::string owned(who);

	add(who, static_cast<short>(n));
	record(owned, x);
	holder{ x }.record(owned);
	level<-1>::add(owned, n);
	[n] { PROBEMETER_SET(m_latest, n); }();
	PROBEMETER_SET(m_gauge, static_cast<float>(x), who);
	// An expression of type void, as good as a call.
	return PROBEMETER_ADD(script_executions_total, one, who, "python-3.11");
}
