/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hotplug.c - which of the kernel's messages tell of a CPU.
 */
#include "unit.h"

#include <errno.h>
#include <unistd.h>

#include "hotplug.h"

static int cpu_of(const char *text)
{
	return hotplug_cpu(text, strlen(text) + 1);
}

/* CPUs that come and go, and nothing else: not their parts, not other devices, not another action. */
static void cpus_are_picked_from_messages(void **state)
{
	static const char whole[] = "offline@/devices/system/cpu/cpu12\0ACTION=offline\0SUBSYSTEM=cpu";

	(void)state;
	assert_int_equal(cpu_of("online@/devices/system/cpu/cpu0"), 0);
	assert_int_equal(cpu_of("offline@/devices/system/cpu/cpu1"), 1);
	assert_int_equal(hotplug_cpu(whole, sizeof(whole)), 12);
	assert_int_equal(cpu_of("change@/devices/system/cpu/cpu1"), -ENOENT);
	assert_int_equal(cpu_of("online@/devices/system/cpu/cpu1/cache"), -ENOENT);
	assert_int_equal(cpu_of("online@/devices/system/cpu/cpufreq"), -ENOENT);
	assert_int_equal(cpu_of("online@/devices/system/cpu/cpu-1"), -ENOENT);
	assert_int_equal(cpu_of("online@/devices/system/cpu/cpu99999999999999999999"), -ENOENT);
	assert_int_equal(cpu_of("online@/devices/system/memory/memory3"), -ENOENT);
	assert_int_equal(cpu_of(""), -ENOENT);
}

/* A message without its end is none. */
static void cut_messages_are_none(void **state)
{
	(void)state;
	assert_int_equal(hotplug_cpu("online@/devices/system/cpu/cpu1", strlen("online@/devices/system/cpu/cpu1")), -ENOENT);
	assert_int_equal(hotplug_cpu("", 0), -ENOENT);
}

/* Anybody may listen, and does not wait. */
static void quiet_socket_has_no_more(void **state)
{
	int fd = hotplug_open();

	(void)state;
	if (fd < 0) {
		print_message("skipped: no device messages here: %s\n", strerror(-fd));
		skip();
	}
	while (hotplug_next(fd) >= 0)
		;
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpus_are_picked_from_messages),
		cmocka_unit_test(cut_messages_are_none),
		cmocka_unit_test(quiet_socket_has_no_more),
	};

	return cmocka_run_group_tests_name("hotplug", tests, NULL, NULL);
}
