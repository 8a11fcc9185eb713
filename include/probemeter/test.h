/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test.h - -DPROBEMETER_TEST: uses are recorded in the process, so that a service's unit test can ask what was fired.
 *
 * Neither root nor agent nor a library is needed; any system with gcc or clang will do. Build the service's sources and
 * the test with -DPROBEMETER_TEST, include the service's header of declarations in the test, and ask:
 *
 *     probemeter_test_reset();
 *     order_place("eu", "gold");
 *     assert(PROBEMETER_TEST_CALLS(orders_placed, "eu", "gold") == 1);
 *     assert(PROBEMETER_TEST_TOTAL(orders_open, "eu") == 1);
 *     assert(PROBEMETER_TEST_LAST(order_latency, PROBEMETER_TEST_ANY) < 0.5);
 *
 *   PROBEMETER_TEST_CALLS(id, labels...)   unsigned long long: uses with these labels
 *   PROBEMETER_TEST_TOTAL(id, labels...)   double: a counter's total, a histogram's sum, a level's current value
 *   PROBEMETER_TEST_LAST(id, labels...)    double: the value given to the last use, NaN if there was none
 *   PROBEMETER_TEST_ANY                    in place of a label value: any. No labels at all: any in every place.
 *   probemeter_test_reset()                forget all of it; levels are 0 again
 *   probemeter_test_listen(int on)         1, as at the start: somebody listens. 0: nobody does, so counters and
 *                                          histograms evaluate and record nothing; levels need no listener
 *   probemeter_test_lost()                 unsigned long long: uses not recorded because malloc failed
 *   probemeter_test_first(), probemeter_test_next(event)
 *                                          const struct probemeter_test_event *, NULL at the end: every use in order;
 *                                          valid until reset
 *
 * Uses and questions may come from any thread; not from a signal handler, and reset only while nobody iterates. A fork
 * copies the record. Every use keeps its event until reset: a test that fires millions resets in between. All
 * translation units of a linked object share one record, and so do a program and the libraries linked to it. The
 * compile-time checks are those of a real build.
 */
#ifndef PROBEMETER_TEST_H
#define PROBEMETER_TEST_H

#ifndef __GNUC__
#error "probemeter: PROBEMETER_TEST needs gcc or clang"
#endif

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <probemeter/abi.h>
#include <probemeter/arguments.h>

#define PROBEMETER_TEST_USE_ADD 1
#define PROBEMETER_TEST_USE_SET 2
#define PROBEMETER_TEST_USE_RECORD 3

/* One use. Strings are copies, kept until reset; label values are never NULL. */
struct probemeter_test_event {
	const char *id, *scope, *name, *unit, *description;
	int kind; /* PROBEMETER_KIND_... of abi.h */
	int use; /* PROBEMETER_TEST_USE_... */
	double value; /* as given */
	int64_t integer; /* the same, exactly, where the metric takes integers */
	unsigned label_count;
	const char *label_names[PROBEMETER_MAX_LABELS];
	const char *labels[PROBEMETER_MAX_LABELS];
	struct probemeter_test_event *next; /* for probemeter_test_next() alone */
};

/* The uses of one metric with one set of label values. */
struct probemeter_test_series_ {
	struct probemeter_test_event event; /* what its events have in common, and the last one's value */
	unsigned long long calls, last; /* @last: number of the last event, counted over all series */
	double real; /* total of a histogram or gauge */
	int64_t integer; /* total of the rest */
	struct probemeter_test_series_ *next, *chain;
};

#define PROBEMETER_TEST_CHAINS_ 1024

struct probemeter_test_state_ {
	char lock, silent;
	unsigned long long events, lost;
	struct probemeter_test_event *first, *newest;
	struct probemeter_test_series_ *series; /* newest first */
	struct probemeter_test_series_ *chain[PROBEMETER_TEST_CHAINS_]; /* by hash */
};

/* Weak: one record per linked object, whoever includes this. */
#ifdef _WIN32
#define PROBEMETER_TEST_SHARED_ __attribute__((selectany))
#else
#define PROBEMETER_TEST_SHARED_ __attribute__((weak, visibility("default")))
#endif
PROBEMETER_C_(extern struct probemeter_test_state_ probemeter_test_state_;
	      extern char probemeter_test_any_[];
	      PROBEMETER_TEST_SHARED_ struct probemeter_test_state_ probemeter_test_state_ = PROBEMETER_ZERO_;
	      PROBEMETER_TEST_SHARED_ char probemeter_test_any_[] = "(any)";)

