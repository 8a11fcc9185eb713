/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_cgroup.c - limits of memory, in trees of files; and the clock.
 */
#include "unit.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "requirement.h"

static char root[64];

static void put(const char *path, const char *text)
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

static int begin(void **state)
{
	(void)state;
	(void)strcpy(root, "/tmp/probemeter-cgroup-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static int end(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void expect(uint64_t limit, const char *path)
{
	char found[512], full[512] = "";

	if (*path)
		(void)snprintf(full, sizeof(full), "%s%s", root, path);
	assert_int_equal(cgroup_memory_limit(root, found, sizeof(found)), limit);
	assert_string_equal(found, full);
}

#define V2 "30 20 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

/* In v2 every ancestor counts; "max" is none. */
static void the_lowest_limit_of_all_ancestors_counts(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", V2);
	put("/proc/self/cgroup", "0::/system.slice/probemeter.service\n");
	put("/sys/fs/cgroup/system.slice/probemeter.service/memory.max", "max\n");
	expect(UINT64_MAX, "");
	put("/sys/fs/cgroup/system.slice/memory.max", "67108864\n");
	expect(67108864, "/sys/fs/cgroup/system.slice/memory.max");
	put("/sys/fs/cgroup/system.slice/probemeter.service/memory.max", "33554432\n");
	expect(33554432, "/sys/fs/cgroup/system.slice/probemeter.service/memory.max");
	put("/sys/fs/cgroup/system.slice/probemeter.service/memory.max", "134217728\n");
	expect(67108864, "/sys/fs/cgroup/system.slice/memory.max");
}

/* In a container the tree begins at its own cgroup, which the host calls by a longer name. */
static void a_container_sees_its_own_part(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", "30 20 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro\n");
	put("/proc/self/cgroup", "0::/docker/abc\n");
	put("/sys/fs/cgroup/memory.max", "50000000\n");
	expect(50000000, "/sys/fs/cgroup/memory.max");
	put("/proc/self/cgroup", "0::/docker/abc/inner\n");
	put("/sys/fs/cgroup/inner/memory.max", "40000000\n");
	expect(40000000, "/sys/fs/cgroup/inner/memory.max");
	put("/proc/self/mountinfo", V2);
	put("/proc/self/cgroup", "0::/\n");
	expect(50000000, "/sys/fs/cgroup/memory.max");
}

/* In v1, and where v2 is there as well but has no memory controller. */
static void the_older_controller_counts_where_it_has_memory(void **state)
{
	(void)state;
	put("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
				    "31 20 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
				    "32 20 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
	put("/proc/self/cgroup", "5:cpu:/elsewhere\n4:memory:/agents/one\n0::/\n");
	put("/sys/fs/cgroup/memory/agents/one/memory.limit_in_bytes", "9223372036854771712\n");
	expect(UINT64_MAX, "");
	put("/sys/fs/cgroup/memory/agents/memory.limit_in_bytes", "16777216\n");
	expect(16777216, "/sys/fs/cgroup/memory/agents/memory.limit_in_bytes");
}

/* Nothing to read is no limit. */
static void no_cgroups_no_limit(void **state)
{
	(void)state;
	expect(UINT64_MAX, "");
	put("/proc/self/mountinfo", "nonsense\n - cgroup2\n");
	put("/proc/self/cgroup", "nonsense\n0::\n");
	expect(UINT64_MAX, "");
}

/* A host without a clock of its own starts in 1970. */
static void a_clock_before_this_program_is_wrong(void **state)
{
	(void)state;
	assert_false(requirement_clock_plausible(0));
	assert_false(requirement_clock_plausible(1700000000));
	assert_true(requirement_clock_plausible(1800000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_lowest_limit_of_all_ancestors_counts, begin, end),
		cmocka_unit_test_setup_teardown(a_container_sees_its_own_part, begin, end),
		cmocka_unit_test_setup_teardown(the_older_controller_counts_where_it_has_memory, begin, end),
		cmocka_unit_test_setup_teardown(no_cgroups_no_limit, begin, end),
		cmocka_unit_test(a_clock_before_this_program_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
