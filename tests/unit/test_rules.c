/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_rules.c - lines of the policy grammar, and whom they match.
 */
#include "unit.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules.h"
#include "service.h"

static const struct service_facts shop = {
	.executable = "/srv/shop/bin/shop",
	.unit = "shop",
	.cgroup = "4:memory:/tenants/a\n0::/system.slice/shop.service\n",
	.has_uid = true,
	.uid = 1000,
};
static const struct service_facts cron = {
	.executable = "/usr/sbin/cron",
	.unit = "cron",
	.cgroup = "0::/system.slice/cron.service\n",
	.has_uid = true,
	.uid = 0,
};
static const struct service_facts unknown = { 0 };

static struct rules *rules_of(const char *const *line)
{
	struct rules *rules = rules_new();
	char error[256] = "";

	for (; *line; line++)
		assert_int_equal(rules_add(rules, *line, error, sizeof(error)), 0);
	return rules;
}
#define RULES(...) rules_of((const char *const[]){ __VA_ARGS__, NULL })

/* Without rules, and without a matching one, everybody is counted and may have any name. */
static void without_rules_all_is_allowed(void **state)
{
	struct rules *rules = RULES("", "   ", "# include path:/nowhere", "\t# x\n");

	(void)state;
	assert_true(rules_process(NULL, &shop) && rules_file(NULL, "/x") && rules_name(NULL, "any", &shop));
	assert_null(rules_service(NULL, &shop));
	assert_false(rules_choose(NULL) || rules_by_uid(NULL) || rules_choose(rules));
	assert_true(rules_process(rules, &unknown) && rules_file(rules, "/x") && rules_name(rules, "any", &unknown));
	rules_free(rules);
}

