/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk.h - a process looks at its own descriptors, and traps the places they name.
 *
 * Reads the notes of every loaded object as an agent would, arms a breakpoint at each place a probe may take, and keeps what
 * the trap sees: the argument registers, and whether the unwinder gets from there to a given function. So a build mode
 * proves by running that arguments arrive at the probed places, without a kernel probe.
 */
#ifndef MODES_WALK_H
#define MODES_WALK_H

#include <elf.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <probemeter/abi.h>

#define WALK_MAX 32
#define WALK_HITS 256
enum walk_where { WALK_SITE, WALK_FAST5, WALK_FAST10, WALK_SLOW, WALK_PLACES };

/* What differs by machine: what is at each place, how to trap there, what a trap tells, and which places a call passes. */
#ifdef __x86_64__
typedef unsigned char walk_code;
#define WALK_TRAP 0xcc
static const walk_code walk_first[WALK_PLACES] = { 0x90, 0x0f, 0x66, 0x90 };
static const unsigned walk_rest[WALK_PLACES] = { 0, 4, 9, 0 }; /* of the instruction, behind the trap */
#define WALK_ENTRY 0 /* where the stub begins before its site */
#define WALK_PC(context) ((context)->uc_mcontext.gregs[REG_RIP])
#define WALK_TRAPPED(context) (WALK_PC(context) - 1)
static const int walk_argument[] = { REG_RDI, REG_RSI, REG_RDX, REG_RCX, REG_R8, REG_R9 };
#define WALK_ARGUMENT(context, n) ((context)->uc_mcontext.gregs[walk_argument[n]])
#define WALK_FAST_WAY { WALK_SITE, WALK_FAST5, WALK_FAST10 }
#define WALK_SLOW_WAY { WALK_SITE, WALK_SLOW }
#else
typedef uint32_t walk_code;
#define WALK_TRAP 0xd4200000u /* brk 0 */
static const walk_code walk_first[WALK_PLACES] = { 0xd503201f };
static const unsigned walk_rest[WALK_PLACES] = { 4 };
#define WALK_ENTRY 4
#define WALK_PC(context) ((context)->uc_mcontext.pc)
#define WALK_TRAPPED(context) WALK_PC(context)
#define WALK_ARGUMENT(context, n) ((context)->uc_mcontext.regs[n])
#define WALK_FAST_WAY { WALK_SITE }
#define WALK_SLOW_WAY { WALK_SITE }
#endif

struct walk_metric {
	uintptr_t object; /* load address */
	unsigned kind, label_count, text_bytes, bounds_bytes;
	const char *scope, *name, *text;
	volatile unsigned short *semaphore;
	unsigned char *place[WALK_PLACES];
	const double *bounds;
	struct probemeter_levels *levels;
};

struct walk_hit {
	const struct walk_metric *metric;
	enum walk_where where;
	uint64_t value, hash;
	char labels[PROBEMETER_MAX_LABELS][64]; /* copies; "(null)" for NULL */
	int unwound; /* the unwinder went from the stub to walk_anchor */
};

static struct walk_metric walk_metrics[WALK_MAX];
static unsigned walk_count;
static struct walk_hit walk_hits[WALK_HITS];
static unsigned walk_hit_count;
static const void *walk_anchor; /* start of the function that backtraces must reach */

#define WALK_DIE(...)                                   \
	do {                                            \
		fprintf(stderr, "walk: " __VA_ARGS__);  \
		fputc('\n', stderr);                    \
		exit(1);                                \
	} while (0)

/* Text is no memory to a sanitizer. */
#ifdef __clang__
#define WALK_UNWATCHED __attribute__((noinline, no_sanitize("thread", "address")))
#else
#define WALK_UNWATCHED __attribute__((noinline, no_sanitize_thread, no_sanitize_address))
#endif
WALK_UNWATCHED static walk_code walk_swap(unsigned char *at, walk_code code)
{
	volatile walk_code *place = (volatile walk_code *)(void *)at;
	walk_code before = *place;

	*place = code;
	__builtin___clear_cache((char *)at, (char *)at + sizeof(code));
	return before;
}

