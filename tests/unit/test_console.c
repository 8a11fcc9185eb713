/* SPDX-License-Identifier: BSD-2-Clause */
/* test_console.c - the table that people see. */
#include "unit.h"

#include <float.h>
#include <math.h>
#include <time.h>

#include "console.h"
#include "quantile.h"
#include "utf8.h"

#define S UINT64_C(1000000000)
#define START (UINT64_C(1700000000) * S)

static struct attribute shop_attributes[] = {
	{ .key = "service.name", .value = "shop" },
	{ .key = "service.instance.id", .value = "a1" },
	{ .key = "note", .value = "two words" },
};
static struct attribute agent_attributes[] = { { .key = "service.name", .value = "probemeter" } };
static const struct resource shop = { .attribute = shop_attributes, .attribute_count = 3 };
static const struct resource agent = { .attribute = agent_attributes, .attribute_count = 1 };

static const double bounds[] = { 1, 2, 4 };
static const struct metric total = { .scope = "S", .name = "executions.total", .unit = "{execution}",
				     .description = "", .label_count = 2, .label = { "status", "lang" } };
static const struct metric depth = { .scope = "S", .name = "queue.depth", .unit = "", .description = "" };
static const struct metric heat = { .scope = "S", .name = "heat", .unit = "Cel", .description = "",
				    .label_count = 1, .label = { "room" } };
static const struct metric duration = { .scope = "S", .name = "duration", .unit = "{s}", .description = "",
					.label_count = 1, .label = { "room" } };
static const struct metric drops = { .scope = "A", .name = "drops", .unit = "{event}", .description = "" };

static uint64_t buckets[] = { 0, 50, 40, 10 }, empty[] = { 0, 0, 0, 0 };

/* Not in the order of the table. */
static struct point sample[] = {
	{ .resource = &shop, .metric = &total, .value = { "ok", "py" }, .type = POINT_SUM, .monotonic = true,
	  .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .integer = 1234567 },
	{ .resource = &shop, .metric = &total, .value = { "failed", "" }, .type = POINT_SUM, .monotonic = true,
	  .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .integer = 20 },
	{ .resource = &shop, .metric = &total, .overflow = true, .type = POINT_SUM, .monotonic = true,
	  .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .integer = 0 },
	{ .resource = &shop, .metric = &depth, .type = POINT_SUM, .temporality = TEMPORALITY_CUMULATIVE,
	  .start_unix_ns = START, .integer = -3 },
	{ .resource = &shop, .metric = &heat, .value = { "caf\xc3\xa9\x1b[2J" }, .type = POINT_GAUGE, .real = 21.5 },
	{ .resource = &shop, .metric = &duration, .value = { "b" }, .type = POINT_HISTOGRAM,
	  .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .count = 100, .sum = 250, .has_sum = true,
	  .bound = bounds, .bound_count = 3, .bucket = buckets },
	{ .resource = &shop, .metric = &duration,
	  .value = { "a room whose name is far too long to stand beside the numbers" }, .type = POINT_HISTOGRAM,
	  .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .count = 0, .sum = 0, .has_sum = true,
	  .bound = bounds, .bound_count = 3, .bucket = empty },
	{ .resource = &agent, .metric = &drops, .type = POINT_SUM, .monotonic = true,
	  .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START, .integer = 0 },
};

static char *text;
static size_t text_size;

/* Print from the start of the text; the first call makes the console. */
static void print(struct console **console, FILE **out, const struct points *points)
{
	if (!*out) {
		*out = open_memstream(&text, &text_size);
		*console = console_new(*out);
		assert_non_null(*console);
	}
	rewind(*out);
	assert_int_equal(console_print(*console, points), 0);
}

static void done(struct console *console, FILE *out)
{
	console_free(console);
	(void)fclose(out);
	free(text);
}

#define R5 "\u2500\u2500\u2500\u2500\u2500"
#define R10 R5 R5
#define R80 R10 R10 R10 R10 R10 R10 R10 R10

