/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_life.c - a resource ends only when it is idle, all of it has arrived, and its end has.
 */
#include "unit.h"

#include "life.h"

#define SECOND UINT64_C(1000000000)

static const struct resource shop, mail;
static const struct metric orders = { .kind = PROBEMETER_KIND_COUNTER, .name = "orders" };

struct world {
	struct lives *lives;
	uint64_t now;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->lives = lives_new(10 * SECOND);
	world->now = SECOND;
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	lives_free(world->lives);
	free(world);
	return 0;
}

/* A collection @seconds after the last: what it finds of both. */
static void collect(struct world *world, unsigned seconds, bool alive, uint64_t hits)
{
	world->now += seconds * SECOND;
	lives_begin(world->lives, world->now);
	assert_int_equal(lives_hits(world->lives, &shop, hits), 0);
	if (alive)
		assert_int_equal(lives_alive(world->lives, &shop), 0);
	assert_int_equal(lives_alive(world->lives, &mail), 0);
	lives_turn(world->lives);
}

/* An export with two points of mail's and three of shop's. */
static void send(struct world *world)
{
	struct point point[5] = { { .resource = &mail }, { .resource = &mail }, { .resource = &shop }, { .resource = &shop },
				  { .resource = &shop } };
	const struct points points = { .point = point, .count = COUNT(point) };

	for (size_t i = 0; i < COUNT(point); i++)
		point[i].metric = &orders;
	assert_int_equal(lives_sent(world->lives, &points), 0);
}

static void deliver(struct world *world)
{
	send(world);
	lives_delivered(world->lives);
}

/* From the last hit to the end: idle, delivered, the delay, the end, and the end delivered. */
static void what_is_idle_and_delivered_ends(void **state)
{
	struct world *world = *state;
	struct lives *lives = world->lives;

	collect(world, 1, true, 5);
	deliver(world);
	collect(world, 1, false, 6);
	deliver(world);
	collect(world, 9, false, 6);
	assert_null(lives_due(lives, NULL));
	collect(world, 1, false, 6);
	assert_ptr_equal(lives_due(lives, NULL), &shop);
	assert_null(lives_due(lives, &shop));
	assert_false(lives_ending(lives, &shop));
	lives_end(lives, &shop);
	assert_true(lives_ending(lives, &shop));
	assert_null(lives_over(lives, NULL));
	deliver(world);
	assert_ptr_equal(lives_over(lives, NULL), &shop);
	lives_forget(lives, &shop);
	assert_null(lives_over(lives, NULL));
	assert_false(lives_ending(lives, &shop));
}

/* A collector that is down: neither the last values nor the end count until they were taken. */
static void nothing_ends_undelivered(void **state)
{
	struct world *world = *state;
	struct lives *lives = world->lives;

	for (unsigned i = 0; i < 20; i++) {
		collect(world, 5, false, 7);
		assert_null(lives_due(lives, NULL));
		send(world);
		lives_failed(lives, 4, 1); /* its last point alone */
		lives_delivered(lives);
	}
	deliver(world);
	collect(world, 1, false, 7);
	assert_ptr_equal(lives_due(lives, NULL), &shop);
	lives_end(lives, &shop);
	for (unsigned i = 0; i < 5; i++) {
		send(world);
		lives_failed(lives, 0, 3); /* and its first one */
		lives_delivered(lives);
		assert_null(lives_over(lives, NULL));
		collect(world, 1, false, 7);
		assert_true(lives_ending(lives, &shop));
	}
	send(world);
	lives_failed(lives, 0, 2); /* mail's */
	lives_delivered(lives);
	assert_ptr_equal(lives_over(lives, NULL), &shop);
}

/* What was delivered before its last hit says nothing of that. */
static void an_earlier_delivery_does_not_count(void **state)
{
	struct world *world = *state;

	collect(world, 1, false, 1);
	deliver(world);
	collect(world, 9, false, 2);
	collect(world, 20, false, 2);
	assert_null(lives_due(world->lives, NULL));
	deliver(world);
	collect(world, 1, false, 2);
	assert_ptr_equal(lives_due(world->lives, NULL), &shop);
}

/* An export that was collected before the end was marked cannot have delivered it. */
static void an_export_under_way_delivers_no_later_end(void **state)
{
	struct world *world = *state;
	struct lives *lives = world->lives;

	collect(world, 1, false, 1);
	deliver(world);
	send(world);
	collect(world, 11, false, 1);
	lives_end(lives, lives_due(lives, NULL));
	lives_delivered(lives);
	assert_null(lives_over(lives, NULL));
	deliver(world);
	assert_ptr_equal(lives_over(lives, NULL), &shop);
}

/* A hit, a process or the kernel's word takes it back to the start, whatever was reached. */
static void any_sign_of_life_undoes_it(void **state)
{
	static const enum { HIT, PROCESS, KERNEL, SIGNS } signs[] = { HIT, PROCESS, KERNEL };
	uint64_t hits = 1;

	for (size_t i = 0; i < COUNT(signs); i++)
		for (unsigned reached = 0; reached < 2; reached++) {
			struct world *world = *state;
			struct lives *lives = world->lives;

			collect(world, 1, false, hits);
			deliver(world);
			collect(world, 11, false, hits);
			assert_ptr_equal(lives_due(lives, NULL), &shop);
			lives_end(lives, &shop);
			if (reached) {
				deliver(world);
				assert_ptr_equal(lives_over(lives, NULL), &shop);
			}
			if (signs[i] == KERNEL)
				lives_wait(lives, &shop);
			else
				collect(world, 1, signs[i] == PROCESS, hits += signs[i] == HIT);
			assert_null(lives_over(lives, NULL));
			assert_false(lives_ending(lives, &shop));
			deliver(world);
			collect(world, 9, false, hits);
			assert_null(lives_due(lives, NULL));
			collect(world, 10, false, ++hits);
		}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_idle_and_delivered_ends),
		TEST(nothing_ends_undelivered),
		TEST(an_earlier_delivery_does_not_count),
		TEST(an_export_under_way_delivers_no_later_end),
		TEST(any_sign_of_life_undoes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
