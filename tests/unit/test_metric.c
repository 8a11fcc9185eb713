/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_metric.c - the registry: one metric per distinct content, and nobody changes another's.
 */
#include "unit.h"

#include <errno.h>

#include "metric.h"

#include "../../bpf/maps.h"

static int set_up(void **state)
{
	*state = metrics_new();
	return !*state;
}

static int tear_down(void **state)
{
	metrics_free(*state);
	return 0;
}

static const double bounds[] = { 0.5, 1, 2 }, other_bounds[] = { 0.5, 1, 3 };

static const struct metric base = {
	.kind = PROBEMETER_KIND_HISTOGRAM,
	.scope = "shop",
	.name = "latency",
	.unit = "s",
	.description = "Latency",
	.label_count = 2,
	.label = { "region", "tier" },
	.bound_count = 3,
	.bound = bounds,
};

static const struct metric *intern(struct metrics *metrics, const struct metric *wanted)
{
	const struct metric *metric = NULL;

	assert_int_equal(metrics_intern(metrics, wanted, &metric), 0);
	assert_ptr_equal(metrics_get(metrics, metric->id), metric);
	return metric;
}

/* Two binaries that declare the same share one copy, whatever memory the descriptors lay in. */
static void equal_metrics_are_one_pointer(void **state)
{
	char scope[] = "shop", name[] = "latency", unit[] = "s", description[] = "Latency", region[] = "region",
	     tier[] = "tier";
	double bound[] = { 0.5, 1, 2 };
	const struct metric copy = { .id = 999, /* not part of it */
				     .kind = PROBEMETER_KIND_HISTOGRAM,
				     .scope = scope,
				     .name = name,
				     .unit = unit,
				     .description = description,
				     .label_count = 2,
				     .label = { region, tier },
				     .bound_count = 3,
				     .bound = bound };
	const struct metric *first = intern(*state, &copy);

	/* The copy is the registry's own. */
	memset(scope, 'x', 4);
	memset(tier, 'x', 4);
	bound[0] = 0.25;
	assert_string_equal(first->scope, "shop");
	assert_string_equal(first->label[1], "tier");
	assert_true(first->bound[0] == 0.5);
	assert_int_equal(first->bound_count, 3);
	assert_int_equal(first->id, 0);
	assert_ptr_equal(intern(*state, &base), first);
	assert_int_equal(metrics_intern(*state, &copy, &first), 0);
	assert_int_equal(first->id, 1);
}

/* Everything but the id decides identity: each of these differs from the first in one thing only. */
static void any_difference_makes_another_metric(void **state)
{
	struct metric variant[12];
	const struct metric *seen[12];

	for (size_t i = 0; i < 12; i++)
		variant[i] = base;
	variant[1].kind = PROBEMETER_KIND_COUNTER;
	variant[2].scope = "Shop";
	variant[3].name = "latency2";
	variant[4].unit = "ms";
	variant[5].description = "";
	variant[6].label_count = 1;
	variant[7].label[0] = "regio";
	variant[7].label[1] = "ntier";
	variant[8].label[0] = "tier";
	variant[8].label[1] = "region";
	variant[9].bound = other_bounds;
	variant[10].bound_count = 2;
	variant[11].bound_count = 0;
	for (size_t i = 0; i < 12; i++) {
		seen[i] = intern(*state, &variant[i]);
		assert_int_equal(seen[i]->id, i);
		for (size_t j = 0; j < i; j++)
			assert_ptr_not_equal(seen[i], seen[j]);
	}
	for (size_t i = 0; i < 12; i++)
		assert_ptr_equal(intern(*state, &variant[i]), seen[i]);
}

/* A stranger's bounds may hold any bytes: not even those of another metric's text make it that metric. */
static void bounds_cannot_pass_for_text(void **state)
{
	double forged;
	struct metric victim = { .kind = PROBEMETER_KIND_HISTOGRAM,
				 .scope = "ExecutionMetrics",
				 .name = "execution.duration",
				 .unit = "{s}",
				 .description = "Execution duration" };
	struct metric stranger = victim;
	const struct metric *first, *second;

	memcpy(&forged, victim.scope, sizeof(forged));
	assert_true(forged - forged == 0);
	stranger.scope = victim.scope + sizeof(forged);
	stranger.bound = &forged;
	stranger.bound_count = 1;
	first = intern(*state, &stranger);
	second = intern(*state, &victim);
	assert_ptr_not_equal(first, second);
	assert_string_equal(second->scope, "ExecutionMetrics");
	assert_int_equal(second->bound_count, 0);
}

/* One name that means different things is told, once for each of them; another description is no other meaning. */
static void conflicts_of_one_name_are_told_once(void **state)
{
	struct metric kind = base, unit = base, labels = base, same = base, other = base;
	const struct metric *first = intern(*state, &base), *second;
	const struct {
		struct metric *metric;
		const char *what;
	} rows[] = { { &kind, "kind" }, { &unit, "unit" }, { &labels, "labels" }, { &same, NULL }, { &other, NULL } };

	kind.kind = PROBEMETER_KIND_COUNTER;
	unit.unit = "ms";
	labels.label_count = 1;
	labels.scope = "another";
	same.description = "The same in other words";
	other.name = "another";
	other.unit = "ms";
	assert_null(metrics_conflict(*state, first));
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *what;

		/* Only the first of that name beside it. */
		metrics_free(*state);
		*state = metrics_new();
		assert_null(metrics_conflict(*state, intern(*state, &base)));
		second = intern(*state, rows[i].metric);
		what = metrics_conflict(*state, second);
		assert_true(!what == !rows[i].what && (!what || !strcmp(what, rows[i].what)));
		assert_null(metrics_conflict(*state, second));
	}
}

/* Ids are dense, and past the last one there is room for what is known already. */
static void registry_has_an_end(void **state)
{
	struct metric metric = base;
	const struct metric *untouched = &base, *result = untouched;
	char name[32];

	metric.name = name;
	for (unsigned i = 0; i < PM_MAX_METRICS; i++) {
		(void)snprintf(name, sizeof(name), "metric.%u", i);
		assert_int_equal(intern(*state, &metric)->id, i);
	}
	assert_int_equal(metrics_intern(*state, &base, &result), -ENOSPC);
	assert_ptr_equal(result, untouched);
	assert_int_equal(intern(*state, &metric)->id, PM_MAX_METRICS - 1);
	assert_null(metrics_get(*state, PM_MAX_METRICS));
}

/* An id nobody was given, as a damaged cell might have. */
static void unknown_ids_have_no_metric(void **state)
{
	assert_null(metrics_get(*state, 0));
	(void)intern(*state, &base);
	assert_non_null(metrics_get(*state, 0));
	assert_null(metrics_get(*state, 1));
	assert_null(metrics_get(*state, UINT32_MAX));
	metrics_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(equal_metrics_are_one_pointer),
		TEST(any_difference_makes_another_metric),
		TEST(bounds_cannot_pass_for_text),
		TEST(conflicts_of_one_name_are_told_once),
		TEST(registry_has_an_end),
		TEST(unknown_ids_have_no_metric),
	};

	return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
