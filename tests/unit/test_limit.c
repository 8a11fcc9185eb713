/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_limit.c - limits made whole or refused; views; the words of warnings that a limit is near.
 */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "../../bpf/maps.h"
#include "headroom.h"
#include "limit.h"
#include "trim.h"

#define CPUS 2

static char why[512];

static int choose(struct limits_asked asked, struct kernel_limits *ret)
{
	why[0] = '\0';
	return limits_choose(&asked, CPUS, ret, why, sizeof(why));
}

/* Nothing asked: the defaults, and what a service may have of them. */
static void defaults_are_shares_of_the_host(void **state)
{
	struct kernel_limits limits;

	(void)state;
	assert_int_equal(choose((struct limits_asked){ 0 }, &limits), 0);
	assert_int_equal(limits.series_per_metric, 2000);
	assert_int_equal(limits.series, 32768);
	assert_int_equal(limits.service_series, 16384);
	assert_int_equal(limits.service_cells, limits.cells / 4);
	assert_int_equal(limits.pieces, 3 * 32768);
	assert_int_equal(limits.service_pieces, 3 * 32768 / 2);
	assert_int_equal(limits.services, 4096);
}

/* Each number that is given is taken as it is, and the shares follow those of the host. */
static void what_is_asked_for_is_taken(void **state)
{
	struct kernel_limits limits;

	(void)state;
	assert_int_equal(choose((struct limits_asked){ .series = 1000, .cells = 4096, .label_bytes = 6400, .services = 10 }, &limits), 0);
	assert_int_equal(limits.series, 1000);
	assert_int_equal(limits.service_series, 500);
	assert_int_equal(limits.cells, 4096);
	assert_int_equal(limits.service_cells, 1024);
	assert_int_equal(limits.pieces, 100);
	assert_int_equal(limits.service_pieces, 50);
	assert_int_equal(limits.services, 10);
	assert_int_equal(choose((struct limits_asked){ .service_series = 7, .service_cells = 8, .service_label_bytes = 640,
						       .cardinality = 5 }, &limits), 0);
	assert_int_equal(limits.service_series, 7);
	assert_int_equal(limits.service_cells, 8);
	assert_int_equal(limits.service_pieces, 10);
	assert_int_equal(limits.series_per_metric, 5);
}

/* Whatever memory is given, the maps fit in it, or nothing is chosen; what was asked for besides is never made less. */
static void memory_holds_or_is_refused(void **state)
{
	struct kernel_limits limits;
	unsigned mib, least = 0;

	(void)state;
	for (mib = 1; mib < 200; mib++) {
		int err = choose((struct limits_asked){ .memory_mib = mib }, &limits);

		if (!err)
			assert_in_range(kernel_bytes(&limits, CPUS), 1, (uint64_t)mib << 20);
		else
			assert_non_null(strstr(why, "--max-memory"));
		/* What is enough once is enough from then on. */
		if (!least && !err)
			least = mib;
		assert_int_equal(err, least ? 0 : -EINVAL);
	}
	assert_in_range(least, 5, 20);
	assert_int_equal(limits.series, 32768);
	assert_int_equal(limits.cells, kernel_limits_default().cells);
	assert_int_equal(choose((struct limits_asked){ .memory_mib = 40, .series = 20000 }, &limits), 0);
	assert_int_equal(limits.series, 20000);
	assert_int_equal(choose((struct limits_asked){ .memory_mib = 20, .cells = 1 << 20 }, &limits), -EINVAL);
}

