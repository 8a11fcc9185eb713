/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * site.h - the place where a probe fires: stub, guard, semaphore, USDT note and descriptor, for x86-64.
 *
 * A use is `if (semaphore) stub(value, hash, labels)`. The semaphore is raised by the kernel while a tracer is
 * attached; until then a use costs its load and a predicted branch. The stub is called, never inlined, because the
 * kernel's fast probe is itself a call: inline it would push over the red zone of a leaf function, and moving the
 * stack pointer around it would break unwinding.
 *
 *   site:  nop                  the USDT note names this one; any tool attaches here
 *          cmpb $0, home        the guard
 *          je   2f
 *   1:     nop5, nop10, ret     fast: the kernel may turn one of them into a call
 *   2:     cmpb $1, state
 *          jne  3f
 *          state = 2, home = 1
 *          jmp  1b
 *   3:     nop, ret             slow: the ordinary breakpoint
 *
 * The guard exists because a fast probe's trampoline is not mapped in a forked child while the child's text still
 * calls it (seen on Linux 6.18: SIGSEGV). `home` lies in a page that the kernel wipes in every child
 * (MADV_WIPEONFORK); `state` is ordinary memory: 0 = the kernel would not wipe, 1 = ready, 2 = this process or an
 * ancestor came by here, so its text may be patched. A child of a process in state 1 was never patched and may take
 * the fast way itself. Patching holds mmap_lock for writing, as fork does, and follows the store of state = 2, so no
 * child sees patched text with state 1. Two threads that pass label 2 at once store the same values.
 *
 * All symbols but the semaphore are made in assembly, in COMDAT groups and under .ifndef: one stub, one note and one
 * descriptor per metric and linked object, however many translation units use it, with LTO or without. They are
 * emitted from the body of an inline naked function, so a metric that is declared and never used leaves nothing. That
 * function itself only jumps to the shared stub.
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

/* An instruction in both dialects: with -masm=intel, gcc and clang take what is behind the bar. Switching the dialect
 * inside the template would not do: clang drops the $ of an immediate. */
#define PROBEMETER_ASM_(att, intel) "{" att "|" intel "}\n"

#define PROBEMETER_FIELD_(tag, bytes) ".2byte " PROBEMETER_STRING_(tag) ", " #bytes "\n"
#define PROBEMETER_PLACE_(target) ".4byte " target " - .\n"

/* A region of .bss, one per linked object, whose first @wiped bytes the kernel is asked to clear in forked children,
 * by a constructor of its own: a plain system call, so that neither libc nor a library is needed, and early, so that a
 * service that later restricts its system calls has it behind it. If the kernel agrees the byte @flag becomes 1. */
