/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - a build mode's program: fires each metric from each translation unit and proves that it arrives.
 *
 * Compiled as C or as C++. -DWITH_CXX adds more.cc (twice), -DWITH_LIBRARY the shared library, -DNO_BACKTRACE is for
 * builds without unwind tables. Exit code 0, or 1 with the reason on stderr.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "walk.h"

#include <sys/wait.h>

#include "fire.h"

typedef void fire_function(const char *who, long n, double x);

void fire_main(const char *who, long n, double x)
{
	fire_all(who, n, x);
}

#ifdef TRACE_PC
/* What -fsanitize-coverage=trace-pc calls at the start of every block; it leaves no register as it was. */
extern "C" void __sanitizer_cov_trace_pc(void);
__attribute__((naked, no_sanitize_coverage)) void __sanitizer_cov_trace_pc(void)
{
	__asm__("xor %eax, %eax\nxor %edi, %edi\nxor %esi, %esi\nxor %edx, %edx\nxor %ecx, %ecx\n"
		"xor %r8d, %r8d\nxor %r9d, %r9d\nret");
}
#endif

/* Nobody calls it: with section garbage collection m_uncalled may go, and must leave nothing torn behind. */
void nobody_calls(const char *who);
void nobody_calls(const char *who)
{
	PROBEMETER_ADD(m_uncalled, 1, who);
}

#define EXPECT(test, ...)                                                         \
	do {                                                                      \
		if (!(test)) {                                                    \
			fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #test); \
			fprintf(stderr, __VA_ARGS__);                             \
			fputc('\n', stderr);                                      \
			exit(1);                                                  \
		}                                                                 \
	} while (0)

static uint64_t bits(double value)
{
	uint64_t word;

	memcpy(&word, &value, sizeof(word));
	return word;
}

/* One metric's hits, at the places that @where lists. */
static unsigned check_hits(const struct walk_metric *metric, unsigned at, const enum walk_where *where, unsigned places,
			   uint64_t value, const char *const *labels, unsigned count)
{
	uint64_t hash = PROBEMETER_HASH_SEED;
	unsigned i, place;

	for (i = 0; i < count; i++)
		hash = probemeter_hash_label_(hash, labels[i]);
	for (place = 0; place < places; place++, at++) {
		const struct walk_hit *hit = &walk_hits[at];

		EXPECT(at < walk_hit_count, "%s: hit %u never came", metric->name, at);
		EXPECT(hit->metric == metric, "hit %u is of %s, not %s", at, hit->metric->name, metric->name);
		EXPECT(hit->where == where[place], "%s: at place %d, not %d", metric->name, (int)hit->where, (int)where[place]);
		EXPECT(hit->value == value, "%s: %llx", metric->name, (unsigned long long)hit->value);
		EXPECT(hit->hash == hash, "%s: %llx", metric->name, (unsigned long long)hit->hash);
		EXPECT(metric->label_count == count, "%s: %u labels", metric->name, metric->label_count);
		for (i = 0; i < count; i++)
			EXPECT(!strcmp(hit->labels[i], labels[i] ? labels[i] : "(null)"), "%s: label %u", metric->name, i);
		EXPECT(hit->unwound || !walk_anchor, "%s: no way back from place %d", metric->name, (int)hit->where);
	}
	return at;
}

static const struct probemeter_level_value *find_level(const struct walk_metric *metric, const char *text, size_t bytes)
{
	const struct probemeter_levels *table = metric->levels;
	const struct probemeter_level_value *found = NULL;
	unsigned i;

	for (i = 0; i < table->used; i++) {
		const struct probemeter_level_slot *slot = &table->slot[i];

		if ((const char *)table + slot->metric != (const char *)metric->semaphore || slot->flags ||
		    memcmp(table->text + slot->text, text, bytes))
			continue;
		EXPECT(!found, "%s: two slots", metric->name);
		found = &table->value[i];
	}
	EXPECT(found, "%s: no slot for %s", metric->name, text);
	return found;
}

/* Fire from @fire, whose object's metrics must be hit, in fire_all()'s order, with fire_all()'s values. @round: how
 * often this has been done with the same @who in this process. */
