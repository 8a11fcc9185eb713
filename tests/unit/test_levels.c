/* SPDX-License-Identifier: BSD-2-Clause */
/* test_levels.c - levels of many processes become few series, and no service takes the room of the others. */
#include "unit.h"

#include <errno.h>

#include "levels.h"

#include "../../bpf/maps.h"

static const struct resource shop, billing;
static const struct metric open_orders = { .id = 0, .kind = PROBEMETER_KIND_UPDOWNCOUNTER, .name = "open", .label_count = 1 };
static const struct metric lag = { .id = 1, .kind = PROBEMETER_KIND_UPDOWNCOUNTER_LATEST, .name = "lag", .label_count = 1 };
static const uint64_t start[] = { 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28 };

static struct sample *samples_of(struct levels *levels, size_t *ret_count)
{
	struct sample *sample = calloc(levels_count(levels) + 1, sizeof(*sample));

	levels_samples(levels, sample);
	*ret_count = levels_count(levels);
	return sample;
}

static const struct sample *find(const struct sample *sample, size_t count, const struct metric *metric, const char *label)
{
	for (size_t i = 0; i < count; i++)
		if (sample[i].metric == metric && sample[i].overflow == !label &&
		    (!label || !strcmp(sample[i].value[0], label)))
			return &sample[i];
	return NULL;
}

/* What processes of one service have in one series adds up, or is the latest; what two services have stays apart. */
static void processes_of_a_service_are_folded(void **state)
{
	struct levels *levels = levels_new();
	char moved[] = "eu";
	const struct level first[] = {
		{ .metric = &open_orders, .value = { moved }, .level = 7 },
		{ .metric = &lag, .value = { "eu" }, .level = 1, .set_ns = 50 },
		{ .metric = &open_orders, .overflow = true, .level = 100 },
	};
	const struct level second[] = {
		{ .metric = &open_orders, .value = { "eu" }, .level = (uint64_t)-3 },
		{ .metric = &lag, .value = { "eu" }, .level = 2, .set_ns = 40 },
		{ .metric = &open_orders, .value = { "us" }, .level = 1 },
		{ .metric = &lag, .value = { "us" }, .level = 9 },
	};
	struct sample *sample;
	size_t count;

	(void)state;
	for (int round = 0; round < 2; round++) {
		levels_begin(levels);
		*moved = 'e';
		assert_int_equal(levels_add(levels, &shop, first, COUNT(first), start), 0);
		*moved = 'x'; /* the process's own memory was used again */
		assert_int_equal(levels_add(levels, &shop, second, COUNT(second), start), 0);
		assert_int_equal(levels_add(levels, &billing, second, 1, start), 0);
		sample = samples_of(levels, &count);
		assert_int_equal(count, 6);
		assert_int_equal((int64_t)find(sample, count, &open_orders, "eu")->level, 4);
		assert_int_equal(find(sample, count, &open_orders, "us")->level, 1);
		assert_int_equal(find(sample, count, &open_orders, NULL)->level, 100);
		assert_int_equal(find(sample, count, &lag, "eu")->level, 1);
		assert_int_equal(find(sample, count, &lag, "us")->set_ns, 0);
		assert_int_equal(find(sample, count, &lag, "eu")->start_unix_ns, 6);
		free(sample);
	}
	levels_free(levels);
}

/* A metric none of whose labels is left is one series: it has what overflowed in a process's own table, too. */
static void without_labels_nothing_is_in_the_overflow(void **state)
{
	static const struct metric bare = { .id = 0, .kind = PROBEMETER_KIND_UPDOWNCOUNTER };
	static const struct metric latest = { .id = 1, .kind = PROBEMETER_KIND_GAUGE };
	static const struct level level[] = {
		{ .metric = &bare, .level = 7 },
		{ .metric = &bare, .overflow = true, .level = 100 },
		{ .metric = &latest, .overflow = true, .level = 2, .set_ns = 60 },
		{ .metric = &latest, .level = 1, .set_ns = 50 },
		{ .metric = &bare, .level = (uint64_t)-3 },
	};
	struct levels *levels = levels_new();
	struct sample *sample;
	size_t count;

	(void)state;
	levels_begin(levels);
	assert_int_equal(levels_add(levels, &shop, level, COUNT(level), start), 0);
	sample = samples_of(levels, &count);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		assert_false(sample[i].overflow);
		assert_int_equal(sample[i].level, sample[i].metric == &bare ? 104 : 2);
	}
	free(sample);
	levels_free(levels);
}