static void selectors_match_what_they_name(void **state)
{
	static const struct {
		const char *line;
		bool shop, cron, file; /* excluded; /usr/sbin/cron as a file */
	} expected[] = {
		{ "exclude path:/srv/*", true, false, false },
		{ "exclude path:/usr/*", false, true, true },
		{ "exclude path:*/shop", true, false, false },
		{ "exclude path:shop", false, false, false },
		{ "exclude unit:shop", true, false, false },
		{ "exclude unit:sho?", true, false, false },
		{ "exclude unit:shop.service", true, false, false },
		{ "exclude unit:shop.socket", false, false, false },
		{ "exclude unit:/srv/*", false, false, false },
		{ "exclude cgroup:/tenants/*", true, false, false },
		{ "exclude cgroup:/system.slice/*", true, true, false },
		{ "exclude cgroup:/system.slice", false, false, false },
		{ "exclude uid:1000", true, false, false },
		{ "exclude uid:0", false, true, false },
		{ "exclude uid:0-999", false, true, false },
		{ "exclude uid:0-4294967295", true, true, false },
		{ "exclude /usr/sbin/*", false, true, true },
		{ "exclude cron", false, true, false },
		{ "exclude /tenants/?", true, false, false },
		{ "  exclude\t*  \n", true, true, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		struct rules *rules = RULES(expected[i].line);

		assert_int_equal(rules_process(rules, &shop), !expected[i].shop);
		assert_int_equal(rules_process(rules, &cron), !expected[i].cron);
		assert_int_equal(rules_file(rules, "/usr/sbin/cron"), !expected[i].file);
		assert_true(rules_choose(rules));
		assert_int_equal(rules_by_uid(rules), strstr(expected[i].line, "uid:") != NULL);
		rules_free(rules);
	}
}

/* Where there are includes one must match; an exclude wins, wherever it stands. Files are only ever excluded. */
static void exclude_wins_over_include(void **state)
{
	struct rules *rules = RULES("exclude uid:0", "include unit:*");

	(void)state;
	assert_true(rules_process(rules, &shop));
	assert_false(rules_process(rules, &cron));
	assert_false(rules_process(rules, &unknown));
	rules_free(rules);
	rules = RULES("include path:/srv/*", "include uid:0");
	assert_true(rules_process(rules, &shop) && rules_process(rules, &cron) && rules_file(rules, "/usr/lib/libx.so"));
	assert_false(rules_process(rules, &unknown));
	rules_free(rules);
}

static void names_belong_to_whom_the_rules_say(void **state)
{
	struct rules *rules = RULES("name orders uid:1000", "name orders unit:cron", "name pay-* uid:7", "service unit:shop a",
				    "service path:/srv/* b", "service * c");

	(void)state;
	assert_true(rules_name(rules, "orders", &shop) && rules_name(rules, "orders", &cron));
	assert_false(rules_name(rules, "orders", &unknown) || rules_name(rules, "pay-in", &shop));
	assert_true(rules_name(rules, "other", &unknown) && rules_name(rules, "pay", &shop));
	assert_string_equal(rules_service(rules, &shop), "a");
	assert_string_equal(rules_service(rules, &cron), "c");
	assert_null(rules_service(rules, &unknown));
	rules_free(rules);
}

static void arguments_are_rules_without_their_verb(void **state)
{
	struct rules *rules = rules_new();
	char error[256] = "";

	(void)state;
	assert_int_equal(rules_add_argument(rules, RULE_SERVICE, "path:/srv/a=b/*=the shop", error, sizeof(error)), 0);
	assert_int_equal(rules_add_argument(rules, RULE_SERVICE, "unit:shop=shop", error, sizeof(error)), 0);
	assert_int_equal(rules_add_argument(rules, RULE_EXCLUDE, "uid:0", error, sizeof(error)), 0);
	assert_string_equal(rules_service(rules, &shop), "shop");
	assert_string_equal(rules_service(rules, &(const struct service_facts){ .executable = "/srv/a=b/c" }), "the shop");
	assert_false(rules_process(rules, &cron));
	assert_int_equal(rules_add_argument(rules, RULE_SERVICE, "unit:shop", error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "GLOB=NAME"));
	assert_int_equal(rules_add_argument(rules, RULE_SERVICE, "=x", error, sizeof(error)), -EINVAL);
	assert_int_equal(rules_add_argument(rules, RULE_SERVICE, "x=", error, sizeof(error)), -EINVAL);
	rules_free(rules);
}

static void wrong_lines_say_what_was_expected(void **state)
{
	static const char *const wrong[] = {
		"exclude", "exclude path:", "exclude uid:root", "exclude uid:", "exclude uid:5-4", "exclude uid:1x",
		"exclude uid:4294967296", "exclude uid:-1", "exclude a b", "allow x", "name orders", "name orders uid:1 uid:2",
		"service x", "service x y z", "EXCLUDE x", "name \xff uid:1",
	};
	struct rules *rules = rules_new();

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		char error[256] = "";

		assert_int_equal(rules_add(rules, wrong[i], error, sizeof(error)), -EINVAL);
		assert_non_null(strstr(error, "expected"));
	}
	assert_true(rules_process(rules, &shop));
	rules_free(rules);
}

static void files_name_the_line_that_is_wrong(void **state)
{
	char path[] = "/tmp/probemeter-rules-XXXXXX", error[512] = "";
	int fd = mkstemp(path);
	struct rules *rules = rules_new();

	(void)state;
	assert_int_equal(write(fd, "# first\n\nexclude uid:0\n", 23), 23);
	assert_int_equal(rules_add_file(rules, path, error, sizeof(error)), 0);
	assert_false(rules_process(rules, &cron));
	assert_int_equal(write(fd, "include\n", 8), 8);
	assert_int_equal(rules_add_file(rules, path, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, path));
	assert_non_null(strstr(error, "line 4: expected"));
	(void)close(fd);
	(void)unlink(path);
	assert_int_equal(rules_add_file(rules, path, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, path));
	/* Nobody writes to it, ever. */
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(rules_add_file(rules, path, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "not a regular file"));
	(void)unlink(path);
	assert_int_equal(rules_add_file(rules, "/dev/zero", error, sizeof(error)), -EINVAL);
	rules_free(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_all_is_allowed),
		cmocka_unit_test(selectors_match_what_they_name),
		cmocka_unit_test(exclude_wins_over_include),
		cmocka_unit_test(names_belong_to_whom_the_rules_say),
		cmocka_unit_test(arguments_are_rules_without_their_verb),
		cmocka_unit_test(wrong_lines_say_what_was_expected),
		cmocka_unit_test(files_name_the_line_that_is_wrong),
	};

	return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
