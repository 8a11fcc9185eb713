/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * site.h - the place where a probe fires: semaphore, USDT note and descriptor, around a stub.
 *
 * A use is `if (semaphore) stub(value, hash, labels)`. The semaphore is raised by the kernel while a tracer is
 * attached; until then a use costs its load and a predicted branch. The stub, a few instructions with a nop for tracers, is
 * called, never inlined: stub_x86_64.h and stub_aarch64.h have it, and say why.
 *
 * All symbols but the semaphore are made in assembly, in COMDAT groups and under .ifndef: one stub, one note and one
 * descriptor per metric and linked object, however many translation units use it, with LTO or without. They are
 * emitted from the body of an inline function, so a metric that is declared and never used leaves nothing. That
 * function itself only goes on to the shared stub.
 */
#ifndef PROBEMETER_SITE_H
#define PROBEMETER_SITE_H

#include <probemeter/arguments.h>
#include <probemeter/hash.h>

/* Call frame directives only where the compiler writes them itself; the stub's frame description must stand outside of
 * the enclosing function's, which is closed around it. */
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
#define PROBEMETER_CFI_(directive) directive "\n"
#else
#define PROBEMETER_CFI_(directive) ""
#endif

#define PROBEMETER_FIELD_(tag, bytes) ".2byte " PROBEMETER_STRING_(tag) ", " #bytes "\n"
#define PROBEMETER_PLACE_(target) ".4byte " target " - .\n"

#ifdef __x86_64__
#include <probemeter/stub_x86_64.h>
#else
#include <probemeter/stub_aarch64.h>
#endif

/* The USDT note as systemtap's sdt.h lays it out. "?": in the stub's group; "o": gone when the stub's section is. */
#define PROBEMETER_USDT_(id, arguments)                                                                      \
	".pushsection .note.stapsdt,\"?o\",@note,probemeter_site_" #id "\n"                                  \
	".p2align 2\n"                                                                                       \
	".4byte 8, 996f - 995f, 3\n"                                                                         \
	".asciz \"stapsdt\"\n"                                                                               \
	"995: .8byte 990b, _.stapsdt.base, " PROBEMETER_SYMBOL_(semaphore) "\n"                              \
	".asciz \"probemeter\"\n"                                                                            \
	".asciz \"" #id "\"\n"                                                                               \
	".asciz \"" arguments "\"\n"                                                                         \
	"996: .p2align 2\n"                                                                                  \
	".popsection\n"                                                                                      \
	".ifndef _.stapsdt.base\n"                                                                           \
	".pushsection .stapsdt.base,\"aG\",@progbits,.stapsdt.base,comdat\n"                                 \
	".weak _.stapsdt.base\n.hidden _.stapsdt.base\n"                                                     \
	"_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n"                                                \
	".popsection\n"                                                                                      \
	".endif\n"

/* The descriptor: abi.h has the tags, ABI.md the words. */
#define PROBEMETER_DESCRIPTOR_(more)                                                                         \
	".pushsection .note.probemeter,\"a?\",@note\n"                                                       \
	".p2align 2\n"                                                                                       \
	".4byte 11, 998f - 997f, " PROBEMETER_STRING_(PROBEMETER_NOTE_TYPE) "\n"                             \
	".asciz \"probemeter\"\n.byte 0\n"                                                                   \
	"997:\n"                                                                                             \
	PROBEMETER_FIELD_(PROBEMETER_TAG_METRIC, 8) ".4byte %c[kind], %c[labels]\n"                          \
	PROBEMETER_FIELD_(PROBEMETER_TAG_TEXT, 8) PROBEMETER_PLACE_(PROBEMETER_SYMBOL_(text)) ".4byte %c[text_bytes]\n" \
	PROBEMETER_FIELD_(PROBEMETER_TAG_SEMAPHORE, 4) PROBEMETER_PLACE_(PROBEMETER_SYMBOL_(semaphore))      \
	PROBEMETER_FIELD_(PROBEMETER_TAG_SITE, 4) PROBEMETER_PLACE_("990b")                                  \
	PROBEMETER_STUB_PLACES_ more                                                                         \
	"998:\n"                                                                                             \
	".popsection\n"
#define PROBEMETER_BOUNDS_FIELD_                                                                             \
	PROBEMETER_FIELD_(PROBEMETER_TAG_BOUNDS, 8) PROBEMETER_PLACE_(PROBEMETER_SYMBOL_(bounds)) \
	".4byte %c[bounds_bytes]\n"
#define PROBEMETER_LEVELS_FIELD_                                                                             \
	PROBEMETER_FIELD_(PROBEMETER_TAG_LEVELS, 8) PROBEMETER_PLACE_("probemeter_levels")                   \
	".4byte " PROBEMETER_STRING_(PROBEMETER_LEVELS_VERSION) "\n"

