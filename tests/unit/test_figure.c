/* SPDX-License-Identifier: BSD-2-Clause */
/* test_figure.c - numbers as people read them. */
#include "unit.h"

#include <math.h>

#include "figure.h"

/* Each fits its columns, whatever the number. */
static void figures_have_a_unit_and_three_digits(void **state)
{
	static const struct {
		double value;
		const char *unit, *want;
	} figures[] = {
		{ 0, NULL, "0" },	   { 7, NULL, "7" },	      { 99999, NULL, "99999" },	 { 123456, NULL, "123k" },
		{ 1.5, NULL, "1.5" },	   { 1234.5, NULL, "1.23k" }, { 999600, NULL, "1M" },	 { 2.5e9, "{x}", "2.5G" },
		{ 0.0004, NULL, "4.0e-04" }, { -5, NULL, "-5" },      { -1.5e7, NULL, "-15M" },	 { NAN, NULL, "-" },
		{ 0.0123, "s", "12.3ms" }, { 5e-7, "s", "500ns" },    { 0.9999, "s", "1s" },	 { 90, "s", "1.5min" },
		{ 3, "{ms}", "3ms" },	   { 2e6, "us", "2s" },	      { 1536, "By", "1.5KiB" },	 { 3, "MiBy", "3MiB" },
		{ 12.34, "{%}", "12.3%" }, { 0, "s", "0" },	      { INFINITY, "s", "inf" },	 { 1e300, "s", "1.2e+295d" },
		{ 86400 * 400, "s", "400d" }, { 12, "smth", "12" },
	};
	char out[FIGURE_BYTES];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		figure(figures[i].value, figures[i].unit, out);
		if (strcmp(out, figures[i].want))
			fail_msg("%g %s: got '%s', expected '%s'", figures[i].value, figures[i].unit, out, figures[i].want);
		assert_true(strlen(out) <= FIGURE_COLUMNS || fabs(figures[i].value) > 1e200);
	}
}

/* The newest at the right, from nothing to the largest; what is missing is blank. */
static void figure_trend_scales(void **state)
{
	static const double values[] = { 9, 0, 4, 8 }, minus[] = { -1, 1 };
	char out[64];

	(void)state;
	assert_string_equal(figure_trend(values, 4, 3, true, out), "_-#");
	assert_string_equal(figure_trend(values, 4, 6, true, out), "  #_-#");
	assert_string_equal(figure_trend(values + 1, 3, 3, false, out), "\u2581\u2584\u2588");
	assert_string_equal(figure_trend(minus, 2, 2, true, out), "_#");
	assert_string_equal(figure_trend(values, 0, 2, true, out), "  ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_have_a_unit_and_three_digits),
		cmocka_unit_test(figure_trend_scales),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