/* Services, metrics and series in order, every kind with its numbers in the same columns, hostile text spelled out. */
static void console_prints_a_table(void **state)
{
	const struct points points = { .time_unix_ns = START + 10 * S, .point = sample, .count = COUNT(sample) };
	struct console *console = NULL;
	FILE *out = NULL;

	(void)state;
	print(&console, &out, &points);
	assert_string_equal(text,
"\n2023-11-14 22:13:30  2 services, 5 metrics, 8 series\n"
"\nprobemeter " R80 R5 "\u2500\u2500\u2500\u2500\n"
"  drops {event}                                   total    per s\n"
"    (no labels)                                       0        0\n"
"\nshop " R80 R10 R5 "\n"
"service.instance.id=a1  note=\"two words\"\n"
"  duration {s}                                    count    per s     mean      p50      p90      p99\n"
"    room=\"a room whose name is far too long to stand beside the numbers\"\n"
"                                                      0        0        -        -        -        -\n"
"    room=b                                          100    10.00    2.500    2.000    4.000   >4.000\n"
"  executions.total {execution}                    total    per s\n"
"    status=failed  lang=\"\"                           20    2.000\n"
"    status=ok  lang=py                        1,234,567 1.23e+05\n"
"    (all others: too many series)                     0        0\n"
"  heat Cel                                          now\n"
"    room=caf\u00e9\\x1b[2J                              21.50\n"
"  queue.depth                                       now\n"
"    (no labels)                                      -3\n");
	done(console, out);
}

/* From the second print on, a rate is over the time between the prints; a series that began anew counts from then. */
static void console_rates_are_between_prints(void **state)
{
	struct point later[COUNT(sample)];
	struct points points = { .time_unix_ns = START + 100 * S, .point = sample, .count = COUNT(sample) };
	struct console *console = NULL;
	FILE *out = NULL;

	(void)state;
	print(&console, &out, &points);
	memcpy(later, sample, sizeof(later));
	later[0].integer += 50;
	later[1].integer = 24; /* more than before, and yet from a new beginning */
	later[1].start_unix_ns = START + 102 * S;
	points = (struct points){ .time_unix_ns = START + 110 * S, .point = later, .count = 2 };
	print(&console, &out, &points);
	assert_non_null(strstr(text, "    status=ok  lang=py                        1,234,617    5.000\n"));
	assert_non_null(strstr(text, "    status=failed  lang=\"\"                           24    3.000\n"));
	done(console, out);
}

static void assert_fits(const char *line)
{
	size_t length = strlen(line);
	int columns = 0;
	uint32_t code;

	assert_true(utf8_valid(line, length));
	for (size_t i = 0; i < length;) {
		i += utf8_next(line + i, length - i, &code);
		assert_true(code >= 0x20 && code != 0x7f);
		columns += utf8_columns(code);
	}
	assert_true(columns <= 100);
}

/* No line is wider than 100 columns and none holds a control character, whatever services chose. */
static void console_fits_hostile_text(void **state)
{
	static char wild[4000];
	static struct attribute attributes[] = { { "service.name", wild }, { "x", wild } };
	static const struct resource resource = { .attribute = attributes, .attribute_count = 2 };
	static const struct metric metric = { .scope = wild, .name = wild, .unit = wild, .description = wild,
					      .label_count = 4, .label = { wild, "b", "c", "d" } };
	static struct point point = { .resource = &resource, .metric = &metric, .value = { wild, wild, wild, wild },
				      .type = POINT_SUM, .integer = INT64_MIN };
	static const char *const pieces[] = { "\x1b[31m", "\xe6\xbc\xa2", "\n", "\xf0\x9f\x98\x80", "e\xcc\x81", "\r", "%s" };
	const struct points points = { .time_unix_ns = START, .point = &point, .count = 1 };
	struct console *console = NULL;
	FILE *out = NULL;

	(void)state;
	/* Wherever the cut falls: before, inside or behind a wide character. */
	for (size_t start = 0; start < COUNT(pieces); start++) {
		char *rest = NULL;

		memset(wild, 0, sizeof(wild));
		memset(wild, 'a', start);
		for (size_t i = start; strlen(wild) < sizeof(wild) - 10; i++)
			strcat(wild, pieces[i % COUNT(pieces)]);
		print(&console, &out, &points);
		for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			assert_fits(line);
	}
	done(console, out);
}