/* The reason names both flags and numbers. */
static void what_does_not_fit_is_refused(void **state)
{
	static const struct {
		struct limits_asked asked;
		const char *words;
	} rows[] = {
		{ { .cells = 3000 }, "--max-cells 3000: expected a power of two, such as 2048" },
		{ { .cells = 1u << 31 }, "on 2 possible CPUs the kernel takes at most 33554432" },
		{ { .series = 100, .service_series = 200 }, "--max-service-series 200: more than --max-series, which is 100" },
		{ { .cells = 1024, .service_cells = 2048 }, "--max-service-cells 2048: more than --max-cells, which is 1024" },
		{ { .label_bytes = 640, .service_label_bytes = 6400 }, "--max-service-label-bytes 6400: more than --max-label-bytes" },
		{ { .cardinality = 20, .service_series = 10 }, "--cardinality-limit 20: more than --max-service-series" },
	};
	struct kernel_limits limits;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		assert_int_equal(choose(rows[i].asked, &limits), -EINVAL);
		if (!strstr(why, rows[i].words))
			fail_msg("'%s' is not in '%s'", rows[i].words, why);
	}
}

static const struct metric requests = {
	.kind = PROBEMETER_KIND_COUNTER, .scope = "s", .name = "http.requests", .unit = "1", .description = "d",
	.label_count = 4, .label = { "user", "route", "method", "zone" },
};

/* Labels that stay keep their order; each metric that a rule touches is told of once. */
static void trims_leave_out_labels(void **state)
{
	struct trims *trims = trims_new();
	struct metric left = { 0 };
	uint32_t bits = 0;
	char line[256];

	(void)state;
	assert_false(trims_has_labels(trims));
	assert_int_equal(trims_drop_label(trims, "http.*:us?r"), 0);
	assert_int_equal(trims_drop_label(trims, "http.requests:method"), 0);
	assert_int_equal(trims_drop_label(trims, "other:route"), 0);
	assert_true(trims_has_labels(trims));
	assert_true(trims_apply(trims, &requests, &left, &bits, line, sizeof(line)));
	assert_int_equal(bits, 1 | 4);
	assert_int_equal(left.label_count, 2);
	assert_string_equal(left.label[0], "route");
	assert_string_equal(left.label[1], "zone");
	assert_string_equal(line, "metric 'http.requests' is counted without 'user' 'method': --drop-label");
	assert_true(trims_apply(trims, &requests, &left, &bits, line, sizeof(line)));
	assert_string_equal(line, "");
	trims_free(trims);
}

static void trims_leave_out_metrics(void **state)
{
	struct trims *trims = trims_new();
	struct metric left = { 0 };
	uint32_t bits = 77;
	char line[256];

	(void)state;
	assert_true(trims_apply(trims, &requests, &left, &bits, line, sizeof(line)));
	assert_int_equal(bits, 0);
	assert_int_equal(left.label_count, 4);
	assert_int_equal(trims_drop_metric(trims, "*.requests"), 0);
	assert_false(trims_apply(trims, &requests, &left, &bits, line, sizeof(line)));
	assert_string_equal(line, "metric 'http.requests' is not counted: --drop-metric *.requests");
	assert_int_equal(trims_drop_label(trims, "requests"), -EINVAL);
	assert_int_equal(trims_drop_label(trims, "requests:"), -EINVAL);
	assert_int_equal(trims_drop_label(trims, ":user"), -EINVAL);
	trims_free(trims);
}

/* The three with most values, the largest first. */
static void largest_labels_are_named(void **state)
{
	static const char *const set[][4] = {
		{ "a", "x", "GET", "z" }, { "b", "x", "PUT", "z" }, { "c", "y", "GET", "z" }, { "d", "v", "PUT", "z" },
	};
	const char *const *value[COUNT(set)];
	const struct metric bare = { .label_count = 0 };
	char line[256];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(set); i++)
		value[i] = set[i];
	assert_string_equal(headroom_labels(&requests, value, COUNT(set), line, sizeof(line)),
			    "user (4 values), route (3 values), method (2 values)");
	assert_string_equal(headroom_labels(&requests, value, 0, line, sizeof(line)), "none");
	assert_string_equal(headroom_labels(&bare, value, COUNT(set), line, sizeof(line)), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_shares_of_the_host),
		cmocka_unit_test(what_is_asked_for_is_taken),
		cmocka_unit_test(memory_holds_or_is_refused),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(trims_leave_out_labels),
		cmocka_unit_test(trims_leave_out_metrics),
		cmocka_unit_test(largest_labels_are_named),
	};

	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