/* How the function is declared from whose body the stub is emitted, so that a metric that is declared and not used
 * leaves nothing.
 *
 * gcc: inline, though never inlined, because at -O0 it emits static functions that nobody calls (its PR 24561) unless
 * they are inline. It warns of the contradiction, which is meant.
 *
 * clang: weak besides, so that ThinLTO, which compiles its modules apart, keeps the function in one of them. lld
 * ignores the COMDAT groups of what LTO compiled and would link a descriptor per module. Clang emits an inline function
 * where it is called; that this one, with external linkage, uses the unit's own text is meant as well. */
#if defined(__clang__)
#define PROBEMETER_AROUND_(...)                                                                              \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wstatic-in-inline\"") PROBEMETER_C_( \
		__inline__ __attribute__((weak, visibility("hidden"), PROBEMETER_BARE_ noinline, unused,    \
					  PROBEMETER_PLAIN_)) __VA_ARGS__)                                   \
	_Pragma("GCC diagnostic pop")
#else
#define PROBEMETER_AROUND_(...)                                                                              \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wattributes\"") static __inline__  \
		__attribute__((PROBEMETER_BARE_ noinline, noclone, unused, PROBEMETER_PLAIN_)) __VA_ARGS__             \
	_Pragma("GCC diagnostic pop")
#endif

/* Nothing of a compiler's own in the body: it has no frame, and its argument registers are not to be touched. gcc puts
 * a -fstack-protector-all canary even into a naked function, over what its caller keeps on the stack. */
#ifdef __has_attribute
#if __has_attribute(no_stack_protector)
#define PROBEMETER_NO_CANARY_ , no_stack_protector
#elif !defined(__clang__)
#define PROBEMETER_NO_CANARY_ , optimize("no-stack-protector")
#endif
#if __has_attribute(no_profile_instrument_function)
#define PROBEMETER_NO_PROFILE_ , no_profile_instrument_function
#endif
#if defined(__clang__)
#define PROBEMETER_NO_SANITIZER_ , no_sanitize("address", "thread", "undefined", "coverage")
#elif __has_attribute(no_sanitize_coverage)
#define PROBEMETER_NO_SANITIZER_ , no_sanitize("address,thread,undefined"), no_sanitize_coverage
#elif __has_attribute(no_sanitize)
#define PROBEMETER_NO_SANITIZER_ , no_sanitize("address,thread,undefined")
#endif
#endif
#ifndef PROBEMETER_NO_CANARY_
#define PROBEMETER_NO_CANARY_
#endif
#ifndef PROBEMETER_NO_PROFILE_
#define PROBEMETER_NO_PROFILE_
#endif
#ifndef PROBEMETER_NO_SANITIZER_
#define PROBEMETER_NO_SANITIZER_
#endif
#define PROBEMETER_PLAIN_ \
	no_instrument_function PROBEMETER_NO_CANARY_ PROBEMETER_NO_PROFILE_ PROBEMETER_NO_SANITIZER_

/* One metric's semaphore, text and stub. @sign: of the value for other tools; @regions, @more, ...: what the kind adds
 * to the object, to the descriptor and to the operands. The semaphore needs a place in the file for the kernel to
 * find it, hence a named section; weak and hidden, it is one per linked object. */
