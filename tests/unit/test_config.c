/* SPDX-License-Identifier: BSD-2-Clause */
/* test_config.c - the configuration file below flags and variables, and what is said about wrong ones. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "options_table.h"

static char directory[] = "/tmp/probemeter-config-XXXXXX";
static char path[sizeof(directory) + 16], headers[sizeof(directory) + 16], error[1024];
static const char *variable; /* OTEL_METRIC_EXPORT_INTERVAL */

static char *get(const char *name)
{
	return strcmp(name, "OTEL_METRIC_EXPORT_INTERVAL") ? NULL : (char *)variable;
}

static void put(const char *to, const char *text)
{
	FILE *file = fopen(to, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Options of `run --config FILE` and up to two words more, with @text in the file. */
static int parse(const char *text, const char *flag, const char *value, struct options *ret)
{
	char *argv[] = { (char *)"probemeter", (char *)"run", (char *)"--config", path, (char *)flag, (char *)value, NULL };
	int argc = 4 + !!flag + !!value;

	put(path, text);
	*error = '\0';
	return options_parse(argc, argv, get, ret, error, sizeof(error));
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/conf", directory);
	(void)snprintf(headers, sizeof(headers), "%s/headers", directory);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(path);
	(void)unlink(headers);
	return rmdir(directory);
}

/* Each kind of value, with comments, blanks and repeated lists. */
static void config_sets_every_type(void **state)
{
	struct options options;

	(void)state;
	variable = NULL;
	assert_int_equal(parse("# a comment\n\n  endpoint = http://h:4318  \nexporter=otlp,console\ninterval = 700\n"
			       "include = unit:a\nper-process = true\ninclude=uid:1-5\ntemporality = delta\nagent-name = me\n",
			       NULL, NULL, &options), 0);
	assert_string_equal(options.url, "http://h:4318/v1/metrics");
	assert_int_equal(options.exporters, EXPORTER_OTLP | EXPORTER_CONSOLE);
	assert_int_equal(options.interval_ms, 700);
	assert_int_equal(options.includes.count, 2);
	assert_string_equal(options.includes.text[0], "unit:a");
	assert_string_equal(options.includes.text[1], "uid:1-5");
	assert_true(options.per_process);
	assert_int_equal(options.preference, PREFERENCE_DELTA);
	assert_string_equal(options.service_name, "me");
	assert_non_null(strstr(options.source[OPTION_INTERVAL], "/conf line 5 (interval)"));
	assert_int_equal(options.warning_count, 0);
	options_free(&options);
}

/* Flag over variable over file over default; a flag's list is not added to. */
static void config_is_below_flags_and_variables(void **state)
{
	static const char text[] = "interval = 700\ninclude = unit:a\nexport-timeout = 900\n";
	struct options options;

	(void)state;
	variable = "600";
	assert_int_equal(parse(text, "--include", "unit:b", &options), 0);
	assert_int_equal(options.interval_ms, 600);
	assert_int_equal(options.export_timeout_ms, 900);
	assert_int_equal(options.includes.count, 1);
	assert_string_equal(options.includes.text[0], "unit:b");
	options_free(&options);
	assert_int_equal(parse(text, "--interval", "500", &options), 0);
	assert_int_equal(options.interval_ms, 500);
	options_free(&options);
	variable = NULL;
	assert_int_equal(parse(text, NULL, NULL, &options), 0);
	assert_int_equal(options.interval_ms, 700);
	options_free(&options);
}

/* What is wrong names file, line, and what was expected; also where a flag or variable wins, or the command does not listen. */
static void config_errors_name_the_line(void **state)
{
	static const struct {
		const char *text, *want;
	} wrong[] = {
		{ "\nendpiont = http://h\n", "/conf line 2: there is no 'endpiont'; did you mean 'endpoint'?" },
		{ "OTEL_METRIC_EXPORT_INTERVAL = 1\n", "did you mean 'interval'?" },
		{ "Temporalty = delta\n", "did you mean 'temporality'?" },
		{ "interval = 5\n", "/conf line 1: interval: expected milliseconds from 100" },
		{ "links = auto\nlinks = auto\n", "/conf line 2: 'links' was set in line 1 already" },
		{ "once = true\n", "'once' is for the command line only" },
		{ "json = true\n", "'json' is for the command line only" },
		{ "per-process = yes\n", "expected true or false, not 'yes'" },
		{ "insecure = yes\n", "expected true or false, not 'yes'" },
		{ "exporter = otlp, nowhere\n", "'nowhere' is unknown" },
		{ "endpoint = h:4318\n", "/conf line 1 (endpoint): expected a URL" },
		{ "nonsense\n", "/conf line 1: expected NAME = VALUE, not 'nonsense'" },
		{ "exporter = console # to look\n", "a comment must stand on a line of its own" },
		{ "\xef\xbb\xbfinterval = 5\n", "/conf line 1: interval: expected milliseconds from 100" },
		{ "\n\xef\xbb\xbfinterval = 500\n", "line 2: there is no" },
		{ "headers-file = /nonexistent/x\n", "/nonexistent/x: No such file or directory; named by /tmp" },
	};
	struct options options;
	size_t i;

	(void)state;
	variable = "600";
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(parse(wrong[i].text, NULL, NULL, &options), -EINVAL);
		if (!strstr(error, wrong[i].want))
			fail_msg("'%s': got '%s', expected '%s'", wrong[i].text, error, wrong[i].want);
	}
	variable = NULL;
}

/* A file that was named must be there. */
static void config_that_was_named_must_exist(void **state)
{
	char *argv[] = { (char *)"probemeter", (char *)"run", (char *)"--config", (char *)"/nonexistent/conf", NULL };
	struct options options;

	(void)state;
	assert_int_equal(options_parse(4, argv, get, &options, error, sizeof(error)), -EINVAL);
	assert_string_equal(error, "/nonexistent/conf: No such file or directory; named by --config");
}

/* Every row that may stand in the file has a name of its own. */
static void config_names_are_distinct(void **state)
{
	(void)state;
	for (enum option_key a = 0; a < OPTION_COUNT; a++) {
		assert_non_null(option_name(&option_rows[a]));
		for (enum option_key b = 0; b < a; b++)
			assert_string_not_equal(option_name(&option_rows[a]), option_name(&option_rows[b]));
	}
}

/* Secrets: taken as they stand, beside other headers, which win; a file for all to read is warned about. */
static void config_headers_come_from_a_file(void **state)
{
	struct options options;
	char text[128];

	(void)state;
	put(headers, "# keys\nAuthorization: Basic a%3D==  \n\nx-one: other\n");
	assert_int_equal(chmod(headers, 0600), 0);
	(void)snprintf(text, sizeof(text), "headers = x-one=1\nheaders-file = %s\n", headers);
	assert_int_equal(parse(text, NULL, NULL, &options), 0);
	assert_int_equal(options.headers.count, 2);
	assert_string_equal(options.headers.pair[0].key, "x-one");
	assert_string_equal(options.headers.pair[0].value, "1");
	assert_string_equal(options.headers.pair[1].key, "Authorization");
	assert_string_equal(options.headers.pair[1].value, "Basic a%3D==");
	assert_int_equal(options.warning_count, 0);
	options_free(&options);

	assert_int_equal(chmod(headers, 0644), 0);
	assert_int_equal(parse(text, NULL, NULL, &options), 0);
	assert_int_equal(options.warning_count, 1);
	assert_non_null(strstr(options.warning[0], "chmod o-r"));
	options_free(&options);

	put(headers, "Authorization secret\n");
	assert_int_equal(parse(text, NULL, NULL, &options), -EINVAL);
	assert_non_null(strstr(error, "/headers line 1: expected 'Name: value'"));
	assert_null(strstr(error, "secret"));
	put(headers, "a b: secret\n");
	assert_int_equal(parse(text, NULL, NULL, &options), -EINVAL);
	assert_null(strstr(error, "secret"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_sets_every_type),
		cmocka_unit_test(config_is_below_flags_and_variables),
		cmocka_unit_test(config_errors_name_the_line),
		cmocka_unit_test(config_that_was_named_must_exist),
		cmocka_unit_test(config_names_are_distinct),
		cmocka_unit_test(config_headers_come_from_a_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
