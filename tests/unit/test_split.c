/* SPDX-License-Identifier: BSD-2-Clause */
/* test_split.c - requests under any limit carry each point once, in order. */
#include "unit.h"

#include "arena.h"
#include "encode.h"
#include "otlp.pb-c.h"
#include "split.h"

#define SERIES 400

static struct attribute names[] = { { .key = "service.name", .value = "shop" } };
static struct attribute long_names[] = { { .key = "service.name", .value = NULL } };
static const struct resource shop = { .attribute = names, .attribute_count = 1 },
			     chatty = { .attribute = long_names, .attribute_count = 1 };
static const struct metric orders = { .kind = PROBEMETER_KIND_COUNTER, .scope = "shop", .name = "orders", .unit = "1",
				      .description = "Orders", .label_count = 1, .label = { "customer" } };
static const struct metric returns = { .kind = PROBEMETER_KIND_COUNTER, .scope = "returns", .name = "returns", .unit = "1",
				       .description = "Returns", .label_count = 1, .label = { "customer" } };

static struct point point[SERIES];
static char label[SERIES][512], long_name[4096];

/* Two resources, two scopes, values of all lengths. */
static int set_up(void **state)
{
	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_names[0].value = long_name;
	for (size_t i = 0; i < SERIES; i++) {
		(void)snprintf(label[i], sizeof(label[i]), "%zu-%.*s", i, (int)(i * 37 % 450), long_name);
		point[i] = (struct point){ .resource = i < 390 ? &shop : &chatty, .metric = i % 390 < 200 ? &orders : &returns,
					   .value = { label[i] }, .type = POINT_SUM, .monotonic = true,
					   .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = 1, .integer = (int64_t)i };
	}
	return 0;
}

/* Every point in the requests, by its value, which is its number. */
static void count_points(const struct request *request, unsigned *seen, int64_t *last)
{
	Otlp__ExportMetricsServiceRequest *message =
		otlp__export_metrics_service_request__unpack(NULL, request->size, request->body);
	size_t points = 0;

	assert_non_null(message);
	for (size_t r = 0; r < message->n_resource_metrics; r++)
		for (size_t s = 0; s < message->resource_metrics[r]->n_scope_metrics; s++)
			for (size_t m = 0; m < message->resource_metrics[r]->scope_metrics[s]->n_metrics; m++) {
				const Otlp__Metric *metric = message->resource_metrics[r]->scope_metrics[s]->metrics[m];

				for (size_t p = 0; p < metric->sum->n_data_points; p++, points++) {
					const Otlp__NumberDataPoint *found = metric->sum->data_points[p];

					assert_true(found->as_int > *last);
					*last = found->as_int;
					seen[found->as_int]++;
					assert_string_equal(found->attributes[0]->value->string_value, label[found->as_int]);
					assert_string_equal(metric->name, found->as_int % 390 < 200 ? "orders" : "returns");
					assert_string_equal(message->resource_metrics[r]->resource->attributes[0]->value->string_value,
							    found->as_int < 390 ? "shop" : long_name);
				}
			}
	assert_int_equal(points, request->count);
	otlp__export_metrics_service_request__free_unpacked(message, NULL);
}

/* Under limits from what one short point takes to what all take: each point once, in order, each request below the limit,
 * and left out is what is larger alone. */
static void every_point_once_under_any_limit(void **state)
{
	const struct points points = { .time_unix_ns = 2, .point = point, .count = SERIES };
	static const size_t limits[] = { 1, 100, 130, 200, 300, 500, 600, 1000, 3000, 5000, 10000, 50000, 100000, 300000 };
	size_t alone[SERIES], all_in_one = 0;

	(void)state;
	for (size_t i = 0; i < SERIES; i++) {
		const struct points one = { .time_unix_ns = 2, .point = &point[i], .count = 1 };
		struct arena *arena = arena_new();
		uint8_t *bytes;

		assert_int_equal(encode_otlp(&one, ENCODE_PROTOBUF, arena, &bytes, &alone[i]), 0);
		arena_free(arena);
	}
	for (size_t l = 0; l < COUNT(limits); l++) {
		unsigned seen[SERIES] = { 0 };
		struct arena *arena = arena_new();
		struct requests requests;
		size_t too_large = 0, next = 0, bytes = 0;
		int64_t last = -1;

		assert_int_equal(split_points(&points, limits[l], ENCODE_PROTOBUF, arena, &requests), 0);
		for (size_t r = 0; r < requests.count; r++) {
			assert_true(requests.request[r].size <= limits[l]);
			assert_true(requests.request[r].first >= next);
			next = requests.request[r].first + requests.request[r].count;
			count_points(&requests.request[r], seen, &last);
			bytes += requests.request[r].size;
		}
		assert_true(next <= SERIES);
		for (size_t i = 0; i < SERIES; i++) {
			assert_int_equal(seen[i], alone[i] <= limits[l]);
			too_large += alone[i] > limits[l];
		}
		assert_int_equal(requests.too_large_count, too_large);
		assert_true(!requests.too_large == !too_large);
		if (requests.too_large)
			assert_true(alone[requests.too_large - point] > limits[l]);
		all_in_one += requests.count == 1;
		/* Not needlessly many: on average a request is at least a third full where points are small beside it. */
		if (limits[l] >= 50000)
			assert_true(requests.count == 1 || bytes >= requests.count * limits[l] / 3);
		arena_free(arena);
	}
	assert_true(all_in_one > 0 && all_in_one < COUNT(limits));
}

/* What the limit is compared with is what is sent: at its own size a body is whole, at one byte less it is not. */
static void limit_is_inclusive(void **state)
{
	const struct points points = { .time_unix_ns = 2, .point = point, .count = 50 };
	struct arena *arena = arena_new();
	struct requests requests;
	size_t size;

	(void)state;
	assert_int_equal(split_points(&points, SPLIT_MAX_BYTES, ENCODE_PROTOBUF, arena, &requests), 0);
	assert_int_equal(requests.count, 1);
	size = requests.request[0].size;
	assert_int_equal(split_points(&points, size, ENCODE_PROTOBUF, arena, &requests), 0);
	assert_int_equal(requests.count, 1);
	assert_int_equal(split_points(&points, size - 1, ENCODE_PROTOBUF, arena, &requests), 0);
	assert_int_equal(requests.count, 2);
	arena_free(arena);
}

static void no_points_make_no_request(void **state)
{
	const struct points points = { .time_unix_ns = 2 };
	struct arena *arena = arena_new();
	struct requests requests = { .count = 77 };

	(void)state;
	assert_int_equal(split_points(&points, 100, ENCODE_PROTOBUF, arena, &requests), 0);
	assert_int_equal(requests.count, 0);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_point_once_under_any_limit),
		cmocka_unit_test(limit_is_inclusive),
		cmocka_unit_test(no_points_make_no_request),
	};

	return cmocka_run_group_tests_name("split", tests, set_up, NULL);
}