#define PROBEMETER_TEST_ANY (PROBEMETER_CAST_(const char *, probemeter_test_any_))

PROBEMETER_QUIET_BEGIN_

PROBEMETER_INLINE_ void probemeter_test_lock_(void)
{
	while (__atomic_test_and_set(&probemeter_test_state_.lock, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&probemeter_test_state_.lock, __ATOMIC_RELAXED))
			;
}

PROBEMETER_INLINE_ void probemeter_test_unlock_(void)
{
	__atomic_clear(&probemeter_test_state_.lock, __ATOMIC_RELEASE);
}

PROBEMETER_INLINE_ void probemeter_test_listen(int on)
{
	__atomic_store_n(&probemeter_test_state_.silent, on ? 0 : 1, __ATOMIC_RELAXED);
}

PROBEMETER_INLINE_ int probemeter_test_listened_(void)
{
	return !__atomic_load_n(&probemeter_test_state_.silent, __ATOMIC_RELAXED);
}

PROBEMETER_INLINE_ unsigned long long probemeter_test_lost(void)
{
	unsigned long long lost;

	probemeter_test_lock_();
	lost = probemeter_test_state_.lost;
	probemeter_test_unlock_();
	return lost;
}

PROBEMETER_INLINE_ void probemeter_test_reset(void)
{
	struct probemeter_test_state_ *state = &probemeter_test_state_;
	struct probemeter_test_event *event, *next_event;
	struct probemeter_test_series_ *series, *next_series;

	probemeter_test_lock_();
	for (event = state->first; event; event = next_event) {
		next_event = event->next;
		free(event);
	}
	for (series = state->series; series; series = next_series) {
		next_series = series->next;
		free(series);
	}
	state->first = state->newest = NULL;
	state->series = NULL;
	memset(state->chain, 0, sizeof(state->chain));
	state->events = state->lost = 0;
	probemeter_test_unlock_();
}

PROBEMETER_INLINE_ const struct probemeter_test_event *probemeter_test_first(void)
{
	const struct probemeter_test_event *event;

	probemeter_test_lock_();
	event = probemeter_test_state_.first;
	probemeter_test_unlock_();
	return event;
}

PROBEMETER_INLINE_ const struct probemeter_test_event *
probemeter_test_next(const struct probemeter_test_event *event)
{
	probemeter_test_lock_();
	event = event->next;
	probemeter_test_unlock_();
	return event;
}

PROBEMETER_INLINE_ int probemeter_test_is_real_(int kind)
{
	return kind == PROBEMETER_KIND_HISTOGRAM || kind == PROBEMETER_KIND_GAUGE;
}

/* A NULL pattern stands for any value in every place. */
PROBEMETER_INLINE_ int probemeter_test_matches_(const struct probemeter_test_series_ *series, const char *id,
						const char *const *pattern)
{
	unsigned i;

	if (strcmp(series->event.id, id))
		return 0;
	for (i = 0; pattern && i < series->event.label_count; i++)
		if (pattern[i] != probemeter_test_any_ && strcmp(series->event.labels[i], pattern[i] ? pattern[i] : ""))
			return 0;
	return 1;
}

/* FNV-1a over id and label values with their NULs. */
PROBEMETER_INLINE_ unsigned probemeter_test_chain_(const char *id, const char *const *labels, unsigned count)
{
	uint32_t hash = 2166136261u;
	const char *at;
	unsigned i;

	for (i = 0; i <= count; i++) {
		for (at = i ? labels[i - 1] : id; at && *at; at++)
			hash = (hash ^ (unsigned char)*at) * 16777619u;
		hash *= 16777619u;
	}
	return hash % PROBEMETER_TEST_CHAINS_;
}

/* Copy @string to @*to, and leave @*to behind it. */
PROBEMETER_INLINE_ const char *probemeter_test_copy_(char **to, const char *string)
{
	char *copy = *to;
	size_t size = strlen(string) + 1;

	memcpy(copy, string, size);
	*to = copy + size;
	return copy;
}