#define PROBEMETER_WIPED_(name, wiped, bytes, flag)                                                          \
	".ifndef " #name "\n"                                                                                \
	".pushsection .bss." #name ",\"awG\",@nobits," #name ",comdat\n"                                     \
	".weak " #name "\n.hidden " #name "\n.type " #name ",@object\n.size " #name ", " #bytes "\n"         \
	".p2align 12\n" #name ":\n.zero " #bytes "\n"                                                        \
	".popsection\n"                                                                                      \
	".pushsection .text." #name ",\"axG\",@progbits," #name ",comdat\n"                                  \
	".weak " #name "_init\n.hidden " #name "_init\n.type " #name "_init,@function\n"                     \
	#name "_init:\n"                                                                                     \
	"endbr64\n"                                                                                          \
	PROBEMETER_ASM_("leaq " #name "(%%rip), %%rdi", "lea rdi, " #name "[rip]")                           \
	PROBEMETER_ASM_("movl $" #wiped ", %%esi", "mov esi, " #wiped)                                       \
	PROBEMETER_ASM_("movl $18, %%edx", "mov edx, 18") /* MADV_WIPEONFORK */                              \
	PROBEMETER_ASM_("movl $28, %%eax", "mov eax, 28") /* madvise */                                      \
	"syscall\n"                                                                                          \
	PROBEMETER_ASM_("testl %%eax, %%eax", "test eax, eax")                                               \
	"jne 989f\n"                                                                                         \
	PROBEMETER_ASM_("movb $1, " flag "(%%rip)", "mov byte ptr [rip + " flag "], 1")                      \
	"989: ret\n"                                                                                         \
	".size " #name "_init, . - " #name "_init\n"                                                         \
	".popsection\n"                                                                                      \
	".pushsection .init_array,\"awG\",@init_array," #name ",comdat\n"                                    \
	".p2align 3\n.8byte " #name "_init\n"                                                                \
	".popsection\n"                                                                                      \
	".endif\n"

#define PROBEMETER_HOME_                                                                                     \
	".ifndef probemeter_state\n"                                                                         \
	".pushsection .bss.probemeter_state,\"awG\",@nobits,probemeter_state,comdat\n"                       \
	".weak probemeter_state\n.hidden probemeter_state\n"                                                 \
	".type probemeter_state,@object\n.size probemeter_state, 1\n"                                        \
	"probemeter_state: .zero 1\n"                                                                        \
	".popsection\n"                                                                                      \
	".endif\n" PROBEMETER_WIPED_(probemeter_home, 4096, 4096, "probemeter_state")

/* The stub. It may use what a called function may: it touches the flags only. Every probed place keeps the
 * arguments' registers as the call left them and the frame as the call made it. */
#define PROBEMETER_STUB_(id)                                                                                 \
	".pushsection .text.probemeter." #id ",\"axG\",@progbits,probemeter_site_" #id ",comdat\n"           \
	".weak probemeter_site_" #id "\n.hidden probemeter_site_" #id "\n"                                   \
	".type probemeter_site_" #id ",@function\n"                                                          \
	/* no probed instruction may cross a page: the kernel patches them in place */                       \
	".p2align 6\n"                                                                                       \
	"probemeter_site_" #id ":\n" PROBEMETER_CFI_(".cfi_startproc")                                       \
	"990: nop\n"                                                                                         \
	PROBEMETER_ASM_("cmpb $0, probemeter_home(%%rip)", "cmp byte ptr probemeter_home[rip], 0")           \
	"je 993f\n"                                                                                          \
	"991: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"                                                          \
	"992: .byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00\n"                            \
	"ret\n"                                                                                              \
	"993: " PROBEMETER_ASM_("cmpb $1, probemeter_state(%%rip)", "cmp byte ptr probemeter_state[rip], 1") \
	"jne 994f\n"                                                                                         \
	PROBEMETER_ASM_("movb $2, probemeter_state(%%rip)", "mov byte ptr probemeter_state[rip], 2")         \
	PROBEMETER_ASM_("movb $1, probemeter_home(%%rip)", "mov byte ptr probemeter_home[rip], 1")           \
	"jmp 991b\n"                                                                                         \
	"994: nop\n"                                                                                         \
	"ret\n"                                                                                              \
	/* never run; without it all stubs have the same bytes, and --icf would fold them into one */        \
	".asciz \"" #id "\"\n" PROBEMETER_CFI_(".cfi_endproc")                                                              \
	".size probemeter_site_" #id ", . - probemeter_site_" #id "\n"

/* The USDT note as systemtap's sdt.h lays it out. "?": in the stub's group; "o": gone when the stub's section is. */
#define PROBEMETER_USDT_(id, arguments)                                                                      \
	".pushsection .note.stapsdt,\"?o\",@note,probemeter_site_" #id "\n"                                  \
	".p2align 2\n"                                                                                       \
	".4byte 8, 996f - 995f, 3\n"                                                                         \
	".asciz \"stapsdt\"\n"                                                                               \
	"995: .8byte 990b, _.stapsdt.base, %c[semaphore]\n"                                                  \
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
	PROBEMETER_FIELD_(PROBEMETER_TAG_TEXT, 8) PROBEMETER_PLACE_("%c[text]") ".4byte %c[text_bytes]\n"    \
	PROBEMETER_FIELD_(PROBEMETER_TAG_SEMAPHORE, 4) PROBEMETER_PLACE_("%c[semaphore]")                    \
	PROBEMETER_FIELD_(PROBEMETER_TAG_SITE, 4) PROBEMETER_PLACE_("990b")                                  \
	PROBEMETER_FIELD_(PROBEMETER_TAG_FAST, 8) PROBEMETER_PLACE_("991b") PROBEMETER_PLACE_("992b")        \
	PROBEMETER_FIELD_(PROBEMETER_TAG_SLOW, 4) PROBEMETER_PLACE_("994b") more                             \
	"998:\n"                                                                                             \
	".popsection\n"
#define PROBEMETER_BOUNDS_FIELD_                                                                             \
	PROBEMETER_FIELD_(PROBEMETER_TAG_BOUNDS, 8) PROBEMETER_PLACE_("%c[bounds]") ".4byte %c[bounds_bytes]\n"
#define PROBEMETER_LEVELS_FIELD_                                                                             \
	PROBEMETER_FIELD_(PROBEMETER_TAG_LEVELS, 8) PROBEMETER_PLACE_("probemeter_levels")                   \
	".4byte " PROBEMETER_STRING_(PROBEMETER_LEVELS_VERSION) "\n"

/* What a tracer finds in the argument registers. */
#define PROBEMETER_USDT_ARGUMENTS_0 "@%%rdi 8@%%rsi"
#define PROBEMETER_USDT_ARGUMENTS_1 PROBEMETER_USDT_ARGUMENTS_0 " 8@%%rdx"
#define PROBEMETER_USDT_ARGUMENTS_2 PROBEMETER_USDT_ARGUMENTS_1 " 8@%%rcx"
#define PROBEMETER_USDT_ARGUMENTS_3 PROBEMETER_USDT_ARGUMENTS_2 " 8@%%r8"
#define PROBEMETER_USDT_ARGUMENTS_4 PROBEMETER_USDT_ARGUMENTS_3 " 8@%%r9"

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
#define PROBEMETER_NAKED_(...)                                                                               \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wstatic-in-inline\"") PROBEMETER_C_( \
		__inline__ __attribute__((weak, visibility("hidden"), naked, noinline, unused,               \
					  PROBEMETER_PLAIN_)) __VA_ARGS__)                                   \
	_Pragma("GCC diagnostic pop")
#else
#define PROBEMETER_NAKED_(...)                                                                               \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wattributes\"") static __inline__  \
		__attribute__((naked, noinline, noclone, unused, PROBEMETER_PLAIN_)) __VA_ARGS__             \
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
	PROBEMETER_NAKED_(void probemeter_stub_##id(                                                         \
		uint64_t value __attribute__((unused)), uint64_t hash __attribute__((unused))                \
		PROBEMETER_UNUSED_PARAMETERS_##n)                                                            \
	{                                                                                                    \
		/* Two, because ISO C lets a string literal have 4095 bytes. */                              \
		__asm__ volatile(PROBEMETER_HOME_ regions : :);                                              \
		__asm__ volatile(".ifndef probemeter_site_" #id "\n"                                         \
				 PROBEMETER_CFI_(".cfi_endproc")                                             \
				 PROBEMETER_STUB_(id)                                                        \
				 PROBEMETER_DESCRIPTOR_(more)                                                \
				 PROBEMETER_USDT_(id, sign PROBEMETER_USDT_ARGUMENTS_##n)                    \
				 ".popsection\n"                                                             \
				 PROBEMETER_CFI_(".cfi_startproc")                                           \
				 ".endif\n"                                                                  \
				 "jmp probemeter_site_" #id "\n"                                             \
				 :                                                                           \
				 : [semaphore] "i"(&probemeter_semaphore_##id), [kind] "i"(kind_number),     \
				   [labels] "i"(n), [text] "i"(&probemeter_text_##id[0]),                    \
				   [text_bytes] "i"(sizeof(probemeter_text_##id)) __VA_ARGS__);              \
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
			 , [bounds] "i"(&probemeter_bounds_##id[0]), [bounds_bytes] "i"(sizeof(probemeter_bounds_##id))) \
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
