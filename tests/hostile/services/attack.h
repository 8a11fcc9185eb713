/* SPDX-License-Identifier: BSD-2-Clause */
/* attack.h - a metric, and what fires it with labels and hashes that no macro would make. */
#ifndef ATTACK_H
#define ATTACK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Hostile"
#include <probemeter/probemeter.h>

#define PAGE 4096

/* Memory with a page behind it that nobody may read. */
static inline char *page_with_end(size_t pages)
{
	char *at = mmap(NULL, (pages + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || mprotect(at + pages * PAGE, PAGE, PROT_NONE))
		exit(1);
	return at;
}

#define FOREVER for (;; usleep(5000))

#endif
