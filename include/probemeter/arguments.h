/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arguments.h - the macros' arguments: counted, checked and handed on.
 *
 * What each way of building (site.h and level.h, test.h, disable.h) shares: variadic macros become calls of functions
 * that exist once per metric, so that a compiler's own error for a wrong call names the metric.
 */
#ifndef PROBEMETER_ARGUMENTS_H
#define PROBEMETER_ARGUMENTS_H

#include <stdint.h>
#include <time.h>

#include <probemeter/abi.h>

#ifdef __cplusplus
#define PROBEMETER_C_(...) \
	extern "C" {       \
	__VA_ARGS__        \
	}
#define PROBEMETER_ZERO_ {}
#define PROBEMETER_CAST_(type, value) static_cast<type>(value)
/* Functions that C++ takes from C keep C's casts, also under -Wold-style-cast. */
#define PROBEMETER_QUIET_BEGIN_                                                                              \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wold-style-cast\"")                \
		_Pragma("GCC diagnostic ignored \"-Wzero-as-null-pointer-constant\"")
#define PROBEMETER_QUIET_END_ _Pragma("GCC diagnostic pop")
#else
#define PROBEMETER_C_(...) __VA_ARGS__
#define PROBEMETER_ZERO_ { 0 }
#define PROBEMETER_CAST_(type, value) ((type)(value))
#define PROBEMETER_QUIET_BEGIN_
#define PROBEMETER_QUIET_END_
#endif

#define PROBEMETER_INLINE_ static __inline__ __attribute__((unused))

#define PROBEMETER_JOIN_(a, b) PROBEMETER_JOIN2_(a, b)
#define PROBEMETER_JOIN2_(a, b) a##b
#define PROBEMETER_STRING_(...) PROBEMETER_STRING2_(__VA_ARGS__)
#define PROBEMETER_STRING2_(...) #__VA_ARGS__
#define PROBEMETER_UNWRAP_(...) __VA_ARGS__
#define PROBEMETER_COUNT_(...) PROBEMETER_COUNT2_(__VA_ARGS__, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define PROBEMETER_COUNT2_(a, b, c, d, e, f, g, h, i, j, n, ...) n

/* PROBEMETER_SCOPE, or "probemeter" where nobody defined it. A default definition in this header would make a user's
 * own, behind the #include, a redefinition; so the macro stays theirs, and pasting tells the two apart: u8 and a string
 * make a string, u8 and the bare name make the name of the macro below. */
#define PROBEMETER_SCOPE_(scope) PROBEMETER_SCOPE2_(scope)
#define PROBEMETER_SCOPE2_(scope) u8##scope
#define u8PROBEMETER_SCOPE u8"probemeter"
#ifdef __cpp_char8_t
#define PROBEMETER_CHAR_ char8_t
#else
#define PROBEMETER_CHAR_ char
#endif

/* A declaration: (id, name, unit, description) and up to four label names, brought to one shape:
 * PROBEMETER_METRIC_<KIND>_(id, number of labels, unit, text, bounds). The text is what the descriptor points to. The
 * kind comes with its whole name, which no macro of a user's (COUNTER, say) can replace on the way. */
#define PROBEMETER_DECLARE_(kind, ...) \
	PROBEMETER_JOIN_(PROBEMETER_DECLARE_, PROBEMETER_COUNT_(__VA_ARGS__))(kind, __VA_ARGS__)
#define PROBEMETER_TEXT_(name, unit, description) PROBEMETER_SCOPE_(PROBEMETER_SCOPE) "\0" name "\0" unit "\0" description
#define PROBEMETER_DECLARE_4(kind, id, name, unit, desc) \
	kind(id, 0, unit, PROBEMETER_TEXT_(name, unit, desc))
#define PROBEMETER_DECLARE_5(kind, id, name, unit, desc, a) \
	kind(id, 1, unit, PROBEMETER_TEXT_(name, unit, desc) "\0" a)
#define PROBEMETER_DECLARE_6(kind, id, name, unit, desc, a, b) \
	kind(id, 2, unit, PROBEMETER_TEXT_(name, unit, desc) "\0" a "\0" b)
