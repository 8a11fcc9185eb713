/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * example_test_mode.c - a service's unit test that asks which metrics were fired. Built with -DPROBEMETER_TEST.
 *
 * The service's code comes first, as it would stand in its own files, then its test. No agent, no root, no library.
 */
#include <probemeter/probemeter.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The service. */

#define PROBEMETER_SCOPE "Orders"
PROBEMETER_COUNTER(orders_placed, "orders.placed.total", "{order}", "Orders placed", "region", "tier")
PROBEMETER_UPDOWNCOUNTER(orders_open, "orders.open", "{order}", "Open orders", "region")
PROBEMETER_GAUGE(orders_price, "orders.price", "EUR", "Price of the last order", "region")
PROBEMETER_HISTOGRAM(order_latency, "orders.latency", "s", "Order latency", "region")

static int order_place(const char *region, const char *tier, double price)
{
	uint64_t start = PROBEMETER_START(order_latency);

	if (price <= 0)
		return -1;
	PROBEMETER_ADD(orders_placed, 1, region, tier);
	PROBEMETER_ADD(orders_open, 1, region);
	PROBEMETER_SET(orders_price, price, region);
	PROBEMETER_RECORD_SINCE(order_latency, start, region);
	return 0;
}

static void order_close(const char *region)
{
	PROBEMETER_ADD(orders_open, -1, region);
}

/* Its test. */

static void expect(int right, const char *what)
{
	if (!right) {
		fprintf(stderr, "example_test_mode: not so: %s\n", what);
		exit(1);
	}
}
#define EXPECT(test) expect(test, #test)

/* An order counts once, under its region and tier, and is open until closed. */
static void order_is_counted_under_its_labels(void)
{
	char region[] = "eu"; /* label values are copied */

	probemeter_test_reset();
	EXPECT(order_place(region, "gold", 9.5) == 0);
	strcpy(region, "xx");
	EXPECT(order_place("us", "gold", 7) == 0);

	EXPECT(PROBEMETER_TEST_CALLS(orders_placed, "eu", "gold") == 1);
	EXPECT(PROBEMETER_TEST_CALLS(orders_placed, "xx", "gold") == 0);
	EXPECT(PROBEMETER_TEST_CALLS(orders_placed, PROBEMETER_TEST_ANY, "gold") == 2);
	EXPECT(PROBEMETER_TEST_CALLS(orders_placed) == 2);
	EXPECT(PROBEMETER_TEST_TOTAL(orders_open, "eu") == 1);
	order_close("eu");
	EXPECT(PROBEMETER_TEST_TOTAL(orders_open, "eu") == 0);
	EXPECT(PROBEMETER_TEST_TOTAL(orders_open) == 1);
	EXPECT(PROBEMETER_TEST_LAST(orders_open, "eu") == -1);
	EXPECT(PROBEMETER_TEST_LAST(orders_price) == 7);
	EXPECT(PROBEMETER_TEST_LAST(order_latency, "us") >= 0);
	EXPECT(PROBEMETER_TEST_LAST(order_latency, "us") < 60);
}

/* A refused order leaves no trace. */
static void refused_order_fires_nothing(void)
{
	probemeter_test_reset();
	EXPECT(order_place("eu", "gold", -1) == -1);
	EXPECT(probemeter_test_first() == NULL);
}

/* Every event in order, with its metric. */
static void events_are_told_in_order(void)
{
	const struct probemeter_test_event *event;

	probemeter_test_reset();
	EXPECT(order_place("eu", "gold", 9.5) == 0);
	event = probemeter_test_first();
	EXPECT(!strcmp(event->id, "orders_placed") && !strcmp(event->name, "orders.placed.total"));
	EXPECT(!strcmp(event->scope, "Orders") && !strcmp(event->unit, "{order}"));
	EXPECT(event->kind == PROBEMETER_KIND_COUNTER && event->use == PROBEMETER_TEST_USE_ADD);
	EXPECT(event->integer == 1 && event->label_count == 2);
	EXPECT(!strcmp(event->label_names[1], "tier") && !strcmp(event->labels[1], "gold"));
	event = probemeter_test_next(event);
	EXPECT(!strcmp(event->id, "orders_open"));
	event = probemeter_test_next(event);
	EXPECT(!strcmp(event->id, "orders_price") && event->value == 9.5);
	event = probemeter_test_next(event);
	EXPECT(!strcmp(event->description, "Order latency"));
	EXPECT(probemeter_test_next(event) == NULL);
}

/* With nobody listening the service does no work for its counters and histograms; levels go on. */
static void nobody_listens(void)
{
	probemeter_test_reset();
	probemeter_test_listen(0);
	EXPECT(order_place("eu", "gold", 9.5) == 0);
	EXPECT(PROBEMETER_START(order_latency) == 0);
	probemeter_test_listen(1);
	EXPECT(PROBEMETER_TEST_CALLS(orders_placed) == 0);
	EXPECT(PROBEMETER_TEST_CALLS(order_latency) == 0);
	EXPECT(PROBEMETER_TEST_TOTAL(orders_open, "eu") == 1);
}

int main(void)
{
	order_is_counted_under_its_labels();
	refused_order_fires_nothing();
	events_are_told_in_order();
	nobody_listens();
	EXPECT(probemeter_test_lost() == 0);
	return 0;
}
