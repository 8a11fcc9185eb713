/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stub_aarch64.h - the stub, and what a fork clears, for arm64. site.h says what for, and uses it.
 *
 *          bti c       for a linker that gets here through a veneer, which jumps indirectly
 *   site:  nop         the USDT note names this one; any tool attaches here
 *          ret
 *
 * No kernel turns a nop into a call here: a probe is a breakpoint, of which 6.13 and later simulate the nop and earlier ones
 * step it out of line. So there is no fast way and no guard, and a forked child hits what its parent hit. There is no red
 * zone either: what lies below the stack pointer is nobody's.
 *
 * The function around it calls the stub from assembly, as gcc has no naked functions for this architecture, and puts the
 * arguments into the calling convention's own registers. It is out of line so that its callers lose no register to that. The
 * stub's frame description is written by hand: the enclosing function's is open, and cannot be closed around it without
 * losing what the compiler said there.
 */
#ifndef PROBEMETER_STUB_AARCH64_H
#define PROBEMETER_STUB_AARCH64_H

/* The caller's frame is the stub's, the return address is in x30: a CIE (version 1, "zR": addresses relative, 4 bytes;
 * instructions of 4 bytes, data of -8, return address in 30; the CFA is register 31, sp), and an FDE that adds nothing. */
#ifdef __GCC_HAVE_DWARF2_CFI_ASM
#define PROBEMETER_FRAME_(begin, end)                                                                        \
	".pushsection .eh_frame,\"a\",@progbits\n"                                                           \
	".p2align 3\n"                                                                                       \
	"980: .4byte 982f - 981f\n"                                                                          \
	"981: .4byte 0\n.byte 1\n.asciz \"zR\"\n.byte 4, 0x78, 30, 1, 0x1b, 12, 31, 0\n"                     \
	".p2align 3\n"                                                                                       \
	"982: .4byte 984f - 983f\n"                                                                          \
	"983: .4byte 983b - 980b, " begin " - ., " end " - " begin "\n.byte 0\n"                             \
	".p2align 3\n"                                                                                       \
	"984:\n"                                                                                             \
	".popsection\n"
#else
#define PROBEMETER_FRAME_(begin, end) ""
#endif

#define PROBEMETER_STUB_BEGIN_(id)                                                                           \
	".pushsection .text.probemeter." #id ",\"axG\",@progbits,probemeter_site_" #id ",comdat\n"           \
	".weak probemeter_site_" #id "\n.hidden probemeter_site_" #id "\n"                                   \
	".type probemeter_site_" #id ",@function\n"                                                          \
	".p2align 4\n"                                                                                       \
	"probemeter_site_" #id ":\n"                                                                         \
	"989: hint 34\n"                                                                                     \
	"990: nop\n"                                                                                         \
	"ret\n"                                                                                              \
	"991:\n"                                                                                             \
	/* never run; without it all stubs have the same bytes, and --icf would fold them into one */        \
	".asciz \"" #id "\"\n"                                                                               \
	".size probemeter_site_" #id ", . - probemeter_site_" #id "\n" PROBEMETER_FRAME_("989b", "991b")
#define PROBEMETER_STUB_END_ ".popsection\n"
#define PROBEMETER_STUB_PLACES_ ""
#define PROBEMETER_STUB_REGIONS_ ""

/* The function around it. A veneer may use x16 and x17. The tracer reads the labels. */
#define PROBEMETER_BARE_
#define PROBEMETER_ENTER_(id) "bl probemeter_site_" #id "\n"
#define PROBEMETER_LOAD_0                             \
	register uint64_t in_value __asm__("x0") = value; \
	register uint64_t in_hash __asm__("x1") = hash;