#define PROBEMETER_DECLARE_7(kind, id, name, unit, desc, a, b, c) \
	kind(id, 3, unit, PROBEMETER_TEXT_(name, unit, desc) "\0" a "\0" b "\0" c)
#define PROBEMETER_DECLARE_8(kind, id, name, unit, desc, a, b, c, d) \
	kind(id, 4, unit, PROBEMETER_TEXT_(name, unit, desc) "\0" a "\0" b "\0" c "\0" d)
#define PROBEMETER_DECLARE_9(kind, id, ...) PROBEMETER_REFUSE_(id, "a metric has at most 4 labels")
#define PROBEMETER_DECLARE_3(kind, id, ...) PROBEMETER_REFUSE_(id, "a metric needs id, name, unit and description")
#define PROBEMETER_DECLARE_2 PROBEMETER_DECLARE_3
#ifdef __cplusplus
#define PROBEMETER_REFUSE_(id, why) static_assert(false, "probemeter: " #id ": " why);
#else
#define PROBEMETER_REFUSE_(id, why) _Static_assert(0, "probemeter: " #id ": " why);
#endif

/* The same with the bounds in parentheses behind the description. */
#define PROBEMETER_DECLARE_BOUNDS_(...) \
	PROBEMETER_JOIN_(PROBEMETER_DECLARE_BOUNDS_, PROBEMETER_COUNT_(__VA_ARGS__))(__VA_ARGS__)
#define PROBEMETER_DECLARE_BOUNDS_5(id, name, unit, desc, bounds) \
	PROBEMETER_METRIC_HISTOGRAM_BOUNDS_(id, 0, unit, PROBEMETER_TEXT_(name, unit, desc), bounds)
#define PROBEMETER_DECLARE_BOUNDS_6(id, name, unit, desc, bounds, a) \
	PROBEMETER_METRIC_HISTOGRAM_BOUNDS_(id, 1, unit, PROBEMETER_TEXT_(name, unit, desc) "\0" a, bounds)
#define PROBEMETER_DECLARE_BOUNDS_7(id, name, unit, desc, bounds, a, b) \
	PROBEMETER_METRIC_HISTOGRAM_BOUNDS_(id, 2, unit, PROBEMETER_TEXT_(name, unit, desc) "\0" a "\0" b, bounds)
#define PROBEMETER_DECLARE_BOUNDS_8(id, name, unit, desc, bounds, a, b, c) \
	PROBEMETER_METRIC_HISTOGRAM_BOUNDS_(id, 3, unit, PROBEMETER_TEXT_(name, unit, desc) "\0" a "\0" b "\0" c, bounds)
#define PROBEMETER_DECLARE_BOUNDS_9(id, name, unit, desc, bounds, a, b, c, d)                                        \
	PROBEMETER_METRIC_HISTOGRAM_BOUNDS_(id, 4, unit, PROBEMETER_TEXT_(name, unit, desc) "\0" a "\0" b "\0" c "\0" d, \
					    bounds)
#define PROBEMETER_DECLARE_BOUNDS_10(id, ...) PROBEMETER_REFUSE_(id, "a metric has at most 4 labels")
#define PROBEMETER_DECLARE_BOUNDS_4(id, ...) PROBEMETER_REFUSE_(id, "the bounds are missing: (1, 2, 5)")