/* The series, made if there is none; NULL if there is no memory. @text as the declaration made it, of @bytes. */
PROBEMETER_INLINE_ struct probemeter_test_series_ *
probemeter_test_series_find_(const char *id, int kind, const char *text, size_t bytes, const char *const *labels,
			     unsigned count)
{
	struct probemeter_test_state_ *state = &probemeter_test_state_;
	unsigned at = probemeter_test_chain_(id, labels, count), i;
	struct probemeter_test_series_ *series;
	size_t size = sizeof(*series) + strlen(id) + 1 + bytes;
	char *to;

	for (series = state->chain[at]; series; series = series->chain)
		if (probemeter_test_matches_(series, id, labels))
			return series;
	for (i = 0; i < count; i++)
		size += (labels[i] ? strlen(labels[i]) : 0) + 1;
	series = (struct probemeter_test_series_ *)malloc(size);
	if (!series)
		return NULL;
	memset(series, 0, sizeof(*series));
	to = (char *)(series + 1);
	series->event.kind = kind;
	series->event.label_count = count;
	series->event.id = probemeter_test_copy_(&to, id);
	for (i = 0; i < count; i++)
		series->event.labels[i] = probemeter_test_copy_(&to, labels[i] ? labels[i] : "");
	memcpy(to, text, bytes);
	series->event.scope = to;
	series->event.name = series->event.scope + strlen(series->event.scope) + 1;
	series->event.unit = series->event.name + strlen(series->event.name) + 1;
	series->event.description = series->event.unit + strlen(series->event.unit) + 1;
	text = series->event.description;
	for (i = 0; i < count; i++)
		series->event.label_names[i] = text += strlen(text) + 1;
	series->chain = state->chain[at];
	state->chain[at] = series;
	series->next = state->series;
	state->series = series;
	return series;
}

PROBEMETER_INLINE_ void probemeter_test_record_(const char *id, int kind, int use, const void *text,
							    size_t bytes, double value, int64_t integer,
							    const char *const *labels, unsigned count)
{
	struct probemeter_test_state_ *state = &probemeter_test_state_;
	struct probemeter_test_event *event = (struct probemeter_test_event *)malloc(sizeof(*event));
	struct probemeter_test_series_ *series;

	probemeter_test_lock_();
	series = event ? probemeter_test_series_find_(id, kind, (const char *)text, bytes, labels, count) : NULL;
	if (!series) {
		state->lost++;
		probemeter_test_unlock_();
		free(event);
		return;
	}
	series->event.use = use;
	series->event.value = value;
	series->event.integer = integer;
	series->calls++;
	series->last = ++state->events;
	if (use == PROBEMETER_TEST_USE_SET) {
		series->real = value;
		series->integer = integer;
	} else {
		series->real += value;
		/* Unsigned, because overflow wraps in a real level as well. */
		series->integer = (int64_t)((uint64_t)series->integer + (uint64_t)integer);
	}
	*event = series->event;
	if (state->newest)
		state->newest->next = event;
	else
		state->first = event;
	state->newest = event;
	probemeter_test_unlock_();
}

struct probemeter_test_answer_ {
	unsigned long long calls;
	double total, last;
};

PROBEMETER_INLINE_ struct probemeter_test_answer_ probemeter_test_ask_(const char *id,
										   const char *const *pattern)
{
	struct probemeter_test_answer_ answer = { 0, 0, __builtin_nan("") };
	const struct probemeter_test_series_ *series;
	unsigned long long last = 0;
	uint64_t integers = 0;

	probemeter_test_lock_();
	for (series = probemeter_test_state_.series; series; series = series->next) {
		if (!probemeter_test_matches_(series, id, pattern))
			continue;
		answer.calls += series->calls;
		if (probemeter_test_is_real_(series->event.kind))
			answer.total += series->real;
		else
			integers += (uint64_t)series->integer;
		if (series->last > last) {
			last = series->last;
			answer.last = series->event.value;
		}
	}
	probemeter_test_unlock_();
	answer.total += (double)(int64_t)integers;
	return answer;
}