/* A metric with hundreds of series does not flood the screen; what is left out is said. */
static void console_limits_rows(void **state)
{
	static struct point many[200];
	static char names[200][8];
	struct points points = { .time_unix_ns = START + S, .point = many, .count = 200 };
	struct console *console = NULL;
	FILE *out = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT(many); i++) {
		many[i] = sample[4];
		(void)snprintf(names[i], sizeof(names[i]), "%03zu", i);
		many[i].value[0] = names[i];
	}
	print(&console, &out, &points);
	assert_non_null(strstr(text, "room=049 "));
	assert_null(strstr(text, "room=050 "));
	assert_non_null(strstr(text, "\u2026 and 150 more series\n"));
	done(console, out);
}

/* A label value that looks like the end of one pair and the beginning of another. */
static void console_quotes_what_looks_like_pairs(void **state)
{
	static const struct metric logins = { .kind = PROBEMETER_KIND_COUNTER, .scope = "s", .name = "logins", .unit = "",
					      .description = "", .label_count = 1, .label = { "user" } };
	struct point point = { .resource = &shop, .metric = &logins, .value = { "eve\"  role=\"admin" }, .type = POINT_SUM,
			       .monotonic = true, .temporality = TEMPORALITY_CUMULATIVE, .start_unix_ns = START };
	const struct points points = { .time_unix_ns = START + S, .point = &point, .count = 1 };
	struct console *console = NULL;
	FILE *out = NULL;

	(void)state;
	print(&console, &out, &points);
	assert_non_null(strstr(text, "    user=\"eve\\\"  role=\\\"admin\" "));
	done(console, out);
}

/* Quantiles of both kinds of histogram, negative values included, lie inside the right bucket. */
static void quantile_estimate_interpolates(void **state)
{
	static uint64_t one[] = { 10 }, two[] = { 4, 6 }, open[] = { 7 };
	const struct point explicit_one = { .type = POINT_HISTOGRAM, .count = 100, .bound = bounds, .bound_count = 3,
					    .bucket = buckets };
	const struct point no_bounds = { .type = POINT_HISTOGRAM, .count = 7, .bucket = open };
	const struct point exponential = { .type = POINT_EXPONENTIAL, .count = 25, .scale = 0, .zero_count = 5,
					   .positive = { .offset = 1, .bucket_count = 2, .count = two },
					   .negative = { .offset = 3, .bucket_count = 1, .count = one } };
	/* As wide as doubles go, and with many values in it. */
	static const double wide[] = { -DBL_MAX, DBL_MAX };
	static uint64_t huge[] = { 0, UINT64_C(1) << 52, 0 };
	const struct point widest = { .type = POINT_HISTOGRAM, .count = UINT64_C(1) << 52, .bound = wide, .bound_count = 2,
				      .bucket = huge };
	const struct {
		const struct point *point;
		double q, want;
		bool above;
	} rows[] = {
		{ &widest, 0.5, 0, false },
		{ &explicit_one, 0.25, 1.5, false }, { &explicit_one, 0.5, 2, false },
		{ &explicit_one, 0.9, 4, false },    { &explicit_one, 0.95, 4, true },
		{ &no_bounds, 0.5, 0, true },
		/* -16..-8: 10 values; 0: 5; 2..4: 4; 4..8: 6 */
		{ &exponential, 0.2, -12, false },   { &exponential, 0.5, 0, false },
		{ &exponential, 0.68, 3, false },    { &exponential, 1, 8, false },
	};
	const struct point none = { .type = POINT_HISTOGRAM, .bound = bounds, .bound_count = 3, .bucket = empty };
	double value;
	bool above;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(quantile_estimate(rows[i].point, rows[i].q, &value, &above));
		assert_true(fabs(value - rows[i].want) < 1e-9);
		assert_int_equal(above, rows[i].above);
	}
	assert_false(quantile_estimate(&none, 0.5, &value, &above));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(console_prints_a_table),
		cmocka_unit_test(console_rates_are_between_prints),
		cmocka_unit_test(console_fits_hostile_text),
		cmocka_unit_test(console_limits_rows),
		cmocka_unit_test(console_quotes_what_looks_like_pairs),
		cmocka_unit_test(quantile_estimate_interpolates),
	};

	(void)setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
