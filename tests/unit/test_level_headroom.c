/* SPDX-License-Identifier: BSD-2-Clause */
/* test_level_headroom.c - who comes near a limit with levels is named once, with the labels that are to blame. */
#include "unit.h"

#include "level_headroom.h"

#include "../../bpf/maps.h"

static struct attribute shop_name[] = { { "service.name", "shop" } }, billing_name[] = { { "service.name", "billing" } };
static const struct resource shop = { .attribute = shop_name, .attribute_count = 1 };
static const struct resource billing = { .attribute = billing_name, .attribute_count = 1 };
static const struct metric open_orders = { .id = 0, .kind = PROBEMETER_KIND_UPDOWNCOUNTER, .name = "orders.open",
					   .label_count = 2, .label = { "region", "user" } };
static const struct metric lag = { .id = 1, .kind = PROBEMETER_KIND_GAUGE, .name = "orders.lag", .label_count = 1,
				   .label = { "queue" } };
static const uint64_t start[2] = { 5, 6 };

static struct descriptor descriptors[] = { { .levels_address = 0 }, { .levels_address = 8 }, { .levels_address = 8 } };
static const struct metric *metrics[] = { &open_orders, &open_orders, &lag };
static struct object object = { .path = (char *)"/srv/shop", .descriptors = { .descriptor = descriptors, .count = 3 },
				.metric = metrics };

static bool table(struct level_headroom *headroom, const struct resource *resource, uint32_t slots, uint32_t text, char *ret)
{
	static const struct level level[] = {
		{ .metric = &lag, .value = { "a" } },
		{ .metric = &open_orders, .value = { "eu", "ann" } },
		{ .metric = &open_orders, .value = { "eu", "bob" } },
		{ .metric = &open_orders, .overflow = true },
	};
	const struct process process = { .pid = 7, .resource = resource };
	const struct level_room room = { slots, text };

	return level_headroom_table(headroom, &process, &object, &room, level, COUNT(level), ret, 1024);
}

/* A table is warned of from 80 % on, by its slots and by its text, once for each service. */
static void a_table_that_fills_is_named_once(void **state)
{
	struct level_headroom *headroom = level_headroom_new();
	char line[1024];

	(void)state;
	assert_false(table(headroom, &shop, 1587, 104857, line));
	assert_true(table(headroom, &shop, 1588, 0, line));
	assert_string_equal(line, "service 'shop', metric 'orders.open': the levels of '/srv/shop' have 1588 of at most 1984 label "
				  "sets in process 7, most of them this metric's; past that new label sets count in overflow series; "
				  "labels with most values: user (2 values), region (1 values)");
	assert_false(table(headroom, &shop, 1600, 0, line));
	assert_true(table(headroom, &shop, 2048, 104858, line));
	assert_non_null(strstr(line, "have 104858 of at most 131072 bytes of label values"));
	assert_false(table(headroom, &shop, 2048, 131072, line));
	assert_true(table(headroom, &billing, 2048, 0, line));
	assert_non_null(strstr(line, "service 'billing'"));
	assert_non_null(strstr(line, "have 1984 of at most 1984"));
	level_headroom_forget(headroom, &shop);
	assert_true(table(headroom, &shop, 1600, 0, line));
	assert_false(table(headroom, &billing, 2048, 0, line));
	level_headroom_free(headroom);
}

/* @count series of a metric, from number @first on. */
static void add(struct levels *levels, const struct resource *resource, const struct metric *metric, int first, int count)
{
	char label[32];
	const struct level level = { .metric = metric, .value = { metric == &lag ? label : "eu", label }, .set_ns = 1 };

	for (int i = first; i < first + count; i++) {
		(void)snprintf(label, sizeof(label), "%d", i);
		assert_int_equal(levels_add(levels, resource, &level, 1, start), 0);
	}
}

/* Over all processes: of a metric at 80 % of its series, overflow included. */
static void series_of_a_level_are_named_once(void **state)
{
	enum { NEAR = PM_SERIES_PER_METRIC * 8 / 10 - 1 };
	struct level_headroom *headroom = level_headroom_new();
	struct levels *levels = levels_new();
	char line[1024];

	(void)state;
	levels_begin(levels);
	assert_false(level_headroom_next(headroom, levels, line, sizeof(line)));
	add(levels, &shop, &open_orders, 0, NEAR - 1);
	add(levels, &billing, &lag, 0, 3);
	assert_false(level_headroom_next(headroom, levels, line, sizeof(line)));
	add(levels, &shop, &open_orders, NEAR - 1, 1);
	assert_true(level_headroom_next(headroom, levels, line, sizeof(line)));
	assert_string_equal(line, "service 'shop', metric 'orders.open': 1600 of at most 2000 series of this level over all processes; "
				  "past that new label sets count in overflow series; labels with most values: user (1599 values), "
				  "region (1 values)");
	assert_false(level_headroom_next(headroom, levels, line, sizeof(line)));
	add(levels, &billing, &lag, 3, NEAR);
	assert_true(level_headroom_next(headroom, levels, line, sizeof(line)));
	assert_non_null(strstr(line, "service 'billing', metric 'orders.lag'"));
	assert_false(level_headroom_next(headroom, levels, line, sizeof(line)));
	levels_free(levels);
	level_headroom_free(headroom);
}

/* Of a service with many metrics, and of the host; the metric with most series stands for all. */
static void a_service_and_the_host_are_named(void **state)
{
	enum { METRICS = 14, EACH = 1000 };
	struct level_headroom *headroom = level_headroom_new();
	struct levels *levels = levels_new();
	struct metric metric[METRICS];
	char line[1024];

	(void)state;
	levels_begin(levels);
	for (uint32_t i = 0; i < METRICS; i++) {
		metric[i] = open_orders;
		metric[i].id = i % 2;
		metric[i].name = i == 3 ? "longest" : "other";
		add(levels, &shop, &metric[i], 0, EACH + (i == 3));
	}
	assert_true(level_headroom_next(headroom, levels, line, sizeof(line)));
	assert_non_null(strstr(line, "service 'shop', metric 'longest': 14001 of at most 16384 series of levels of one service over"));
	assert_false(level_headroom_next(headroom, levels, line, sizeof(line)));
	for (uint32_t i = 0; i < METRICS; i++)
		add(levels, &billing, &metric[i], 0, EACH);
	/* Shop's rows are looked at first, and the host's are among them. */
	assert_true(level_headroom_next(headroom, levels, line, sizeof(line)));
	assert_non_null(strstr(line, "this host, with most of it service 'shop', metric 'longest': 28001 of at most 32768 series of levels "
				     "over all processes"));
	assert_true(level_headroom_next(headroom, levels, line, sizeof(line)));
	assert_non_null(strstr(line, "service 'billing', metric 'other': 14000 of at most 16384"));
	assert_false(level_headroom_next(headroom, levels, line, sizeof(line)));
	levels_free(levels);
	level_headroom_free(headroom);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_that_fills_is_named_once),
		cmocka_unit_test(series_of_a_level_are_named_once),
		cmocka_unit_test(a_service_and_the_host_are_named),
	};

	return cmocka_run_group_tests_name("level_headroom", tests, NULL, NULL);
}
