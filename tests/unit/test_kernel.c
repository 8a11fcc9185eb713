/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_kernel.c - the memory of the kernel's maps: what is said before they are loaded against what the kernel says of
 * them, empty and full. Loads the real BPF object, small, and attaches nothing; skipped where that is not permitted.
 */
#include "unit.h"

#include <errno.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <sys/utsname.h>

#include "kernel.h"
#include "probe.skel.h"
#include "../../bpf/maps.h"

static const struct kernel_limits small = { .cells = 8192, .series = 2048, .services = 128, .series_per_metric = 100 };

static void load(const struct kernel_limits *limits, struct kernel *ret)
{
	int err = kernel_load(limits, KERNEL_LINKS_AUTO, NULL, ret);

	if (err == -EPERM)
		skip();
	assert_int_equal(err, 0);
}

/* Linux 6.4 is the first that counts what is there; before, it says what the keys and values would take. */
static bool counts_memory(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	return !uname(&name) && sscanf(name.release, "%d.%d", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 4));
}

/* As many elements as it takes, with keys that differ. Return: how many. */
static uint32_t fill(struct bpf_map *map)
{
	unsigned char key[64] = { 0 }, value[2048] = { 0 };
	uint32_t i;

	assert_true(bpf_map__key_size(map) <= sizeof(key) && bpf_map__value_size(map) <= sizeof(value));
	for (i = 0; i < bpf_map__max_entries(map); i++) {
		memcpy(key, &i, sizeof(i));
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY), 0);
	}
	return i;
}

/* Maps grow with use up to what was said, and what was said is not far from it. */
static void prediction_is_what_full_maps_take(void **state)
{
	struct kernel kernel = { 0 };
	uint64_t predicted, empty, full;
	uint32_t elements = 0;
	struct bpf_map *map;

	(void)state;
	load(&small, &kernel);
	predicted = kernel_bytes(&small, kernel.cpus) - kernel_bytes_carried(&small);
	empty = kernel_bytes_now(&kernel);
	bpf_object__for_each_map(map, kernel.skeleton->obj)
		if (bpf_map__type(map) == BPF_MAP_TYPE_HASH)
			elements += fill(map);
	full = kernel_bytes_now(&kernel);
	print_message("%u CPUs, %u elements: predicted at most %.2f MiB, empty %.2f, full %.2f\n", kernel.cpus, elements,
		      (double)predicted / (1 << 20), (double)empty / (1 << 20), (double)full / (1 << 20));
	assert_true(elements > small.series);
	assert_in_range(full, 1, predicted);
	if (counts_memory()) {
		assert_true(empty < full);
		assert_in_range(full, predicted * 95 / 100, predicted);
	}
	kernel_free(&kernel);
}

/* Cells are the part that grows with CPUs: a row for each, and nothing else is. */
static void each_cpu_costs_a_row_of_cells(void **state)
{
	uint64_t row = small.cells * sizeof(struct pm_cell);

	(void)state;
	assert_int_equal(kernel_bytes(&small, 64) - kernel_bytes(&small, 63), row);
	assert_int_equal(kernel_bytes(&small, 128) - kernel_bytes(&small, 2), 126 * row);
}

/* The kernel's own number for the cells of this host is the one that they are predicted with. */
static void cells_take_what_was_said(void **state)
{
	struct kernel_limits larger = small;
	struct kernel kernel = { 0 }, other = { 0 };
	uint64_t grown;

	(void)state;
	load(&small, &kernel);
	larger.cells *= 2;
	load(&larger, &other);
	grown = kernel_bytes_now(&other) - kernel_bytes_now(&kernel);
	assert_int_equal(grown, kernel_bytes(&larger, other.cpus) - kernel_bytes_carried(&larger) -
					(kernel_bytes(&small, kernel.cpus) - kernel_bytes_carried(&small)));
	kernel_free(&kernel);
	kernel_free(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prediction_is_what_full_maps_take),
		cmocka_unit_test(each_cpu_costs_a_row_of_cells),
		cmocka_unit_test(cells_take_what_was_said),
	};

	return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
