/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host.c - hosts that are copies of each other, as trees of files.
 */
#include "unit.h"

#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"

static void put(const char *root, const char *path, const char *text)
{
	char full[512], *at;
	FILE *file;

	(void)snprintf(full, sizeof(full), "%s%s", root, path);
	for (at = full + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		(void)mkdir(full, 0755);
		*at = '/';
	}
	file = fopen(full, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void card(const char *root, const char *name, const char *index, const char *address)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/device/x", name);
	put(root, path, "");
	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/addr_assign_type", name);
	put(root, path, "0\n");
	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/ifindex", name);
	put(root, path, index);
	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/address", name);
	put(root, path, address);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

struct hosts {
	char root[2][40];
	char id[3][HOST_IDENTITY_BYTES];
};

static int set_up(void **state)
{
	struct hosts *hosts = calloc(1, sizeof(*hosts));

	for (size_t i = 0; i < 2; i++) {
		strcpy(hosts->root[i], "/tmp/probemeter-host-XXXXXX");
		assert_non_null(mkdtemp(hosts->root[i]));
		put(hosts->root[i], "/etc/machine-id", "00112233445566778899aabbccddeeff\n");
		put(hosts->root[i], "/var/lib/empty", "");
	}
	*state = hosts;
	return 0;
}

static int tear_down(void **state)
{
	struct hosts *hosts = *state;

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(nftw(hosts->root[i], remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(hosts);
	return 0;
}

/* Both hosts, and the first once more, as after a restart. */
static void ask(struct hosts *hosts)
{
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(host_identity(hosts->root[i % 2], hosts->id[i]), 0);
	assert_string_equal(hosts->id[0], hosts->id[2]);
}

static bool has_number(const char *root)
{
	char path[80];

	(void)snprintf(path, sizeof(path), "%s/var/lib/probemeter/host-id", root);
	return !access(path, F_OK);
}

static void clones_differ_by_their_product_uuid(void **state)
{
	struct hosts *hosts = *state;

	put(hosts->root[0], "/sys/class/dmi/id/product_uuid", "aaaa\n");
	put(hosts->root[1], "/sys/class/dmi/id/product_uuid", "bbbb\n");
	ask(hosts);
	assert_string_not_equal(hosts->id[0], hosts->id[1]);
	assert_false(has_number(hosts->root[0]));
}

static void clones_differ_by_the_address_of_their_first_card(void **state)
{
	struct hosts *hosts = *state;

	for (size_t i = 0; i < 2; i++) {
		card(hosts->root[i], "eth0", "2\n", i ? "00:16:3e:00:00:01\n" : "00:16:3e:00:00:02\n");
		card(hosts->root[i], "ens9", "10\n", "00:16:3e:00:00:99\n");
		put(hosts->root[i], "/sys/class/net/br0/address", "00:16:3e:00:00:77\n");
	}
	ask(hosts);
	assert_string_not_equal(hosts->id[0], hosts->id[1]);
	assert_false(has_number(hosts->root[0]));
	/* A card that comes later, or changes, makes no other host. */
	card(hosts->root[0], "ens9", "10\n", "00:16:3e:00:00:98\n");
	assert_int_equal(host_identity(hosts->root[0], hosts->id[1]), 0);
	assert_string_equal(hosts->id[0], hosts->id[1]);
}

/* Nothing of the hardware's own: a random number, made once. */
static void hosts_without_hardware_differ_by_a_number(void **state)
{
	struct hosts *hosts = *state;

	for (size_t i = 0; i < 2; i++)
		card(hosts->root[i], "eth0", "2\n", "02:fc:00:00:00:01\n");
	ask(hosts);
	assert_string_not_equal(hosts->id[0], hosts->id[1]);
	assert_true(has_number(hosts->root[0]) && has_number(hosts->root[1]));
}

/* What was torn is not mended behind anybody's back; without the number an error says so, and the text is usable. */
static void number_that_cannot_be_kept_is_an_error(void **state)
{
	struct hosts *hosts = *state;

	put(hosts->root[0], "/var/lib/probemeter/host-id", "torn");
	assert_int_equal(host_identity(hosts->root[0], hosts->id[0]), -EINVAL);
	put(hosts->root[1], "/var/lib/probemeter", "a file");
	assert_true(host_identity(hosts->root[1], hosts->id[1]) < 0);
	assert_non_null(strstr(hosts->id[1], "00112233445566778899aabbccddeeff"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(clones_differ_by_their_product_uuid),
		TEST(clones_differ_by_the_address_of_their_first_card),
		TEST(hosts_without_hardware_differ_by_a_number),
		TEST(number_that_cannot_be_kept_is_an_error),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