static char *walk_place(const unsigned char *field, unsigned index)
{
	int32_t distance;

	memcpy(&distance, field + index, sizeof(distance));
	return (char *)(uintptr_t)(field + index) + distance;
}

static unsigned walk_u32(const unsigned char *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static void walk_descriptor(uintptr_t object, const unsigned char *at, const unsigned char *end)
{
	struct walk_metric *metric = &walk_metrics[walk_count++];

	if (walk_count > WALK_MAX)
		WALK_DIE("more than %d descriptors", WALK_MAX);
	metric->object = object;
	while (at + 4 <= end) {
		unsigned tag = walk_u32(at) & 0xffff, bytes = walk_u32(at) >> 16;

		at += 4;
		switch (tag) {
		case PROBEMETER_TAG_METRIC:
			metric->kind = walk_u32(at);
			metric->label_count = walk_u32(at + 4);
			break;
		case PROBEMETER_TAG_TEXT:
			metric->scope = metric->text = walk_place(at, 0);
			metric->text_bytes = walk_u32(at + 4);
			metric->name = metric->scope + strlen(metric->scope) + 1;
			break;
		case PROBEMETER_TAG_SEMAPHORE:
			metric->semaphore = (volatile unsigned short *)(void *)walk_place(at, 0);
			break;
		case PROBEMETER_TAG_SITE:
			metric->place[WALK_SITE] = (unsigned char *)walk_place(at, 0);
			break;
		case PROBEMETER_TAG_FAST:
			metric->place[WALK_FAST5] = (unsigned char *)walk_place(at, 0);
			metric->place[WALK_FAST10] = (unsigned char *)walk_place(at, 4);
			break;
		case PROBEMETER_TAG_SLOW:
			metric->place[WALK_SLOW] = (unsigned char *)walk_place(at, 0);
			break;
		case PROBEMETER_TAG_BOUNDS:
			metric->bounds = (const double *)(void *)walk_place(at, 0);
			metric->bounds_bytes = walk_u32(at + 4);
			break;
		case PROBEMETER_TAG_LEVELS:
			metric->levels = (struct probemeter_levels *)(void *)walk_place(at, 0);
			break;
		default:
			WALK_DIE("unknown tag %u", tag);
		}
		at += bytes;
	}
	if (at != end)
		WALK_DIE("a field runs over its descriptor's end");
}

/* In steps of 4 whatever p_align says: mold puts notes of alignment 8 and 4 into one PT_NOTE. */
static int walk_object(struct dl_phdr_info *info, size_t size, void *unused)
{
	int i;

	(void)size;
	(void)unused;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		const unsigned char *at = (const unsigned char *)(info->dlpi_addr + header->p_vaddr);
		const unsigned char *end = at + header->p_memsz;

		if (header->p_type != PT_NOTE)
			continue;
		while (at + 12 <= end) {
			unsigned name = walk_u32(at), bytes = walk_u32(at + 4), type = walk_u32(at + 8);
			const unsigned char *payload = at + 12 + ((name + 3) & ~3u);

			/* notes.py has renamed the owner, so that no agent on this host joins in. */
			if (name == sizeof(PROBEMETER_NOTE_OWNER) && type == PROBEMETER_NOTE_TYPE &&
			    !memcmp(at + 12, "unwatched!", name))
				walk_descriptor((uintptr_t)info->dlpi_addr, payload, payload + bytes);
			at = payload + ((bytes + 3) & ~3u);
		}
	}
	return 0;
}

/* The metric called @name in the object that holds @code. */
static struct walk_metric *walk_find(const char *name, const void *code)
{
	struct walk_metric *found = NULL;
	unsigned i;

	for (i = 0; i < walk_count; i++) {
		struct walk_metric *metric = &walk_metrics[i];
		intptr_t distance = (intptr_t)metric->place[WALK_SITE] - (intptr_t)code;

		/* Objects lie further apart than their code is long. */
		if (strcmp(metric->name, name) || distance > 4 << 20 || distance < -(4 << 20))
			continue;
		if (found)
			WALK_DIE("two descriptors of %s", name);
		found = metric;
	}
	if (!found)
		WALK_DIE("no descriptor of %s", name);
	return found;
}

