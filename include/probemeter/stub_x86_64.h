/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stub_x86_64.h - the stub, its guard, and what a fork clears, for x86-64. site.h says what for, and uses it.
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
 * It is called, never inlined, because the kernel's fast probe is itself a call: inline it would push over the red zone of
 * a leaf function, and moving the stack pointer around it would break unwinding.
 *
 * The guard exists because a fast probe's trampoline is not mapped in a forked child while the child's text still
 * calls it (seen on Linux 6.18: SIGSEGV). `home` lies in a page that the kernel wipes in every child
 * (MADV_WIPEONFORK); `state` is ordinary memory: 0 = the kernel would not wipe, 1 = ready, 2 = this process or an
 * ancestor came by here, so its text may be patched. A child of a process in state 1 was never patched and may take
 * the fast way itself. Patching holds mmap_lock for writing, as fork does, and follows the store of state = 2, so no
 * child sees patched text with state 1. Two threads that pass label 2 at once store the same values.
 *
 * The function around it is naked and only jumps to the shared stub.
 */
#ifndef PROBEMETER_STUB_X86_64_H
#define PROBEMETER_STUB_X86_64_H

/* An instruction in both dialects: with -masm=intel, gcc and clang take what is behind the bar. Switching the dialect
 * inside the template would not do: clang drops the $ of an immediate. */
#define PROBEMETER_ASM_(att, intel) "{" att "|" intel "}\n"

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
#define PROBEMETER_STUB_BEGIN_(id) PROBEMETER_CFI_(".cfi_endproc") PROBEMETER_STUB_(id)
#define PROBEMETER_STUB_END_ ".popsection\n" PROBEMETER_CFI_(".cfi_startproc")
#define PROBEMETER_STUB_PLACES_                                                                              \
	PROBEMETER_FIELD_(PROBEMETER_TAG_FAST, 8) PROBEMETER_PLACE_("991b") PROBEMETER_PLACE_("992b")        \
	PROBEMETER_FIELD_(PROBEMETER_TAG_SLOW, 4) PROBEMETER_PLACE_("994b")
#define PROBEMETER_STUB_REGIONS_ PROBEMETER_HOME_

/* The function around it: its arguments are the stub's. */
#define PROBEMETER_BARE_ naked,
#define PROBEMETER_ENTER_(id) "jmp probemeter_site_" #id "\n"
#define PROBEMETER_LOAD_0
#define PROBEMETER_LOAD_1
#define PROBEMETER_LOAD_2
#define PROBEMETER_LOAD_3
#define PROBEMETER_LOAD_4
#define PROBEMETER_INPUTS_0
#define PROBEMETER_INPUTS_1
#define PROBEMETER_INPUTS_2
#define PROBEMETER_INPUTS_3
#define PROBEMETER_INPUTS_4
#define PROBEMETER_CLOBBERS_

/* An address as an operand, and as a constant in the text. */
#define PROBEMETER_ADDRESS_ "i"
#define PROBEMETER_SYMBOL_(name) "%c[" #name "]"

/* What a tracer finds in the argument registers. */
#define PROBEMETER_USDT_ARGUMENTS_0 "@%%rdi 8@%%rsi"
#define PROBEMETER_USDT_ARGUMENTS_1 PROBEMETER_USDT_ARGUMENTS_0 " 8@%%rdx"
#define PROBEMETER_USDT_ARGUMENTS_2 PROBEMETER_USDT_ARGUMENTS_1 " 8@%%rcx"
#define PROBEMETER_USDT_ARGUMENTS_3 PROBEMETER_USDT_ARGUMENTS_2 " 8@%%r8"
#define PROBEMETER_USDT_ARGUMENTS_4 PROBEMETER_USDT_ARGUMENTS_3 " 8@%%r9"

/* The level table: a region, and how to get at it. */
#define PROBEMETER_LEVELS_REGION_ PROBEMETER_WIPED_(probemeter_levels, 32768, 225280, "32776+probemeter_levels")
#define PROBEMETER_LEVELS_ADDRESS_ PROBEMETER_ASM_("leaq probemeter_levels(%%rip), %0", "lea %0, probemeter_levels[rip]")

#endif