/* The clock of strict C11 and C++17; a real build takes CLOCK_MONOTONIC. Never 0, which means "nobody listens". */
PROBEMETER_INLINE_ uint64_t probemeter_now_(void)
{
	struct timespec now = { 0, 0 };

	(void)timespec_get(&now, TIME_UTC);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + 1;
}

PROBEMETER_QUIET_END_

/* Labels as an array, never empty. */
#define PROBEMETER_TEST_ARRAY_0 { "" }
#define PROBEMETER_TEST_ARRAY_1 { label1 }
#define PROBEMETER_TEST_ARRAY_2 { label1, label2 }
#define PROBEMETER_TEST_ARRAY_3 { label1, label2, label3 }
#define PROBEMETER_TEST_ARRAY_4 { label1, label2, label3, label4 }
#define PROBEMETER_TEST_PARAMETERS_0 void
#define PROBEMETER_TEST_PARAMETERS_1 const char *label1
#define PROBEMETER_TEST_PARAMETERS_2 PROBEMETER_TEST_PARAMETERS_1, const char *label2
#define PROBEMETER_TEST_PARAMETERS_3 PROBEMETER_TEST_PARAMETERS_2, const char *label3
#define PROBEMETER_TEST_PARAMETERS_4 PROBEMETER_TEST_PARAMETERS_3, const char *label4