#define PROBEMETER_LOAD_1 PROBEMETER_LOAD_0 register const char *in_label1 __asm__("x2") = label1;
#define PROBEMETER_LOAD_2 PROBEMETER_LOAD_1 register const char *in_label2 __asm__("x3") = label2;
#define PROBEMETER_LOAD_3 PROBEMETER_LOAD_2 register const char *in_label3 __asm__("x4") = label3;
#define PROBEMETER_LOAD_4 PROBEMETER_LOAD_3 register const char *in_label4 __asm__("x5") = label4;
#define PROBEMETER_INPUTS_0 , "r"(in_value), "r"(in_hash)
#define PROBEMETER_INPUTS_1 PROBEMETER_INPUTS_0, "r"(in_label1)
#define PROBEMETER_INPUTS_2 PROBEMETER_INPUTS_1, "r"(in_label2)
#define PROBEMETER_INPUTS_3 PROBEMETER_INPUTS_2, "r"(in_label3)
#define PROBEMETER_INPUTS_4 PROBEMETER_INPUTS_3, "r"(in_label4)
#define PROBEMETER_CLOBBERS_ : "x16", "x17", "x30", "memory"

/* An address as an operand (gcc takes no "i" in position-independent code), and as a constant in the text. */
#define PROBEMETER_ADDRESS_ "S"
#define PROBEMETER_SYMBOL_(name) "%[" #name "]"

/* What a tracer finds in the argument registers. */
#define PROBEMETER_USDT_ARGUMENTS_0 "@x0 8@x1"
#define PROBEMETER_USDT_ARGUMENTS_1 PROBEMETER_USDT_ARGUMENTS_0 " 8@x2"
#define PROBEMETER_USDT_ARGUMENTS_2 PROBEMETER_USDT_ARGUMENTS_1 " 8@x3"
#define PROBEMETER_USDT_ARGUMENTS_3 PROBEMETER_USDT_ARGUMENTS_2 " 8@x4"
#define PROBEMETER_USDT_ARGUMENTS_4 PROBEMETER_USDT_ARGUMENTS_3 " 8@x5"

/* The level table, in .bss, one per linked object. Its first 32768 bytes are the values, which the kernel is asked to clear in
 * forked children. Pages have 4, 16 or 64 KiB here: so as much room that nobody touches lies before the table, both together
 * are a page of 64 KiB or several smaller ones, and nothing but the values is cleared. A constructor asks: a plain system call,
 * so that neither libc nor a library is needed, and early, so that a service that later restricts its system calls has it
 * behind it. If the kernel agrees, the table's word `wiped` becomes 1. */
#define PROBEMETER_LEVELS_REGION_                                                                            \
	".ifndef probemeter_levels\n"                                                                        \
	".pushsection .bss.probemeter_levels,\"awG\",@nobits,probemeter_levels,comdat\n"                     \
	".weak probemeter_levels\n.hidden probemeter_levels\n"                                               \
	".type probemeter_levels,@object\n.size probemeter_levels, 225280\n"                                 \
	".p2align 16\n.zero 32768\nprobemeter_levels: .zero 225280\n"                                        \
	".popsection\n"                                                                                      \
	".pushsection .text.probemeter_levels,\"axG\",@progbits,probemeter_levels,comdat\n"                  \
	".weak probemeter_levels_init\n.hidden probemeter_levels_init\n"                                     \
	".type probemeter_levels_init,@function\n"                                                           \
	".p2align 2\n"                                                                                       \
	"probemeter_levels_init:\n"                                                                          \
	"hint 34\n" /* bti c */                                                                              \
	"adrp x3, probemeter_levels\n"                                                                       \
	"add x3, x3, :lo12:probemeter_levels\n"                                                              \
	"sub x0, x3, 32768\n"                                                                                \
	"mov w1, 65536\n"                                                                                    \
	"mov w2, 18\n" /* MADV_WIPEONFORK */                                                                 \
	"mov w8, 233\n" /* madvise */                                                                        \
	"svc 0\n"                                                                                            \
	"cbnz x0, 988f\n"                                                                                    \
	"add x3, x3, 32768\n"                                                                                \
	"mov w1, 1\n"                                                                                        \
	"str w1, [x3, 8]\n"                                                                                  \
	"988: ret\n"                                                                                         \
	".size probemeter_levels_init, . - probemeter_levels_init\n"                                         \
	".popsection\n"                                                                                      \
	".pushsection .init_array,\"awG\",@init_array,probemeter_levels,comdat\n"                            \
	".p2align 3\n.8byte probemeter_levels_init\n"                                                        \
	".popsection\n"                                                                                      \
	".endif\n"
#define PROBEMETER_LEVELS_ADDRESS_ "adrp %0, probemeter_levels\nadd %0, %0, :lo12:probemeter_levels\n"

#endif
