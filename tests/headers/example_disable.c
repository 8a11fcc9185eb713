/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * example_disable.c - a service built with -DPROBEMETER_DISABLE: its metrics cost nothing and leave nothing.
 *
 * Nothing about the source changes. What it computes for a metric alone is not evaluated, and gives no warning either.
 * Compiles as C11 and as C++17.
 */
#include <probemeter/integr8scode.h>

#ifdef __cplusplus
#include <string>
#endif

#define PROBEMETER_SCOPE "Orders"
PROBEMETER_COUNTER(orders_placed, "orders.placed.total", "{order}", "Orders placed", "region", "tier")
PROBEMETER_UPDOWNCOUNTER(orders_open, "orders.open", "{order}", "Open orders", "region")
PROBEMETER_UPDOWNCOUNTER_LATEST(orders_lag, "orders.lag", "{order}", "Orders behind")
PROBEMETER_GAUGE(orders_price, "orders.price", "EUR", "Price of the last order", "region")
PROBEMETER_HISTOGRAM(order_latency, "orders.latency", "s", "Order latency", "region")
PROBEMETER_HISTOGRAM_BOUNDS(order_size, "orders.size", "By", "Order size", (1, 2, 5), "region")

static int evaluated;

/* Used by metrics alone. */
static const char *tier_of(int order)
{
	evaluated++;
	return order > 100 ? "gold" : "iron";
}

static int order_place(int order, const char *region)
{
	uint64_t start = PROBEMETER_START(order_latency);
	const char *tier;
	int size;

	tier = tier_of(order);
	size = 17;
	PROBEMETER_ADD(orders_placed, ++evaluated, region, tier);
	PROBEMETER_ADD(orders_placed, 1, region, tier_of(++evaluated));
	PROBEMETER_ADD(orders_open, -1, region);
	PROBEMETER_SET(orders_open, size, region);
	PROBEMETER_SET(orders_lag, evaluated++);
	PROBEMETER_SET(orders_price, 9.5, region);
	PROBEMETER_RECORD(order_size, 1.5, region);
	PROBEMETER_RECORD_SINCE(order_latency, start, region);
	PROBEMETER_RECORD(script_execution_duration, 0.25, "bash-5.2");
	PROBEMETER_ADD(script_executions_total, 1, "completed", "bash-5.2");
	if (PROBEMETER_ENABLED(orders_placed))
		return -1;
	return (int)start;
}

#ifdef __cplusplus
struct named {
	std::string name;
	explicit named(const char *text) : name(text)
	{
	}
	~named()
	{
	}
	const char *text() const
	{
		evaluated++;
		return name.c_str();
	}
};

template <class T> static void templated(T value)
{
	named label("x");

	PROBEMETER_ADD(orders_placed, value, label.text(), label.text());
	PROBEMETER_SET(orders_price, [&] { return value; }(), std::string("x").c_str());
}
#endif

int main(void)
{
	if (order_place(7, "eu") != 0)
		return 1;
#ifdef __cplusplus
	templated(3);
#endif
	/* Once, for the tier itself; no metric asked. */
	return evaluated == 1 ? 0 : 1;
}