#define PROBEMETER_SITE_(id, kind_number, n, label_text, sign, regions, more, ...)                           \
	PROBEMETER_C_(__attribute__((weak, visibility("hidden"), section(".probes")))                        \
		      volatile unsigned short probemeter_semaphore_##id = 0;)                                \
	static const PROBEMETER_CHAR_ probemeter_text_##id[] __attribute__((unused)) = label_text;                       \
	PROBEMETER_AROUND_(void probemeter_stub_##id(                                                        \
		uint64_t value __attribute__((unused)), uint64_t hash __attribute__((unused))                \
		PROBEMETER_UNUSED_PARAMETERS_##n)                                                            \
	{                                                                                                    \
		PROBEMETER_LOAD_##n                                                                          \
		/* Two, because ISO C lets a string literal have 4095 bytes. */                              \
		__asm__ volatile(PROBEMETER_STUB_REGIONS_ regions : :);                                      \
		__asm__ volatile(".ifndef probemeter_site_" #id "\n"                                         \
				 PROBEMETER_STUB_BEGIN_(id)                                                  \
				 PROBEMETER_DESCRIPTOR_(more)                                                \
				 PROBEMETER_USDT_(id, sign PROBEMETER_USDT_ARGUMENTS_##n)                    \
				 PROBEMETER_STUB_END_                                                        \
				 ".endif\n"                                                                  \
				 PROBEMETER_ENTER_(id)                                                       \
				 :                                                                           \
				 : [semaphore] PROBEMETER_ADDRESS_(&probemeter_semaphore_##id),              \
				   [kind] "i"(kind_number), [labels] "i"(n),                                 \
				   [text] PROBEMETER_ADDRESS_(&probemeter_text_##id[0]),                     \
				   [text_bytes] "i"(sizeof(probemeter_text_##id)) __VA_ARGS__                \
				   PROBEMETER_INPUTS_##n PROBEMETER_CLOBBERS_);                              \
	})

#define PROBEMETER_UNUSED_PARAMETERS_0
#define PROBEMETER_UNUSED_PARAMETERS_1 , const char *label1 __attribute__((unused))
#define PROBEMETER_UNUSED_PARAMETERS_2 PROBEMETER_UNUSED_PARAMETERS_1, const char *label2 __attribute__((unused))
#define PROBEMETER_UNUSED_PARAMETERS_3 PROBEMETER_UNUSED_PARAMETERS_2, const char *label3 __attribute__((unused))
#define PROBEMETER_UNUSED_PARAMETERS_4 PROBEMETER_UNUSED_PARAMETERS_3, const char *label4 __attribute__((unused))

/* Counters and histograms: enabled while somebody listens, and then one call of the stub. */
#define PROBEMETER_METRIC_COUNTER_(id, n, unit, text)                                                        \
	PROBEMETER_SITE_(id, PROBEMETER_KIND_COUNTER, n, text, "-8", "", "", )                               \
	PROBEMETER_CHECKS_(id)                                                                               \
	PROBEMETER_INLINE_ int probemeter_enabled_##id(void)                                                 \
	{                                                                                                    \
		return probemeter_semaphore_##id;                                                            \
	}                                                                                                    \
	PROBEMETER_INLINE_ void probemeter_add_##id(PROBEMETER_INTEGER_PARAMETER_(id) PROBEMETER_PARAMETERS_##n) \
	{                                                                                                    \
		probemeter_stub_##id(PROBEMETER_CAST_(uint64_t, PROBEMETER_INTEGER_VALUE_), PROBEMETER_HASH_##n PROBEMETER_NAMES_##n); \
	}

#define PROBEMETER_METRIC_HISTOGRAM_(id, n, unit, text)                                                      \
	PROBEMETER_SITE_(id, PROBEMETER_KIND_HISTOGRAM, n, text, "8", "", "", )                              \
	PROBEMETER_HISTOGRAM_FUNCTIONS_(id, n, unit)

#define PROBEMETER_METRIC_HISTOGRAM_BOUNDS_(id, n, unit, label_text, list)                                      \
	PROBEMETER_CHECK_BOUNDS_(id, list)                                                                   \
	PROBEMETER_SITE_(id, PROBEMETER_KIND_HISTOGRAM, n, label_text, "8", "", PROBEMETER_BOUNDS_FIELD_,          \
			 , [bounds] PROBEMETER_ADDRESS_(&probemeter_bounds_##id[0]), [bounds_bytes] "i"(sizeof(probemeter_bounds_##id))) \
	PROBEMETER_HISTOGRAM_FUNCTIONS_(id, n, unit)

#define PROBEMETER_HISTOGRAM_FUNCTIONS_(id, n, unit)                                                         \
	PROBEMETER_CHECKS_(id)                                                                               \
	PROBEMETER_INLINE_ int probemeter_enabled_##id(void)                                                 \
	{                                                                                                    \
		return probemeter_semaphore_##id;                                                            \
	}                                                                                                    \
	PROBEMETER_INLINE_ void probemeter_record_##id(double value PROBEMETER_PARAMETERS_##n)               \
	{                                                                                                    \
		probemeter_stub_##id(probemeter_bits_(value), PROBEMETER_HASH_##n PROBEMETER_NAMES_##n);     \
	}                                                                                                    \
	PROBEMETER_INLINE_ void probemeter_record_since_##id(uint64_t start_ns PROBEMETER_PARAMETERS_##n)    \
	{                                                                                                    \
		if (start_ns)                                                                                \
			probemeter_record_##id(probemeter_since_(start_ns, unit) PROBEMETER_NAMES_##n);      \
	}

PROBEMETER_QUIET_BEGIN_

PROBEMETER_INLINE_ uint64_t probemeter_bits_(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* clock_gettime under a name of our own: strict C11 hides it. */
PROBEMETER_C_(extern int probemeter_clock_gettime_(int clock, struct timespec *ret) __asm__("clock_gettime");)

/* CLOCK_MONOTONIC in ns. */
PROBEMETER_INLINE_ uint64_t probemeter_now_(void)
{
	struct timespec now = { 0, 0 };

	(void)probemeter_clock_gettime_(1, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Time since @start_ns in @unit. */
PROBEMETER_INLINE_ double probemeter_since_(uint64_t start_ns, const char *unit)
{
	return probemeter_in_unit_((double)(probemeter_now_() - start_ns), unit);
}

PROBEMETER_QUIET_END_

#endif
