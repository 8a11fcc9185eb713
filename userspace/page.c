/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page.c - the live page inside the program.
 *
 * Consumes what page.sh made of userspace/page/, at build time; produces its bytes.
 */
#include "page.h"

#include "live_page.h"

__asm__(".pushsection .rodata\n"
	".type page_first, @object\n"
	"page_first:\n"
	".incbin \"" PAGE_FILE "\"\n"
	"page_end:\n"
	".byte 0\n"
	".size page_first, . - page_first\n"
	".popsection\n");

extern const char page_first[] __attribute__((visibility("hidden"))), page_end[] __attribute__((visibility("hidden")));

const char page_policy[] = PAGE_POLICY;

const void *page_bytes(size_t *ret_size)
{
	*ret_size = (size_t)(page_end - page_first);
	return page_first;
}
