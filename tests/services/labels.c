/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * labels - fires with label values that are hard to read: bytes in memory that is not there yet, of any length, of any
 * content, or no memory at all.
 *
 * Commands come on stdin; each is answered by one line of JSON on stdout, with the bytes of every label in hexadecimal:
 *
 *   fresh          256 literals, each alone in a page, in pages that this process has never read
 *   dropped        the same literals again, each page dropped (MADV_DONTNEED) just before
 *   mapped FILE    a label in a private mapping of FILE that has not been touched
 *   paged_out FILE a label in a mapping of FILE that has been paged out (MADV_PAGEOUT)
 *   lengths        around every boundary up to 1000 bytes, NULL and the empty string
 *   bytes          not UTF-8
 *   page_ends      labels that end where the readable memory does
 *   four           four labels at once
 *   hostile        the stub called directly with label pointers that point nowhere
 *   redeem         the same hashes with labels that can be read
 *   race           both at once, from two threads
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Labels"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(labels_seen, "labels.seen", "{event}", "One label", "value")
PROBEMETER_HISTOGRAM(labels_sized, "labels.sized", "{byte}", "One label", "value")
PROBEMETER_GAUGE(labels_level, "labels.level", "1", "One label", "value")
PROBEMETER_COUNTER(labels_four, "labels.four", "{event}", "Four labels", "a", "b", "c", "d")
PROBEMETER_COUNTER(labels_hostile, "labels.hostile", "{event}", "Pointers that point nowhere", "a", "b", "c", "d")

#define PAGE 4096

/* 256 different literals of 35 bytes, one to a page, in a section that nobody else's data shares. */
#define ROW(f, h) f(h, 0) f(h, 1) f(h, 2) f(h, 3) f(h, 4) f(h, 5) f(h, 6) f(h, 7) \
	f(h, 8) f(h, 9) f(h, a) f(h, b) f(h, c) f(h, d) f(h, e) f(h, f)
#define ALL(f) ROW(f, 0) ROW(f, 1) ROW(f, 2) ROW(f, 3) ROW(f, 4) ROW(f, 5) ROW(f, 6) ROW(f, 7) \
	ROW(f, 8) ROW(f, 9) ROW(f, a) ROW(f, b) ROW(f, c) ROW(f, d) ROW(f, e) ROW(f, f)
#define LITERAL(h, l) { "a literal on a page of its own: 0x" #h #l },
static const char literal[256][PAGE] __attribute__((aligned(PAGE), section(".rodata.untouched"))) = { ALL(LITERAL) };

static int answers;

/* Every event of a label: its bytes, how often it was fired, and what the memory was like. */
static void answer(const char *label, unsigned times, const char *note)
{
	const unsigned char *at = (const unsigned char *)label;

	printf("%s{\"times\": %u, \"note\": \"%s\", \"label\": ", answers++ ? ", " : "", times, note);
	if (label) {
		printf("\"");
		while (*at)
			printf("%02x", *at++);
		printf("\"}");
	} else {
		printf("null}");
	}
}

/* @times differs from label to label, so that a mix-up shows. */
static void fire(const char *label, unsigned times)
{
	unsigned i;

	for (i = 0; i < times; i++) {
		PROBEMETER_ADD(labels_seen, 1, label);
		PROBEMETER_RECORD(labels_sized, 8.0, label);
	}
	PROBEMETER_SET(labels_level, times, label);
}

/* Is the page of @address in this process's page table? Needs no privilege but root's to be true. */
static int present(const void *address)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)address / PAGE * sizeof(entry))) != sizeof(entry))
		entry = 1ull << 63;
	if (fd >= 0)
		(void)close(fd);
	return entry >> 63 & 1;
}

static int resident(void *address)
{
	unsigned char state = 1;

	return mincore(address, PAGE, &state) || (state & 1);
}

static void literals(int drop)
{
	static unsigned char absent[256];
	unsigned i;

	/* From the end, and in leaps, as the kernel maps the pages around a fault that it has at hand. */
	for (i = 0; i < 256; i++) {
		unsigned at = 255 - i * 37 % 256;

		if (drop)
			(void)madvise((void *)(uintptr_t)literal[at], PAGE, MADV_DONTNEED);
		absent[at] = !present(literal[at]);
		fire(literal[at], 1 + at % 5);
	}
	for (i = 0; i < 256; i++)
		answer(literal[i], 1 + i % 5, absent[i] ? "absent" : "present");
}