/* One function per metric and use, as in a real build. */
#define PROBEMETER_TEST_FUNCTION_(id, kind, use, n, function, type, real, integer_value)                    \
	PROBEMETER_INLINE_ void function(type PROBEMETER_PARAMETERS_##n)                                    \
	{                                                                                                   \
		const char *const label_array[] = PROBEMETER_TEST_ARRAY_##n;                                \
                                                                                                            \
		probemeter_test_record_(#id, kind, use, probemeter_text_##id, sizeof(probemeter_text_##id), \
					real, integer_value, label_array, n);                               \
	}
#define PROBEMETER_TEST_INTEGER_(id, kind, use, n, verb)                                                          \
	PROBEMETER_TEST_FUNCTION_(id, kind, use, n, probemeter_##verb##_##id, PROBEMETER_INTEGER_PARAMETER_(id),      \
				  PROBEMETER_CAST_(double, PROBEMETER_INTEGER_VALUE_), PROBEMETER_INTEGER_VALUE_)
#define PROBEMETER_TEST_REAL_(id, kind, use, n, function) \
	PROBEMETER_TEST_FUNCTION_(id, kind, use, n, function, double value, value, 0)

#define PROBEMETER_TEST_METRIC_(id, n, text, enabled)                                                   \
	static const PROBEMETER_CHAR_ probemeter_text_##id[] __attribute__((unused)) = text;            \
	PROBEMETER_CHECKS_(id)                                                                          \
	PROBEMETER_INLINE_ int probemeter_enabled_##id(void)                                            \
	{                                                                                               \
		return enabled;                                                                         \
	}                                                                                               \
	PROBEMETER_INLINE_ struct probemeter_test_answer_ probemeter_test_ask_any_##id(void)            \
	{                                                                                               \
		return probemeter_test_ask_(#id, NULL);                                                 \
	}                                                                                               \
	PROBEMETER_INLINE_ struct probemeter_test_answer_ probemeter_test_ask_##id(                     \
		PROBEMETER_TEST_PARAMETERS_##n)                                                         \
	{                                                                                               \
		const char *const label_array[] = PROBEMETER_TEST_ARRAY_##n;                            \
                                                                                                        \
		return probemeter_test_ask_(#id, label_array);                                          \
	}

#define PROBEMETER_METRIC_COUNTER_(id, n, unit, text)                         \
	PROBEMETER_TEST_METRIC_(id, n, text, probemeter_test_listened_())     \
	PROBEMETER_TEST_INTEGER_(id, PROBEMETER_KIND_COUNTER, PROBEMETER_TEST_USE_ADD, n, add)

#define PROBEMETER_METRIC_UPDOWNCOUNTER_(id, n, unit, text)                                             \
	PROBEMETER_TEST_METRIC_(id, n, text, 1)                                                         \
	PROBEMETER_TEST_INTEGER_(id, PROBEMETER_KIND_UPDOWNCOUNTER, PROBEMETER_TEST_USE_ADD, n, add)    \
	PROBEMETER_TEST_INTEGER_(id, PROBEMETER_KIND_UPDOWNCOUNTER, PROBEMETER_TEST_USE_SET, n, set)    \
	PROBEMETER_REFUSE_REAL_(id)

#define PROBEMETER_METRIC_UPDOWNCOUNTER_LATEST_(id, n, unit, text)                                           \
	PROBEMETER_TEST_METRIC_(id, n, text, 1)                                                              \
	PROBEMETER_TEST_INTEGER_(id, PROBEMETER_KIND_UPDOWNCOUNTER_LATEST, PROBEMETER_TEST_USE_SET, n, set)  \
	PROBEMETER_REFUSE_REAL_(id)

#define PROBEMETER_METRIC_GAUGE_(id, n, unit, text)                                                            \
	PROBEMETER_TEST_METRIC_(id, n, text, 1)                                                                \
	PROBEMETER_TEST_REAL_(id, PROBEMETER_KIND_GAUGE, PROBEMETER_TEST_USE_SET, n, probemeter_set_##id)      \
	PROBEMETER_TEST_REAL_(id, PROBEMETER_KIND_GAUGE, PROBEMETER_TEST_USE_SET, n, probemeter_set_real_##id)

#define PROBEMETER_METRIC_HISTOGRAM_(id, n, unit, text)                                                               \
	PROBEMETER_TEST_METRIC_(id, n, text, probemeter_test_listened_())                                             \
	PROBEMETER_TEST_REAL_(id, PROBEMETER_KIND_HISTOGRAM, PROBEMETER_TEST_USE_RECORD, n, probemeter_record_##id)   \
	PROBEMETER_INLINE_ void probemeter_record_since_##id(uint64_t start_ns PROBEMETER_PARAMETERS_##n)             \
	{                                                                                                             \
		if (start_ns)                                                                                         \
			probemeter_record_##id(                                                                       \
				probemeter_in_unit_(PROBEMETER_CAST_(double, probemeter_now_() - start_ns), unit)     \
					PROBEMETER_NAMES_##n);                                                        \
	}

#define PROBEMETER_METRIC_HISTOGRAM_BOUNDS_(id, n, unit, text, bounds) \
	PROBEMETER_CHECK_BOUNDS_(id, bounds)                           \
	PROBEMETER_METRIC_HISTOGRAM_(id, n, unit, text)

/* Questions; labels are checked as in a use. */
#define PROBEMETER_TEST_ASK_(...) \
	PROBEMETER_JOIN_(PROBEMETER_TEST_ASK_, PROBEMETER_COUNT_(__VA_ARGS__))(__VA_ARGS__)
#define PROBEMETER_TEST_ASK_1(id) PROBEMETER_FUNCTION_(probemeter_test_ask_any_##id)()
#define PROBEMETER_TEST_ASK_2(id, a) PROBEMETER_FUNCTION_(probemeter_test_ask_##id)(PROBEMETER_LABEL_(id, a))
#define PROBEMETER_TEST_ASK_3(id, a, b) PROBEMETER_FUNCTION_(probemeter_test_ask_##id)(PROBEMETER_LABEL_(id, a), PROBEMETER_LABEL_(id, b))
#define PROBEMETER_TEST_ASK_4(id, a, b, c) \
	PROBEMETER_FUNCTION_(probemeter_test_ask_##id)(PROBEMETER_LABEL_(id, a), PROBEMETER_LABEL_(id, b), PROBEMETER_LABEL_(id, c))
#define PROBEMETER_TEST_ASK_5(id, a, b, c, d)                                                                    \
	PROBEMETER_FUNCTION_(probemeter_test_ask_##id)(PROBEMETER_LABEL_(id, a), PROBEMETER_LABEL_(id, b), PROBEMETER_LABEL_(id, c), \
				    PROBEMETER_LABEL_(id, d))
#define PROBEMETER_TEST_CALLS(...) (PROBEMETER_TEST_ASK_(__VA_ARGS__).calls)
#define PROBEMETER_TEST_TOTAL(...) (PROBEMETER_TEST_ASK_(__VA_ARGS__).total)
#define PROBEMETER_TEST_LAST(...) (PROBEMETER_TEST_ASK_(__VA_ARGS__).last)

#endif
