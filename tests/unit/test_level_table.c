/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_level_table.c - the table that levels live in, from inside the service.
 *
 * There is one table per program and slots are never given back, so each test forks and works in a child, whose table
 * is empty because the parent never touches its own.
 */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <probemeter/probemeter.h>

PROBEMETER_UPDOWNCOUNTER(orders_open, "orders.open", "{order}", "", "region")
PROBEMETER_UPDOWNCOUNTER(jobs_open, "jobs.open", "{job}", "", "region")
PROBEMETER_UPDOWNCOUNTER(pairs_open, "pairs.open", "{pair}", "", "first", "second")
PROBEMETER_UPDOWNCOUNTER(plain_open, "plain.open", "{thing}", "")
PROBEMETER_UPDOWNCOUNTER_LATEST(orders_lag, "orders.lag", "{order}", "", "region")
PROBEMETER_GAUGE(load_ratio, "load", "1", "", "cpu")

/* cmocka's own assertions would go on with the next test in the child. */
static unsigned failures;

static void expect(bool holds, const char *what, int line)
{
	if (holds)
		return;
	(void)fprintf(stderr, "test_level_table.c:%d: %s\n", line, what);
	failures++;
}
#define EXPECT(test) expect(test, #test, __LINE__)

static void in_child(void (*scenario)(void))
{
	pid_t child;
	int status;

	(void)fflush(NULL);
	child = fork();
	if (!child) {
		(void)alarm(20);
		scenario();
		_exit(failures ? 1 : 0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define METRIC_OF(id) ((int)((volatile char *)&probemeter_semaphore_##id - (volatile char *)probemeter_levels_()))
#define VALUE_OF(id, ...) value_of(METRIC_OF(id), (const char *const[]){ __VA_ARGS__ }, PROBEMETER_COUNT_(__VA_ARGS__))

/* The published slot with these labels, found by looking at all of them; NULL: none. More than one is a failure. */
static const struct probemeter_level_value *value_of(int metric, const char *const *label, unsigned count)
{
	const struct probemeter_levels *table = probemeter_levels_();
	const struct probemeter_level_value *found = NULL;

	for (unsigned at = 0; at < PROBEMETER_LEVEL_INDEX; at++) {
		unsigned slot = table->index[at], n;
		const char *text;

		if (!slot-- || table->slot[slot].metric != metric || table->slot[slot].flags)
			continue;
		for (n = 0, text = table->text + table->slot[slot].text; n < count && !strcmp(text, label[n]); n++)
			text += strlen(text) + 1;
		if (n < count)
			continue;
		EXPECT(!found);
		found = &table->value[slot];
	}
	return found;
}

static const struct probemeter_level_value *overflow_of(int metric)
{
	const struct probemeter_levels *table = probemeter_levels_();

	for (unsigned at = 0; at < PROBEMETER_LEVEL_INDEX; at++)
		if (table->index[at] && table->slot[table->index[at] - 1].metric == metric &&
		    table->slot[table->index[at] - 1].flags & PROBEMETER_LEVEL_OVERFLOW)
			return &table->value[table->index[at] - 1];
	return NULL;
}

/* What the agent adds up for a metric: every slot with a key, published or not. */
static int64_t total_of(int metric)
{
	const struct probemeter_levels *table = probemeter_levels_();
	unsigned used = table->used < PROBEMETER_LEVEL_SLOTS ? table->used : PROBEMETER_LEVEL_SLOTS;
	uint64_t total = 0;

	for (unsigned slot = 0; slot < used; slot++)
		if (table->slot[slot].key && table->slot[slot].metric == metric)
			total += table->value[slot].value;
	return (int64_t)total;
}

static void add_and_set_scenario(void)
{
	const struct probemeter_level_value *level;
	uint64_t before = probemeter_now_();
	double real;

	EXPECT(PROBEMETER_ENABLED(orders_open));
	EXPECT(!VALUE_OF(orders_open, "eu"));
	PROBEMETER_ADD(orders_open, 5, "eu");
	level = VALUE_OF(orders_open, "eu");
	EXPECT(level && level->value == 5 && !level->set_ns);
	PROBEMETER_ADD(orders_open, -8, "eu");
	EXPECT((int64_t)level->value == -3);
	PROBEMETER_SET(orders_open, 7, "eu");
	EXPECT(level->value == 7);
	EXPECT(level->set_ns >= before && level->set_ns <= probemeter_now_());
	PROBEMETER_ADD(orders_open, 1, "eu");
	EXPECT(level->value == 8);
	PROBEMETER_SET(orders_open, INT64_MIN, "us");
	EXPECT((int64_t)VALUE_OF(orders_open, "us")->value == INT64_MIN);
	EXPECT(level->value == 8);

	PROBEMETER_SET(orders_lag, -2, "eu");
	EXPECT((int64_t)VALUE_OF(orders_lag, "eu")->value == -2);
	PROBEMETER_SET(load_ratio, 0.75, "0");
	memcpy(&real, &VALUE_OF(load_ratio, "0")->value, sizeof(real));
	EXPECT(real == 0.75);
	PROBEMETER_SET(load_ratio, 3, "0");
	memcpy(&real, &VALUE_OF(load_ratio, "0")->value, sizeof(real));
	EXPECT(real == 3);
	PROBEMETER_ADD(plain_open, 4);
	EXPECT(total_of(METRIC_OF(plain_open)) == 4);
	EXPECT(probemeter_levels_()->used == 5);
}

/* ADD moves a level by a signed amount, SET puts it and notes when; nobody has to listen. */
static void add_moves_and_set_puts(void **state)
{
	(void)state;
	in_child(add_and_set_scenario);
}

static void labels_scenario(void)
{
	struct probemeter_levels *table = probemeter_levels_();
	char longer[700], cut[PROBEMETER_LABEL_BYTES + 1];

	PROBEMETER_ADD(orders_open, 1, "eu");
	PROBEMETER_ADD(jobs_open, 20, "eu");
	EXPECT(VALUE_OF(orders_open, "eu")->value == 1);
	EXPECT(VALUE_OF(jobs_open, "eu")->value == 20);

	PROBEMETER_ADD(pairs_open, 1, "ab", "c");
	PROBEMETER_ADD(pairs_open, 2, "a", "bc");
	PROBEMETER_ADD(pairs_open, 4, "", "abc");
	PROBEMETER_ADD(pairs_open, 8, "abc", NULL);
	PROBEMETER_ADD(pairs_open, 16, "abc", "");
	EXPECT(VALUE_OF(pairs_open, "ab", "c")->value == 1);
	EXPECT(VALUE_OF(pairs_open, "a", "bc")->value == 2);
	EXPECT(VALUE_OF(pairs_open, "", "abc")->value == 4);
	EXPECT(VALUE_OF(pairs_open, "abc", "")->value == 24);
	EXPECT(table->used == 6);

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	memset(cut, 'x', sizeof(cut) - 1);
	cut[sizeof(cut) - 1] = '\0';
	PROBEMETER_ADD(orders_open, 1, longer);
	PROBEMETER_ADD(orders_open, 1, cut);
	EXPECT(VALUE_OF(orders_open, cut)->value == 2);
	EXPECT(table->used == 7);
}

/* A slot is one metric's with one set of label values, cut as the hash cuts them. */
static void metrics_and_labels_stay_apart(void **state)
{
	(void)state;
	in_child(labels_scenario);
}

#define ORDINARY (PROBEMETER_LEVEL_SLOTS - PROBEMETER_LEVEL_RESERVED)

static void full_slots_scenario(void)
{
	struct probemeter_levels *table = probemeter_levels_();
	char label[32];
	int i;

	for (i = 0; i < ORDINARY + 100; i++) {
		(void)snprintf(label, sizeof(label), "user-%d", i);
		PROBEMETER_ADD(orders_open, 1, label);
	}
	EXPECT(overflow_of(METRIC_OF(orders_open)) && overflow_of(METRIC_OF(orders_open))->value == 100);
	EXPECT(total_of(METRIC_OF(orders_open)) == ORDINARY + 100);
	EXPECT(table->used == ORDINARY + 1);
	/* Who has a slot keeps it. */
	PROBEMETER_ADD(orders_open, -1, "user-0");
	EXPECT(VALUE_OF(orders_open, "user-0")->value == 0);
	/* A latecomer has its own overflow slot. */
	PROBEMETER_SET(orders_lag, 3, "eu");
	EXPECT(overflow_of(METRIC_OF(orders_lag)) && overflow_of(METRIC_OF(orders_lag))->value == 3);
	EXPECT(overflow_of(METRIC_OF(orders_open))->value == 100);
	/* More such metrics than overflow slots: without a slot, and without harm. */
	for (i = 2; i < PROBEMETER_LEVEL_RESERVED + 5; i++) {
		const volatile unsigned short *semaphore = (const volatile unsigned short *)(const void *)table + 1000 + i;

		EXPECT(!probemeter_level_(1, semaphore, NULL, 0) == (i >= PROBEMETER_LEVEL_RESERVED));
	}
	EXPECT(total_of(METRIC_OF(orders_open)) == ORDINARY + 99);
	EXPECT(table->used == PROBEMETER_LEVEL_SLOTS);
}

/* Past the last slot a metric's new series share one, and what it counts is still exact. */
static void full_slots_go_to_one_overflow_slot_per_metric(void **state)
{
	(void)state;
	in_child(full_slots_scenario);
}

static void full_text_scenario(void)
{
	char label[PROBEMETER_LABEL_BYTES + 1];
	const int room = PROBEMETER_LEVEL_TEXT / (PROBEMETER_LABEL_BYTES + 1);

	memset(label, 'x', sizeof(label) - 1);
	label[sizeof(label) - 1] = '\0';
	for (int i = 0; i < room + 10; i++) {
		label[0] = (char)('a' + i % 26);
		label[1] = (char)('a' + i / 26);
		PROBEMETER_ADD(orders_open, 1, label);
	}
	EXPECT(probemeter_levels_()->used == (unsigned)room + 1);
	EXPECT(overflow_of(METRIC_OF(orders_open)) && overflow_of(METRIC_OF(orders_open))->value == 10);
	EXPECT(total_of(METRIC_OF(orders_open)) == room + 10);
	/* Without labels there is no text to store. */
	PROBEMETER_ADD(plain_open, 1);
	EXPECT(total_of(METRIC_OF(plain_open)) == 1);
	EXPECT(!overflow_of(METRIC_OF(plain_open)));
}

static void overrun_text_scenario(void)
{
	struct probemeter_levels *table = probemeter_levels_();

	/* As two threads leave it that both saw room for one. */
	table->text_used = PROBEMETER_LEVEL_TEXT + 20;
	PROBEMETER_ADD(orders_open, 3, "eu");
	EXPECT(overflow_of(METRIC_OF(orders_open)) && overflow_of(METRIC_OF(orders_open))->value == 3);
	PROBEMETER_ADD(plain_open, 1);
	EXPECT(total_of(METRIC_OF(plain_open)) == 1);
}

/* The text has its own limit; its end may be overrun by threads that race for it, and then too nothing is lost. */
static void full_text_goes_to_the_overflow_slot(void **state)
{
	(void)state;
	in_child(full_text_scenario);
	in_child(overrun_text_scenario);
}

enum { THREADS = 8, KEYS = 500, ROUNDS = 40 };
static pthread_barrier_t start_together;

static void *thread_of_adds(void *argument)
{
	unsigned number = (unsigned)(uintptr_t)argument;
	char label[32];

	(void)pthread_barrier_wait(&start_together);
	for (int round = 0; round < ROUNDS; round++)
		for (unsigned key = 0; key < KEYS; key++) {
			/* Half of the threads the other way round, so that they meet in the middle as well. */
			(void)snprintf(label, sizeof(label), "key-%u", number % 2 ? KEYS - 1 - key : key);
			PROBEMETER_ADD(orders_open, 1, label);
		}
	return NULL;
}

static void threads_scenario(void)
{
	pthread_t thread[THREADS];
	char label[32];

	(void)pthread_barrier_init(&start_together, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		EXPECT(!pthread_create(&thread[i], NULL, thread_of_adds, (void *)i));
	for (size_t i = 0; i < THREADS; i++)
		(void)pthread_join(thread[i], NULL);
	for (unsigned key = 0; key < KEYS; key++) {
		(void)snprintf(label, sizeof(label), "key-%u", key);
		EXPECT(VALUE_OF(orders_open, label) && VALUE_OF(orders_open, label)->value == THREADS * ROUNDS);
	}
	EXPECT(total_of(METRIC_OF(orders_open)) == THREADS * ROUNDS * KEYS);
	/* Whoever lost a race left a slot behind; there must be room for that. */
	EXPECT(probemeter_levels_()->used < ORDINARY);
}

/* Threads that insert the same keys at once publish each one once, and every ADD lands in it. */
static void threads_inserting_the_same_keys_lose_nothing(void **state)
{
	(void)state;
	for (int round = 0; round < 5; round++)
		in_child(threads_scenario);
}

static void fork_scenario(void)
{
	struct probemeter_levels *table = probemeter_levels_();
	const struct probemeter_level_value *level;
	pid_t child;
	int status;

	EXPECT(table->wiped == 1); /* Linux 4.14 */
	PROBEMETER_SET(orders_open, 7, "eu");
	PROBEMETER_SET(load_ratio, 0.5, "0");
	level = VALUE_OF(orders_open, "eu");
	child = fork();
	if (!child) {
		/* The key is here, its share is not. */
		EXPECT(VALUE_OF(orders_open, "eu") == level);
		EXPECT(level->value == 0 && level->set_ns == 0);
		EXPECT(VALUE_OF(load_ratio, "0")->value == 0);
		EXPECT(table->used == 2);
		PROBEMETER_ADD(orders_open, 2, "eu");
		EXPECT(level->value == 2);
		PROBEMETER_ADD(orders_open, 3, "us");
		EXPECT(VALUE_OF(orders_open, "us")->value == 3);
		child = fork();
		if (!child) {
			EXPECT(level->value == 0);
			EXPECT(total_of(METRIC_OF(orders_open)) == 0);
			_exit(failures ? 1 : 0);
		}
		EXPECT(waitpid(child, &status, 0) == child && status == 0);
		_exit(failures ? 1 : 0);
	}
	EXPECT(waitpid(child, &status, 0) == child && status == 0);
	EXPECT(level->value == 7);
	EXPECT(!VALUE_OF(orders_open, "us"));
}

/* A fork while the level is 7 must not make 14: a child starts at zero, and so does its child. */
static void forked_child_starts_at_zero_and_keeps_the_keys(void **state)
{
	(void)state;
	in_child(fork_scenario);
}

static volatile bool stop;

static void *thread_of_new_keys(void *argument)
{
	char label[32];

	for (unsigned i = 0; !stop && i < ORDINARY - 300; i++) {
		(void)snprintf(label, sizeof(label), "key-%u", i);
		PROBEMETER_ADD(orders_open, 1, label);
		if (i % 16 == 0)
			(void)usleep(100);
	}
	return argument;
}

static void fork_during_insert_scenario(void)
{
	pthread_t thread;

	EXPECT(!pthread_create(&thread, NULL, thread_of_new_keys, NULL));
	for (int i = 0; i < 100; i++) {
		pid_t child = fork();
		int status;

		if (!child) {
			char label[32];

			EXPECT(total_of(METRIC_OF(orders_open)) == 0);
			for (unsigned n = 0; n < 200; n++) {
				(void)snprintf(label, sizeof(label), "key-%u", 10 * n);
				PROBEMETER_ADD(orders_open, 1, label);
			}
			EXPECT(total_of(METRIC_OF(orders_open)) == 200);
			_exit(failures ? 1 : 0);
		}
		EXPECT(waitpid(child, &status, 0) == child && status == 0);
	}
	stop = true;
	(void)pthread_join(thread, NULL);
}

/* A child forked in the middle of another thread's insert finds nothing or all of it, and inserts on. */
static void fork_in_the_middle_of_an_insert_leaves_a_sound_table(void **state)
{
	(void)state;
	in_child(fork_during_insert_scenario);
}

static volatile sig_atomic_t handled;

/* The handler's labels are known ahead: snprintf() is not for handlers. */
static const char *const handler_label[] = { "key-10", "key-500", "key-900", "own-1", "own-2" };

static void on_alarm(int signal_number)
{
	(void)signal_number;
	PROBEMETER_ADD(orders_open, 1, handler_label[handled % 5]);
	handled = handled + 1;
}

static void signal_scenario(void)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval often = { { 0, 60 }, { 0, 60 } }, never = { { 0, 0 }, { 0, 0 } };
	uint64_t end = probemeter_now_() + 150000000;
	int64_t added = 0;
	char label[32];

	EXPECT(!sigaction(SIGALRM, &action, NULL));
	EXPECT(!setitimer(ITIMER_REAL, &often, NULL));
	while (probemeter_now_() < end) {
		(void)snprintf(label, sizeof(label), "key-%u", (unsigned)(added % 1500));
		PROBEMETER_ADD(orders_open, 1, label);
		added++;
	}
	EXPECT(!setitimer(ITIMER_REAL, &never, NULL));
	EXPECT(handled > 0);
	EXPECT(total_of(METRIC_OF(orders_open)) == added + handled);
	for (size_t i = 0; i < 5; i++)
		(void)VALUE_OF(orders_open, handler_label[i]); /* that there is one at most */
}

/* A signal handler may ADD whatever it interrupted, an insert of the same key too. */
static void signal_handler_may_add_during_an_insert(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++)
		in_child(signal_scenario);
}

/* What readers of other processes rely on. */
static void table_lies_where_the_abi_says(void **state)
{
	(void)state;
	assert_int_equal((uintptr_t)probemeter_levels_() % 4096, 0);
	assert_int_equal(offsetof(struct probemeter_levels, used), 32768);
	assert_int_equal(offsetof(struct probemeter_levels, wiped), 32776);
	assert_int_equal(offsetof(struct probemeter_levels, lost), 32780);
	assert_int_equal(offsetof(struct probemeter_levels, index), 32784);
	assert_int_equal(offsetof(struct probemeter_levels, slot), 40976);
	assert_int_equal(offsetof(struct probemeter_levels, text), 90128);
	assert_int_equal(sizeof(struct probemeter_levels), 221200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(add_moves_and_set_puts),
		cmocka_unit_test(metrics_and_labels_stay_apart),
		cmocka_unit_test(full_slots_go_to_one_overflow_slot_per_metric),
		cmocka_unit_test(full_text_goes_to_the_overflow_slot),
		cmocka_unit_test(threads_inserting_the_same_keys_lose_nothing),
		cmocka_unit_test(forked_child_starts_at_zero_and_keeps_the_keys),
		cmocka_unit_test(fork_in_the_middle_of_an_insert_leaves_a_sound_table),
		cmocka_unit_test(signal_handler_may_add_during_an_insert),
		cmocka_unit_test(table_lies_where_the_abi_says),
	};

	return cmocka_run_group_tests_name("level_table", tests, NULL, NULL);
}
