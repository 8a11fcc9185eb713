/* SPDX-License-Identifier: BSD-2-Clause */
/* test_phase.c - hosts export apart from each other, each in step with the wall clock. */
#include "unit.h"

#include "phase.h"
#include "points.h"

#define S UINT64_C(1000000000)
#define UNIX (UINT64_C(1800000000) * S + 123456789)

static uint64_t phase_of_host(const char *id, const char *name, const char *instance, uint64_t interval_ns)
{
	struct attribute attribute[] = {
		{ "host.id", id }, { "host.name", name }, { "service.instance.id", instance }, { "service.name", "probemeter" },
	};
	const struct resource own = { .attribute = attribute, .attribute_count = COUNT(attribute) };

	return phase_of(&own, interval_ns);
}

/* Ten thousand hosts with names in a row: every twentieth of the interval has its share, by any of the three. */
static void phase_is_even_over_hosts(void **state)
{
	enum { HOSTS = 10000, PARTS = 20 };

	(void)state;
	for (int which = 0; which < 3; which++) {
		unsigned part[PARTS] = { 0 };

		for (unsigned i = 0; i < HOSTS; i++) {
			char text[3][32] = { "3d1219c7", "node", "5" };
			uint64_t phase;

			(void)snprintf(text[which], sizeof(text[which]), "node-%u", i);
			phase = phase_of_host(text[0], text[1], text[2], 10 * S);
			assert_true(phase < 10 * S);
			part[phase * PARTS / (10 * S)]++;
		}
		/* 500 each; five standard deviations are 109. */
		for (int i = 0; i < PARTS; i++)
			assert_in_range(part[i], 391, 609);
	}
}

/* The same at each start; in another interval the same part of it. */
static void phase_is_a_hosts_own(void **state)
{
	uint64_t ten = phase_of_host("a", "b", "c", 10 * S), hour = phase_of_host("a", "b", "c", 3600 * S);

	(void)state;
	assert_int_equal(phase_of_host("a", "b", "c", 10 * S), ten);
	assert_int_not_equal(phase_of_host("a", "b2", "c", 10 * S), ten);
	assert_in_range(hour / 360, ten > 0 ? ten - 1 : 0, ten + 1);
	assert_true(phase_of_host("a", "b", "c", 1) == 0);
}

/* The first export is due in phase, and within one interval. */
static void phase_waits_for_its_moment(void **state)
{
	static const uint64_t interval[] = { 1000000, S / 2, 10 * S, 3600 * S };

	(void)state;
	for (size_t i = 0; i < COUNT(interval); i++) {
		for (uint64_t k = 0; k < 97; k++) {
			uint64_t phase = interval[i] / 97 * k, now = UNIX + k * k * 7919;
			uint64_t wait = phase_wait_ns(now, interval[i], phase);

			assert_in_range(wait, 1, interval[i]);
			assert_int_equal((now + wait) % interval[i], phase);
		}
	}
	assert_int_equal(phase_wait_ns(20 * S + 3, 10 * S, 3), 10 * S);
}

/* A wall clock in steps with the other one: exports are one interval apart, to the nanosecond. */
static void phase_keeps_the_interval(void **state)
{
	uint64_t due = 77 * S, unix_ns = UNIX - UNIX % (10 * S) + 4 * S;

	(void)state;
	for (int i = 0; i < 100; i++) {
		uint64_t late = (uint64_t)i * 1000, next = phase_next(due, due + late, unix_ns + late, 10 * S, 4 * S);

		assert_int_equal(next, due + 10 * S);
		due = next;
		unix_ns += 10 * S;
	}
}

/* After any step of the wall clock no two exports are closer than 7/8 of the interval or further than 9/8, and within
 * four of them the phase is met again. */
static void phase_turns_gently_after_a_step(void **state)
{
	const uint64_t interval = 10 * S, phase = 4 * S;

	(void)state;
	for (int64_t step_s = -7200; step_s <= 7200; step_s += 7) {
		uint64_t due = 77 * S, unix_ns = UNIX - UNIX % interval + phase + (uint64_t)(step_s * (int64_t)S);

		for (int i = 0; i < 4; i++) {
			uint64_t next = phase_next(due, due, unix_ns, interval, phase);

			assert_in_range(next - due, interval - interval / 8, interval + interval / 8);
			unix_ns += next - due;
			due = next;
		}
		assert_int_equal(unix_ns % interval, phase);
	}
}

/* An export that took three and a half intervals is followed by one in phase, not by those that it missed. */
static void phase_leaves_out_what_was_missed(void **state)
{
	uint64_t unix_ns = UNIX - UNIX % (10 * S) + 4 * S;

	(void)state;
	assert_int_equal(phase_next(100 * S, 135 * S, unix_ns + 35 * S, 10 * S, 4 * S), 140 * S);
	assert_int_equal(phase_next(100 * S, 110 * S, unix_ns + 10 * S, 10 * S, 4 * S), 120 * S);
	/* Suspended meanwhile, as a laptop is: the wall clock went on, the other one stood. Later than now in any case. */
	for (uint64_t ms = 0; ms < 20000; ms += 37)
		assert_true(phase_next(100 * S, 109 * S + 999999999, unix_ns + ms * 1000000, 10 * S, 4 * S) >
			    109 * S + 999999999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phase_is_even_over_hosts),
		cmocka_unit_test(phase_is_a_hosts_own),
		cmocka_unit_test(phase_waits_for_its_moment),
		cmocka_unit_test(phase_keeps_the_interval),
		cmocka_unit_test(phase_turns_gently_after_a_step),
		cmocka_unit_test(phase_leaves_out_what_was_missed),
	};

	return cmocka_run_group_tests_name("phase", tests, NULL, NULL);
}
