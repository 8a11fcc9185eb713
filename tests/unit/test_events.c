/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_events.c - what the kernel tells of this program's own children.
 *
 * Started with --nothing it ends at once. Needs CAP_PERFMON or kernel.perf_event_paranoid below 1.
 */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct events *open_or_skip(size_t bytes)
{
	struct events *events = NULL;
	int err = events_open(bytes, &events);

	if (err == -EACCES || err == -EPERM) {
		print_message("skipped: events of all processes need CAP_PERFMON\n");
		skip();
	}
	assert_int_equal(err, 0);
	return events;
}

static pid_t run_child(void)
{
	char *const arguments[] = { (char *)"/proc/self/exe", (char *)"--nothing", NULL };
	pid_t pid = fork();
	int status;

	if (!pid) {
		(void)execv("/proc/self/exe", arguments);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return pid;
}

/* Read all until now, and keep the events of @pid. */
static size_t events_of(struct events *events, pid_t pid, struct event *ret, size_t room, bool *lost)
{
	const struct event *event;
	size_t count, kept = 0, i;

	/* Later than any record that is being written. */
	(void)usleep(5000);
	assert_true(events_read(events, now_ns(), &event, &count, lost) >= 0);
	for (i = 0; i < count; i++) {
		assert_true(!i || event[i - 1].at.time_ns <= event[i].at.time_ns);
		if (event[i].at.pid == pid && kept < room)
			ret[kept++] = event[i];
	}
	return kept;
}

/* fork, exec, the mapping of this very file, exit: in this order, and with the time of the clock we read. */
static void child_is_told_from_first_to_last(void **state)
{
	struct events *events = open_or_skip(EVENTS_RING_BYTES);
	uint64_t before = now_ns(), after;
	struct event event[64];
	bool lost = false, mapped = false;
	struct stat self;
	size_t count, i;
	pid_t pid;

	(void)state;
	assert_int_equal(stat("/proc/self/exe", &self), 0);
	pid = run_child();
	after = now_ns();
	count = events_of(events, pid, event, COUNT(event), &lost);
	assert_false(lost);
	assert_true(count >= 4);
	assert_int_equal(event[0].kind, EVENT_FORKED);
	assert_int_equal(event[0].parent, getpid());
	assert_int_equal(event[1].kind, EVENT_EXECED);
	assert_int_equal(event[count - 1].kind, EVENT_EXITED);
	for (i = 0; i < count; i++) {
		assert_true(event[i].at.time_ns >= before && event[i].at.time_ns <= after);
		if (event[i].kind == EVENT_MAPPED && event[i].at.inode == self.st_ino) {
			assert_true(event[i].at.device == ((uint64_t)major(self.st_dev) << 32 | minor(self.st_dev)));
			assert_true(event[i].at.end > event[i].at.start);
			assert_non_null(strstr(event[i].at.path, "test_events"));
			mapped = true;
		}
	}
	assert_true(mapped);
	events_close(events);
}

static void *nothing(void *argument)
{
	return argument;
}

/* A thread is no process; a file that is mapped executable later is told, one that is mapped otherwise is not. */
static void threads_are_not_told_and_mappings_are(void **state)
{
	struct events *events = open_or_skip(EVENTS_RING_BYTES);
	struct event event[64];
	bool lost = false;
	pthread_t thread;
	size_t count;
	void *memory[2];
	FILE *file = fopen("/proc/self/exe", "re");

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, nothing, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	memory[0] = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fileno(file), 0);
	memory[1] = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(file), 0);
	count = events_of(events, getpid(), event, COUNT(event), &lost);
	assert_int_equal(count, 1);
	assert_int_equal(event[0].kind, EVENT_MAPPED);
	assert_int_equal(event[0].at.start, (uintptr_t)memory[1]);
	(void)munmap(memory[0], 4096);
	(void)munmap(memory[1], 4096);
	(void)fclose(file);
	events_close(events);
}

/* What is later than asked for stays for the next reading. */
static void later_events_wait(void **state)
{
	struct events *events = open_or_skip(EVENTS_RING_BYTES);
	uint64_t before = now_ns();
	const struct event *event;
	struct event kept[64];
	bool lost = false;
	size_t count;
	pid_t pid = run_child();

	(void)state;
	assert_int_equal(events_read(events, before, &event, &count, &lost), 1);
	while (count--)
		assert_int_not_equal(event[count].at.pid, pid);
	assert_true(events_of(events, pid, kept, COUNT(kept), &lost) >= 4);
	assert_false(lost);
	events_close(events);
}

/* More than a ring holds: said once, and after that it goes on as before. */
static void full_ring_is_told(void **state)
{
	struct events *events = open_or_skip(16384);
	struct event event[64];
	bool lost = false;
	cpu_set_t all, one;
	int i;

	(void)state;
	/* One ring for all. */
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	for (i = 0; !CPU_COUNT(&one); i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	for (i = 0; i < 30; i++)
		(void)run_child();
	(void)events_of(events, 0, event, COUNT(event), &lost);
	assert_true(lost);
	/* The kernel's own word on it comes with the next record of each CPU. */
	for (i = 0; i < 10; i++) {
		size_t count;
		pid_t pid = run_child();

		lost = false;
		count = events_of(events, pid, event, COUNT(event), &lost);
		if (!lost && count >= 4 && event[count - 1].kind == EVENT_EXITED)
			break;
	}
	assert_true(i < 10);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	events_close(events);
}

/* What a CPU has told is read, it is listened to anew, and that something may be missing is said, once. */
static void replugged_cpus_are_heard_again(void **state)
{
	struct events *events = open_or_skip(EVENTS_RING_BYTES);
	size_t bytes = events_bytes(events), count;
	struct event event[64];
	bool lost = false;
	pid_t pid = run_child();

	(void)state;
	events_renew(events, -1);
	events_renew(events, 1 << 20); /* there is no such one */
	assert_true(events_of(events, pid, event, COUNT(event), &lost) >= 4);
	assert_true(lost);
	assert_true(events_bytes(events) == bytes);
	lost = false;
	pid = run_child();
	count = events_of(events, pid, event, COUNT(event), &lost);
	assert_true(count >= 4 && event[0].kind == EVENT_FORKED && event[count - 1].kind == EVENT_EXITED);
	assert_false(lost);
	events_close(events);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(child_is_told_from_first_to_last),
		cmocka_unit_test(threads_are_not_told_and_mappings_are),
		cmocka_unit_test(later_events_wait),
		cmocka_unit_test(full_ring_is_told),
		cmocka_unit_test(replugged_cpus_are_heard_again),
	};

	if (argc > 1 && !strcmp(argv[1], "--nothing"))
		return 0;
	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