static void mapped(const char *file, int page_out)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	const char *note;
	char *map;

	if (fd < 0 || fstat(fd, &st)) {
		perror(file);
		return;
	}
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	(void)close(fd);
	if (map == MAP_FAILED) {
		perror(file);
		return;
	}
	if (page_out) {
		volatile char touch = *map;

		(void)touch;
		(void)madvise(map, (size_t)st.st_size, MADV_PAGEOUT);
		note = resident(map) ? "resident" : "paged out";
	} else {
		note = present(map) ? "present" : "absent";
	}
	fire(map, 3);
	answer(map, 3, note);
}

static void lengths(void)
{
	static const unsigned length[] = { 0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 62, 63, 64, 65, 125, 126, 127, 189, 255,
					   256, 300, 503, 504, 505, 510, 511, 512, 513, 1000 };
	unsigned i, j;

	for (i = 0; i < sizeof(length) / sizeof(length[0]); i++) {
		char *label = malloc(length[i] + 1);

		if (!label)
			exit(1);
		for (j = 0; j < length[i]; j++)
			label[j] = (char)('a' + (length[i] * 7 + j) % 26);
		label[length[i]] = '\0';
		fire(label, 1 + i);
		answer(label, 1 + i, "");
		free(label);
	}
	fire(NULL, 50);
	answer(NULL, 50, "");
}

static void bytes(void)
{
	static const char *const bad[] = {
		"\xff\xfe", "abc\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "ok\x80ok", "\xe2\x82", "\xf0\x9f\x98",
		"latin-1: gr\xfc\xdf", "\x01\x02\x7f", "tab\tand\nnewline", "gr\xc3\xbc\xc3\x9f", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
		"quote\" and \\ backslash",
	};
	static char cut[601];
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fire(bad[i], 2 + i);
		answer(bad[i], 2 + i, "");
	}
	/* Cut at 511 bytes: in the middle of a character. */
	for (i = 0; i < 300; i++)
		memcpy(cut + 2 * i, "\xc3\xa4", 2);
	fire(cut, 40);
	answer(cut, 40, "");
}

static void page_ends(void)
{
	static const unsigned length[] = { 0, 1, 5, 8, 16, 17, 62, 63, 64, 100, 126, 189, 300, 511, 600, PAGE - 1 };
	unsigned i, j;

	for (i = 0; i < sizeof(length) / sizeof(length[0]); i++) {
		char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *label = pages + PAGE - length[i] - 1;

		if (pages == MAP_FAILED || mprotect(pages + PAGE, PAGE, PROT_NONE))
			exit(1);
		for (j = 0; j < length[i]; j++)
			label[j] = (char)('A' + (length[i] * 11 + j) % 26);
		fire(label, 3 + i);
		answer(label, 3 + i, "");
	}
}

static void four(void)
{
	static const char a[] = "ab", b[] = "c";
	char long_label[301];
	unsigned i;

	memset(long_label, 'x', 300);
	long_label[300] = '\0';
	for (i = 0; i < 3; i++)
		PROBEMETER_ADD(labels_four, 1, a, b, "", NULL);
	for (i = 0; i < 5; i++)
		PROBEMETER_ADD(labels_four, 1, "a", "bc", NULL, "");
	for (i = 0; i < 7; i++)
		PROBEMETER_ADD(labels_four, 1, NULL, long_label, "\xff", "d");
	for (i = 0; i < 11; i++)
		PROBEMETER_ADD(labels_four, 1, "", "", "ab", "c");
	printf("{\"fired\": 26}");
}

/* --- hostile: what a service that corrupts its memory might do */

#define HOSTILE_HASH(n) (0x123456789abcdefull * (2 * (n) + 1))
#define HOSTILE 64

static const char *hostile_pointer(unsigned n)
{
	static const uintptr_t nowhere[] = { 1, 8, PAGE, 0x7fffffffe000, 0x800000000000, 0xdeadbeefdeadbeef, 0xffff888000000000,
					     0xffffffff81000000, ~(uintptr_t)0 };

	return (const char *)nowhere[n % (sizeof(nowhere) / sizeof(nowhere[0]))];
}