__attribute__((noinline)) static void check_fire(fire_function *fire, const char *who, int slow, int round)
{
	static const enum walk_where fast_way[] = WALK_FAST_WAY, slow_way[] = WALK_SLOW_WAY;
	const enum walk_where *way = slow ? slow_way : fast_way;
	unsigned places = slow ? sizeof(slow_way) / sizeof(slow_way[0]) : sizeof(fast_way) / sizeof(fast_way[0]), at = 0;
	const char *const four[] = { who, "four", "a label of more than sixteen bytes", NULL };
	const char *const three[] = { who, "", "c" };
	const char *const bounds[] = { who, "b" };
	const char *const script[] = { who, "python-3.11" };
	const char *const one[] = { who };
	const void *code = (const void *)(uintptr_t)fire;
	char text[64];
	long n = 1000 + round;
	double x = 0.375 + round;
	int bytes;

	walk_hit_count = 0;
	fire(who, n, x);
#define HITS(name, value, labels, count) \
	at = check_hits(walk_find(name, code), at, way, places, (uint64_t)(value), labels, count)
	HITS("m.count", n, one, 0);
	HITS("m.four", n + 1, four, 4);
	HITS("m.hist", bits(x), one, 1);
	HITS("m.bounds", bits(x / 2), bounds, 2);
	HITS("m.updown", -1000 * round - round * (round + 1) / 2, three, 3);
	HITS("m.latest", n, one, 0);
	HITS("m.gauge", bits(x), one, 1);
	HITS("script.executions.total", 1, script, 2);
	EXPECT(at == walk_hit_count, "%u hits, not %u", walk_hit_count, at);

	bytes = snprintf(text, sizeof(text), "%s%c%c%c%c", who, 0, 0, 'c', 0);
	EXPECT((int64_t)find_level(walk_find("m.updown", code), text, (size_t)bytes)->value ==
		       -1000 * round - round * (round + 1) / 2, "%s", who);
	EXPECT(find_level(walk_find("m.gauge", code), who, strlen(who) + 1)->value == bits(x), "%s", who);
	EXPECT(find_level(walk_find("m.gauge", code), who, strlen(who) + 1)->set_ns, "%s", who);
	EXPECT((long)find_level(walk_find("m.latest", code), "", 0)->value == n, "%s", who);
}

static void check_everywhere(const char *suffix, int slow, int round)
{
	char who[32];
#define FROM(tu) \
	(void)snprintf(who, sizeof(who), "%s%s", #tu, suffix); \
	check_fire(tu, who, slow, round)

	FROM(fire_main);
	FROM(fire_other);
#ifdef WITH_CXX
	FROM(fire_more);
	FROM(fire_again);
#endif
#ifdef WITH_LIBRARY
	FROM(fire_library);
#endif
}

/* In a child: its levels start at zero, and its way is the one that is safe. */
static void check_in_child(int slow)
{
	pid_t child;
	int status;

	(void)fflush(NULL);
	child = fork();
	EXPECT(child >= 0, "fork");
	if (!child) {
		unsigned i, slot;

		/* qemu-user says yes to the request and does nothing. */
		for (i = 0; i < walk_count && getenv("EMULATED"); i++)
			if (walk_metrics[i].levels)
				memset(walk_metrics[i].levels->value, 0, sizeof(walk_metrics[i].levels->value));
		for (i = 0; i < walk_count; i++)
			for (slot = 0; walk_metrics[i].levels && slot < PROBEMETER_LEVEL_SLOTS; slot++)
				EXPECT(!walk_metrics[i].levels->value[slot].value, "%s: inherited", walk_metrics[i].name);
		check_everywhere("", slow, 1);
		exit(0);
	}
	EXPECT(waitpid(child, &status, 0) == child, "waitpid");
	EXPECT(WIFEXITED(status) && !WEXITSTATUS(status), "the child: %x", (unsigned)status);
}

int main(void)
{
	static const enum walk_where fast_way[] = WALK_FAST_WAY;
	long evaluated = 0;
	uint64_t start;

	walk_arm();
	EXPECT(walk_count >= 8, "%u descriptors", walk_count);
#ifndef NO_BACKTRACE
	walk_anchor = (const void *)(uintptr_t)check_fire;
#endif

	/* Nobody listens: nothing fires, nothing is evaluated, levels are kept all the same. */
	EXPECT(!PROBEMETER_ENABLED(m_count) && PROBEMETER_ENABLED(m_gauge), "enabled");
	PROBEMETER_ADD(m_count, ++evaluated);
	start = PROBEMETER_START(m_hist);
	PROBEMETER_RECORD_SINCE(m_hist, start, "x");
	PROBEMETER_SET(m_gauge, ++evaluated, "quiet");
	EXPECT(evaluated == 1 && !start && !walk_hit_count, "%ld", evaluated);
	EXPECT(find_level(walk_find("m.gauge", (const void *)(uintptr_t)fire_main), "quiet", 6)->value == bits(1), "quiet");

	/* Somebody listens. A child of a process that never fired goes the fast way itself. */
	walk_listen(1);
	EXPECT(PROBEMETER_ENABLED(m_count), "enabled");
	check_in_child(0);
	check_everywhere("", 0, 1);
	check_everywhere("", 0, 2);
	check_in_child(1);
	check_everywhere("", 0, 3);

	walk_hit_count = 0;
	walk_anchor = NULL;
	start = PROBEMETER_START(m_hist);
	EXPECT(start, "start");
	PROBEMETER_RECORD_SINCE(m_hist, start, "x");
	EXPECT(walk_hit_count == sizeof(fast_way) / sizeof(fast_way[0]), "%u hits", walk_hit_count);
	memcpy(&start, &walk_hits[0].value, sizeof(start));
	EXPECT(start && start < bits(60.0), "%llx is no time in seconds", (unsigned long long)start);
	return 0;
}
