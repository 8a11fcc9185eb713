/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disable.h - every declaration and use compiled to nothing: -DPROBEMETER_DISABLE, and platforms without a stub.
 *
 * A declaration leaves no token. A use evaluates nothing, yet its arguments still count as used, so that what a service
 * computes only for a metric gives no warning: each stands in the branch of a constant condition that is never taken
 * (sizeof would not do: a variable only seen by it is "set but not used", a function "not needed").
 */
#ifndef PROBEMETER_DISABLE_H
#define PROBEMETER_DISABLE_H

#include <stdint.h>

#define PROBEMETER_DECLARE_(...)
#define PROBEMETER_DECLARE_BOUNDS_(...)

#define PROBEMETER_ENABLED(id) 0
#define PROBEMETER_START(id) UINT64_C(0)

#ifdef __GNUC__
#define PROBEMETER_NOT_(...) \
	PROBEMETER_NOT2_(__VA_ARGS__, PROBEMETER_NOT_7, PROBEMETER_NOT_6, PROBEMETER_NOT_5, PROBEMETER_NOT_4, \
			 PROBEMETER_NOT_3, PROBEMETER_NOT_2, PROBEMETER_NOT_1, 0)(__VA_ARGS__)
#define PROBEMETER_NOT2_(a, b, c, d, e, f, g, use, ...) use
#define PROBEMETER_NOT_1(id) (void)0
#define PROBEMETER_NOT_2(id, a) (0 ? (void)(a) : (void)0)
#define PROBEMETER_NOT_3(id, a, b) (0 ? ((void)(a), (void)(b)) : (void)0)
#define PROBEMETER_NOT_4(id, a, b, c) (0 ? ((void)(a), (void)(b), (void)(c)) : (void)0)
#define PROBEMETER_NOT_5(id, a, b, c, d) (0 ? ((void)(a), (void)(b), (void)(c), (void)(d)) : (void)0)
#define PROBEMETER_NOT_6(id, a, b, c, d, e) (0 ? ((void)(a), (void)(b), (void)(c), (void)(d), (void)(e)) : (void)0)
#define PROBEMETER_NOT_7(id, a, b, c, d, e, f) PROBEMETER_NOT_6(id, a, b, c, d, e)
#else
/* An unknown compiler may count macro arguments otherwise. */
#define PROBEMETER_NOT_(...) ((void)0)
#endif

#define PROBEMETER_ADD(...) PROBEMETER_NOT_(__VA_ARGS__)
#define PROBEMETER_SET(...) PROBEMETER_NOT_(__VA_ARGS__)
#define PROBEMETER_RECORD(...) PROBEMETER_NOT_(__VA_ARGS__)
#define PROBEMETER_RECORD_SINCE(...) PROBEMETER_NOT_(__VA_ARGS__)

#endif