/* @processes with @each label sets of their own, of one metric. */
static void many(struct levels *levels, const struct resource *resource, const struct metric *metric, int processes, int each)
{
	for (int process = 0; process < processes; process++)
		for (int i = 0; i < each; i++) {
			char label[32];
			const struct level level = { .metric = metric, .value = { label }, .level = 1 };

			(void)snprintf(label, sizeof(label), "%d-%d", process, i);
			assert_int_equal(levels_add(levels, resource, &level, 1, start), 0);
		}
}

/* Past its limits a service's label sets are in the overflow series, nothing is lost, and others have their room. */
static void one_service_cannot_take_all_room(void **state)
{
	enum { METRICS = 24, PROCESSES = 3, EACH = 1000 };
	struct metric metric[METRICS];
	struct levels *levels = levels_new();
	uint64_t total = 0;
	struct sample *sample;
	size_t count, named = 0;

	(void)state;
	levels_begin(levels);
	for (uint32_t i = 0; i < METRICS; i++) {
		metric[i] = (struct metric){ .id = i, .kind = PROBEMETER_KIND_UPDOWNCOUNTER, .label_count = 1 };
		many(levels, &shop, &metric[i], PROCESSES, EACH);
	}
	sample = samples_of(levels, &count);
	for (size_t i = 0; i < count; i++) {
		total += sample[i].level;
		named += !sample[i].overflow;
	}
	assert_int_equal(total, METRICS * PROCESSES * EACH);
	assert_int_equal(named, LEVELS_SERIES / 2);
	assert_int_equal(count - named, METRICS);
	assert_int_equal(find(sample, count, &metric[0], NULL)->level, PROCESSES * EACH - (PM_SERIES_PER_METRIC - 1));
	free(sample);
	many(levels, &billing, &open_orders, 1, 500);
	assert_int_equal(levels_count(levels), count + 500);
	levels_free(levels);
}

/* Long label values count by their length. */
static void bytes_are_limited(void **state)
{
	char label[3 * PROBEMETER_LABEL_BYTES + 1];
	const struct level level = { .metric = &open_orders, .value = { label }, .level = 1 };
	static const struct metric wide = { .id = 1, .kind = PROBEMETER_KIND_UPDOWNCOUNTER, .label_count = 4 };
	const struct level widest = { .metric = &wide, .value = { label, label, label, label }, .level = 1 };
	struct levels *levels = levels_new();
	struct sample *sample;
	size_t count, bytes = 0;

	(void)state;
	memset(label, 'x', sizeof(label) - 1);
	label[sizeof(label) - 1] = '\0';
	levels_begin(levels);
	for (int i = 0; i < 1999; i++) {
		(void)!memcpy(label, (char[]){ (char)('a' + i % 26), (char)('a' + i / 26 % 26), (char)('a' + i / 676) }, 3);
		assert_int_equal(levels_add(levels, &shop, &level, 1, start), 0);
		for (int n = 0; n < 2; n++)
			assert_int_equal(levels_add(levels, &shop, &widest, 1, start), 0);
	}
	sample = samples_of(levels, &count);
	for (size_t i = 0; i < count; i++)
		for (uint32_t n = 0; n < sample[i].metric->label_count && !sample[i].overflow; n++)
			bytes += strlen(sample[i].value[n]);
	assert_true(bytes <= LEVELS_BYTES / 2 && bytes > LEVELS_BYTES / 3);
	assert_non_null(find(sample, count, &wide, NULL));
	free(sample);
	levels_free(levels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processes_of_a_service_are_folded),
		cmocka_unit_test(without_labels_nothing_is_in_the_overflow),
		cmocka_unit_test(one_service_cannot_take_all_room),
		cmocka_unit_test(bytes_are_limited),
	};

	return cmocka_run_group_tests_name("levels", tests, NULL, NULL);
}