/* Not more bounds than there may be, and numbers. */
#define PROBEMETER_CHECK_BOUNDS_(id, list)                                                                 \
	static const double probemeter_bounds_##id[] __attribute__((unused)) = { PROBEMETER_UNWRAP_ list }; \
	PROBEMETER_ASSERT_(sizeof(probemeter_bounds_##id) <= PROBEMETER_MAX_BOUNDS * sizeof(double));

/* Parameters and names of n labels, each list with its leading comma. */
#define PROBEMETER_PARAMETERS_0
#define PROBEMETER_PARAMETERS_1 , const char *label1
#define PROBEMETER_PARAMETERS_2 PROBEMETER_PARAMETERS_1, const char *label2
#define PROBEMETER_PARAMETERS_3 PROBEMETER_PARAMETERS_2, const char *label3
#define PROBEMETER_PARAMETERS_4 PROBEMETER_PARAMETERS_3, const char *label4
#define PROBEMETER_NAMES_0
#define PROBEMETER_NAMES_1 , label1
#define PROBEMETER_NAMES_2 PROBEMETER_NAMES_1, label2
#define PROBEMETER_NAMES_3 PROBEMETER_NAMES_2, label3
#define PROBEMETER_NAMES_4 PROBEMETER_NAMES_3, label4

/*
 * A use: the metric's own function, picked by the value's type, called with checked labels. In C a wrong type picks
 * a function that takes no argument at all, because a bad conversion alone would be only a warning.
 */
#ifdef __cplusplus
extern "C++" {
#include <type_traits>
/* What an integer parameter takes: integers and plain enumerations, so that 1.5 does not become 1. A type per metric,
 * because the compiler's complaint tells the type and not the function. */
template <class metric> struct probemeter_integer_ {
	int64_t value;
	template <class T, class = typename std::enable_if<
				   std::is_integral<T>::value ||
				   (std::is_enum<T>::value && std::is_convertible<T, long long>::value)>::type>
	probemeter_integer_(T integer) : value(static_cast<int64_t>(integer))
	{
	}
};
}
#define PROBEMETER_INTEGER_PARAMETER_(id) probemeter_integer_<struct probemeter_metric_##id> integer
#define PROBEMETER_INTEGER_VALUE_ integer.value
#define PROBEMETER_INTEGER_(verb, id, value) probemeter_##verb##_##id
#define PROBEMETER_NUMBER_(verb, id, value) probemeter_##verb##_##id
#define PROBEMETER_REAL_(verb, id, value) probemeter_##verb##_##id
#define PROBEMETER_LABEL_(id, label) label
#define PROBEMETER_CHECKS_(id) struct probemeter_metric_##id;
#define PROBEMETER_FUNCTION_(name) name
#else
#define PROBEMETER_INTEGER_PARAMETER_(id) int64_t integer
#define PROBEMETER_INTEGER_VALUE_ integer
PROBEMETER_INLINE_ const char *probemeter_label_(const char *label)
{
	return label;
}
/* clang-format off */
#define PROBEMETER_INTEGERS_(f) \
	_Bool: f, char: f, signed char: f, unsigned char: f, short: f, unsigned short: f, int: f, unsigned int: f, \
	long: f, unsigned long: f, long long: f, unsigned long long: f
#define PROBEMETER_INTEGER_(verb, id, value) \
	_Generic((value), PROBEMETER_INTEGERS_(probemeter_##verb##_##id), \
		default: probemeter_value_must_be_an_integer_for_##id)
#define PROBEMETER_NUMBER_(verb, id, value) \
	_Generic((value), PROBEMETER_INTEGERS_(probemeter_##verb##_##id), \
		float: probemeter_##verb##_real_##id, double: probemeter_##verb##_real_##id, \
		long double: probemeter_##verb##_real_##id, default: probemeter_value_must_be_a_number_for_##id)
#define PROBEMETER_REAL_(verb, id, value) \
	_Generic((value), PROBEMETER_INTEGERS_(probemeter_##verb##_##id), \
		float: probemeter_##verb##_##id, double: probemeter_##verb##_##id, \
		long double: probemeter_##verb##_##id, default: probemeter_value_must_be_a_number_for_##id)
#define PROBEMETER_LABEL_(id, label) \
	_Generic((label), char *: probemeter_label_, const char *: probemeter_label_, void *: probemeter_label_, \
		const void *: probemeter_label_, default: probemeter_labels_must_be_strings_for_##id)(label)
/* clang-format on */
#define PROBEMETER_CHECKS_(id)                                            \
	extern void probemeter_value_must_be_an_integer_for_##id(void);   \
	extern void probemeter_value_must_be_a_number_for_##id(void);     \
	extern void probemeter_labels_must_be_strings_for_##id(void);
/* By address, because a call of an undeclared function would be only a warning. */
#define PROBEMETER_FUNCTION_(name) (&name)
#endif
/* A SET of a whole-numbered level with a real: no argument fits. */
#define PROBEMETER_REFUSE_REAL_(id) PROBEMETER_C_(extern void probemeter_set_real_##id(void);)

#define PROBEMETER_LABELS_0(id)
#define PROBEMETER_LABELS_1(id, a) , PROBEMETER_LABEL_(id, a)
#define PROBEMETER_LABELS_2(id, a, b) PROBEMETER_LABELS_1(id, a), PROBEMETER_LABEL_(id, b)
#define PROBEMETER_LABELS_3(id, a, b, c) PROBEMETER_LABELS_2(id, a, b), PROBEMETER_LABEL_(id, c)
#define PROBEMETER_LABELS_4(id, a, b, c, d) PROBEMETER_LABELS_3(id, a, b, c), PROBEMETER_LABEL_(id, d)

#define PROBEMETER_USE_2(f, w, id, v) (w(id) ? f(id, v)((v)) : (void)0)
#define PROBEMETER_USE_3(f, w, id, v, a) \
	(w(id) ? f(id, v)((v)PROBEMETER_LABELS_1(id, a)) : (void)0)
#define PROBEMETER_USE_4(f, w, id, v, a, b) \
	(w(id) ? f(id, v)((v)PROBEMETER_LABELS_2(id, a, b)) : (void)0)
#define PROBEMETER_USE_5(f, w, id, v, a, b, c) \
	(w(id) ? f(id, v)((v)PROBEMETER_LABELS_3(id, a, b, c)) : (void)0)
#define PROBEMETER_USE_6(f, w, id, v, a, b, c, d) \
	(w(id) ? f(id, v)((v)PROBEMETER_LABELS_4(id, a, b, c, d)) : (void)0)
#define PROBEMETER_USE_7(f, w, id, v, a, b, c, d, e) \
	(w(id) ? f(id, v)((v)PROBEMETER_LABELS_4(id, a, b, c, d), e) : (void)0)

#define PROBEMETER_WANTED_(id) PROBEMETER_UNLIKELY_(PROBEMETER_ENABLED(id))
#define PROBEMETER_UNLIKELY_(test) __builtin_expect(!!(test), 0)
#define PROBEMETER_DO_ADD_(id, value) PROBEMETER_INTEGER_(add, id, value)
#define PROBEMETER_DO_SET_(id, value) PROBEMETER_NUMBER_(set, id, value)
#define PROBEMETER_DO_RECORD_(id, value) PROBEMETER_REAL_(record, id, value)
#define PROBEMETER_DO_RECORD_SINCE_(id, value) PROBEMETER_INTEGER_(record_since, id, value)

#define PROBEMETER_DISPATCH_(function, wanted, ...) \
	PROBEMETER_JOIN_(PROBEMETER_USE_, PROBEMETER_COUNT_(__VA_ARGS__))(function, wanted, __VA_ARGS__)
#define PROBEMETER_ADD(...) PROBEMETER_DISPATCH_(PROBEMETER_DO_ADD_, PROBEMETER_WANTED_, __VA_ARGS__)
#define PROBEMETER_SET(...) PROBEMETER_DISPATCH_(PROBEMETER_DO_SET_, PROBEMETER_WANTED_, __VA_ARGS__)
#define PROBEMETER_RECORD(...) PROBEMETER_DISPATCH_(PROBEMETER_DO_RECORD_, PROBEMETER_WANTED_, __VA_ARGS__)
#define PROBEMETER_RECORD_SINCE(...) PROBEMETER_DISPATCH_(PROBEMETER_DO_RECORD_SINCE_, PROBEMETER_WANTED_, __VA_ARGS__)
#define PROBEMETER_ENABLED(id) PROBEMETER_FUNCTION_(probemeter_enabled_##id)()
#define PROBEMETER_START(id) (PROBEMETER_WANTED_(id) ? probemeter_now_() : UINT64_C(0))

/* @ns in @unit; folded by the compiler, as the unit is a literal. */
PROBEMETER_INLINE_ double probemeter_in_unit_(double ns, const char *unit)
{
	const char *u = unit + (unit[0] == '{');

	if (u[0] && u[1] == 's' && (!u[2] || u[2] == '}'))
		return u[0] == 'n' ? ns : u[0] == 'u' ? ns / 1e3 : u[0] == 'm' ? ns / 1e6 : ns / 1e9;
	return ns / 1e9;
}

#endif