struct walk_way {
	const void *site;
	unsigned depth;
	int found;
};

static _Unwind_Reason_Code walk_frame(struct _Unwind_Context *context, void *data)
{
	struct walk_way *way = (struct walk_way *)data;
	int before = 0;
	uintptr_t ip = (uintptr_t)_Unwind_GetIPInfo(context, &before);
	const void *start = _Unwind_FindEnclosingFunction((void *)(ip - !before));

	if (way->found == 0 && start == way->site)
		way->found = 1;
	else if (way->found == 1 && start == walk_anchor)
		way->found = 2;
	return way->found == 2 || ++way->depth > 64 ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static void walk_trapped(int signal, siginfo_t *info, void *data)
{
	ucontext_t *context = (ucontext_t *)data;
	const unsigned char *at = (const unsigned char *)WALK_TRAPPED(context);
	unsigned i, where, label;

	(void)signal;
	(void)info;
	for (i = 0; i < walk_count; i++)
		for (where = 0; where < WALK_PLACES; where++)
			if (walk_metrics[i].place[where] == at) {
				struct walk_hit *hit = &walk_hits[walk_hit_count++ % WALK_HITS];
				struct walk_way way = { walk_metrics[i].place[WALK_SITE] - WALK_ENTRY, 0, 0 };

				hit->metric = &walk_metrics[i];
				hit->where = (enum walk_where)where;
				hit->value = (uint64_t)WALK_ARGUMENT(context, 0);
				hit->hash = (uint64_t)WALK_ARGUMENT(context, 1);
				for (label = 0; label < walk_metrics[i].label_count; label++)
					(void)snprintf(hit->labels[label], sizeof(hit->labels[label]), "%.63s",
						       WALK_ARGUMENT(context, 2 + label) ?
							       (const char *)WALK_ARGUMENT(context, 2 + label) :
							       "(null)");
				if (walk_anchor)
					(void)_Unwind_Backtrace(walk_frame, &way);
				hit->unwound = way.found == 2;
				WALK_PC(context) += walk_rest[where];
				return;
			}
	_exit(99);
}

/* Find every descriptor, put a breakpoint at every place and raise every semaphore. */
static void walk_arm(void)
{
	const uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
	struct sigaction action;
	unsigned i, where;

	dl_iterate_phdr(walk_object, NULL);
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = walk_trapped;
	action.sa_flags = SA_SIGINFO;
	if (sigaction(SIGTRAP, &action, NULL))
		WALK_DIE("sigaction");
	for (i = 0; i < walk_count; i++) {
		struct walk_metric *metric = &walk_metrics[i];
		uintptr_t page = (uintptr_t)metric->place[WALK_SITE] & ~(page_size - 1);

		if (mprotect((void *)page, page_size, PROT_READ | PROT_WRITE | PROT_EXEC))
			WALK_DIE("%s: mprotect", metric->name);
		for (where = 0; where < WALK_PLACES; where++) {
			walk_code code;

			if (!walk_first[where])
				continue; /* not on this machine */
			if ((uintptr_t)metric->place[where] - page >= page_size)
				WALK_DIE("%s: the stub crosses a page", metric->name);
			code = walk_swap(metric->place[where], walk_first[where]);
			if (code != walk_first[where] || *metric->semaphore)
				WALK_DIE("%s: place %u holds 0x%02x", metric->name, where, (unsigned)code);
		}
	}
	/* Apart from the above, so that a place of two metrics is not taken for a tracer's work. */
	for (i = 0; i < walk_count; i++)
		for (where = 0; where < WALK_PLACES; where++)
			if (walk_first[where] && walk_swap(walk_metrics[i].place[where], WALK_TRAP) != walk_first[where])
				WALK_DIE("%s: place %u is another metric's too", walk_metrics[i].name, where);
}

static void walk_listen(int on)
{
	unsigned i;

	for (i = 0; i < walk_count; i++)
		*walk_metrics[i].semaphore = (unsigned short)on;
}

#endif
