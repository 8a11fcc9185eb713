/* SPDX-License-Identifier: BSD-2-Clause */
/* test_certs.c - files that are rotated, in each of the ways that is done. */
#include "unit.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "certs.h"
#include "options.h"

static char directory[64];

static const char *path_of(const char *name)
{
	static char path[4][128];
	static unsigned next;

	next = (next + 1) % 4;
	(void)snprintf(path[next], sizeof(path[next]), "%s/%s", directory, name);
	return path[next];
}

/* Later than the clock of the files' times can resolve. */
static void put(const char *name, const char *text)
{
	const struct timespec moment = { .tv_nsec = 20000000 };
	FILE *file;

	(void)nanosleep(&moment, NULL);
	file = fopen(path_of(name), "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(directory, sizeof(directory), "/tmp/probemeter-certs-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "ca", "cert", "key", "new", "link" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++)
		(void)unlink(path_of(names[i]));
	return rmdir(directory);
}

static bool changed(struct certs *certs)
{
	char problem[256] = "";
	bool ret = false;

	assert_int_equal(certs_look(certs, &ret, problem, sizeof(problem)), 0);
	return ret;
}

/* Written over with as many bytes, renamed over, a link switched to another file: each is seen once. */
static void certs_sees_each_kind_of_rotation(void **state)
{
	struct options options = { 0 };
	struct certs certs;

	(void)state;
	put("ca", "one");
	put("cert", "one");
	put("key", "one");
	assert_int_equal(symlink("key", path_of("link")), 0);
	options.certificate = path_of("ca");
	options.client_certificate = path_of("cert");
	options.client_key = path_of("link");
	assert_int_equal(certs_init(&certs, &options), 0);
	assert_false(changed(&certs));
	assert_false(changed(&certs));
	put("ca", "two");
	assert_true(changed(&certs));
	assert_false(changed(&certs));
	put("new", "two");
	assert_int_equal(rename(path_of("new"), path_of("cert")), 0);
	assert_true(changed(&certs));
	assert_false(changed(&certs));
	put("new", "one");
	assert_int_equal(unlink(path_of("link")), 0);
	assert_int_equal(symlink("new", path_of("link")), 0);
	assert_true(changed(&certs));
	assert_false(changed(&certs));
	certs_free(&certs);
}

/* One that cannot be read is named with its variable; a change of another is not forgotten over that. */
static void certs_names_what_cannot_be_read(void **state)
{
	struct options options = { .source = { [OPTION_CLIENT_KEY] = "THE_KEYS_VARIABLE" } };
	char problem[256], wanted[256];
	struct certs certs;
	bool ret = false;

	(void)state;
	put("ca", "one");
	put("cert", "one");
	put("key", "one");
	options.certificate = path_of("ca");
	options.client_certificate = path_of("cert");
	options.client_key = path_of("key");
	assert_int_equal(certs_init(&certs, &options), 0);
	assert_false(changed(&certs));
	put("ca", "two");
	assert_int_equal(unlink(path_of("key")), 0);
	(void)snprintf(wanted, sizeof(wanted), "THE_KEYS_VARIABLE: '%s' cannot be read: No such file or directory",
		       path_of("key"));
	assert_int_equal(certs_look(&certs, &ret, problem, sizeof(problem)), -ENOENT);
	assert_string_equal(problem, wanted);
	assert_int_equal(mkdir(path_of("key"), 0700), 0);
	assert_int_equal(certs_look(&certs, &ret, problem, sizeof(problem)), -EISDIR);
	assert_int_equal(rmdir(path_of("key")), 0);
	assert_false(ret);
	/* The very file is back; what is left is the other's change. */
	certs.file[CERTS_KEY].known = false;
	put("key", "one");
	assert_true(changed(&certs));
	assert_false(changed(&certs));
	certs_free(&certs);
}

/* Nothing named, nothing looked at; a key without its certificate is not used. */
static void certs_ignores_what_is_not_used(void **state)
{
	struct options options = { .client_key = "/no/such/key" };
	struct certs certs;

	(void)state;
	assert_int_equal(certs_init(&certs, &options), 0);
	assert_false(changed(&certs));
	certs_free(&certs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(certs_sees_each_kind_of_rotation, set_up, tear_down),
		cmocka_unit_test_setup_teardown(certs_names_what_cannot_be_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(certs_ignores_what_is_not_used, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("certs", tests, NULL, NULL);
}