static unsigned hostile_fire(unsigned first, unsigned times)
{
	unsigned n, i;

	/* Behind the same test that every call is behind. */
	for (n = 0; n < HOSTILE && PROBEMETER_ENABLED(labels_hostile); n++)
		for (i = 0; i < times; i++)
			probemeter_stub_labels_hostile(1, HOSTILE_HASH(first + n), n % 4 == 0 ? hostile_pointer(n) : "a",
						       n % 4 == 1 ? hostile_pointer(n) : "b",
						       n % 4 == 2 ? hostile_pointer(n) : "c",
						       n % 4 == 3 ? hostile_pointer(n) : "d");
	return n * times;
}

static unsigned redeem(unsigned first, unsigned times)
{
	unsigned n, i;
	char name[16];

	for (n = 0; n < HOSTILE && PROBEMETER_ENABLED(labels_hostile); n++) {
		(void)snprintf(name, sizeof(name), "redeemed-%u", first + n);
		for (i = 0; i < times; i++)
			probemeter_stub_labels_hostile(1, HOSTILE_HASH(first + n), name, "b", "c", "d");
	}
	return n * times;
}

/* Two threads meet before each of RACES hashes; both bring the same labels, but one's last one cannot be read. */
#define RACES 1800 /* all of them within a metric's limit of series */
static unsigned arrived;

static void meet(unsigned n)
{
	unsigned spins = 0;

	(void)__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < 2 * (n + 1))
		if (++spins > 10000)
			(void)usleep(0);
}

static void *race_bad(void *context)
{
	unsigned *fired = context, n;
	char name[16];

	for (n = 0; n < RACES && PROBEMETER_ENABLED(labels_hostile); n++, ++*fired) {
		(void)snprintf(name, sizeof(name), "raced-%u", n);
		meet(n);
		probemeter_stub_labels_hostile(1, HOSTILE_HASH(1000 + n), name, "b", "c", hostile_pointer(n));
	}
	return NULL;
}

static void *race_good(void *context)
{
	unsigned *fired = context, n;
	char name[16];

	for (n = 0; n < RACES && PROBEMETER_ENABLED(labels_hostile); n++, ++*fired) {
		(void)snprintf(name, sizeof(name), "raced-%u", n);
		meet(n);
		probemeter_stub_labels_hostile(1, HOSTILE_HASH(1000 + n), name, "b", "c", "d");
	}
	return NULL;
}

static void race(void)
{
	unsigned bad = 0, good = 0;
	pthread_t thread[2];

	if (pthread_create(&thread[0], NULL, race_bad, &bad) || pthread_create(&thread[1], NULL, race_good, &good))
		exit(1);
	(void)pthread_join(thread[0], NULL);
	(void)pthread_join(thread[1], NULL);
	printf("{\"fired\": %u}", bad + good);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*plain)(void);
	} command[] = { { "lengths", lengths }, { "bytes", bytes }, { "page_ends", page_ends } };
	char line[512], verb[32], file[400];
	size_t i;

	printf("{\"ready\": %d}\n", getpid());
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		file[0] = verb[0] = '\0';
		(void)sscanf(line, "%31s %399s", verb, file);
		answers = 0;
		if (!strcmp(verb, "four")) {
			four();
		} else if (!strcmp(verb, "hostile")) {
			printf("{\"fired\": %u}", hostile_fire(0, 10));
		} else if (!strcmp(verb, "redeem")) {
			printf("{\"fired\": %u}", redeem(0, 5));
		} else if (!strcmp(verb, "race")) {
			race();
		} else {
			printf("[");
			if (!strcmp(verb, "fresh") || !strcmp(verb, "dropped"))
				literals(*verb == 'd');
			else if (!strcmp(verb, "mapped") || !strcmp(verb, "paged_out"))
				mapped(file, *verb == 'p');
			for (i = 0; i < sizeof(command) / sizeof(command[0]); i++)
				if (!strcmp(verb, command[i].name))
					command[i].plain();
			printf("]");
		}
		printf("\n");
		(void)fflush(stdout);
	}
	return 0;
}
