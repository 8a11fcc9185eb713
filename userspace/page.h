/* SPDX-License-Identifier: BSD-2-Clause */
/* page.h - the live page, built from userspace/page/. */
#ifndef PROBEMETER_PAGE_H
#define PROBEMETER_PAGE_H

#include <stddef.h>

/* HTML in UTF-8, the whole of it; static. */
const void *page_bytes(size_t *ret_size);

/* The Content-Security-Policy that lets a browser run this page's own script, and nothing else. */
extern const char page_policy[];

#endif
