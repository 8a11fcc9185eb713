/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_discover.c - sweeps of /proc, with this very program as the process that is found.
 *
 * Started with --child it says where its own parts lie, and waits until its standard input ends.
 */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "DiscoverMetrics"
#include <probemeter/probemeter.h>

#include "discover.h"

PROBEMETER_COUNTER(d_counter, "d.counter.total", "{thing}", "Things", "region")
PROBEMETER_UPDOWNCOUNTER(d_level, "d.level", "{thing}", "Things open")

static int child_main(void)
{
	char byte;

	PROBEMETER_ADD(d_counter, 1, "eu");
	PROBEMETER_ADD(d_level, 3);
	(void)printf("%llx %llx\n", (unsigned long long)(uintptr_t)&probemeter_semaphore_d_counter,
		     (unsigned long long)(uintptr_t)probemeter_levels_());
	(void)fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}

struct child {
	pid_t pid;
	int input; /* closing it ends the child */
	uint64_t semaphore, levels;
};

/* Run @path --child with @variables; back when it has said where it is. */
static struct child child_start(const char *path, char *const *variables)
{
	char *const arguments[] = { (char *)path, (char *)"--child", NULL };
	struct child child = { 0 };
	unsigned long long semaphore, levels;
	int input[2], output[2];
	FILE *said;

	assert_int_equal(pipe2(input, O_CLOEXEC) | pipe2(output, O_CLOEXEC), 0);
	child.pid = fork();
	if (!child.pid) {
		(void)dup2(input[0], STDIN_FILENO);
		(void)dup2(output[1], STDOUT_FILENO);
		(void)execve(path, arguments, variables);
		_exit(127);
	}
	(void)close(input[0]);
	(void)close(output[1]);
	child.input = input[1];
	said = fdopen(output[0], "re");
	assert_int_equal(fscanf(said, "%llx %llx", &semaphore, &levels), 2);
	(void)fclose(said);
	child.semaphore = semaphore;
	child.levels = levels;
	return child;
}

static void child_end(struct child *child)
{
	int status;

	(void)close(child->input);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	assert_int_equal(status, 0);
}

struct watch {
	struct discovery discovery;
	struct discover_events events;
	struct stat self; /* the file that counts */
	unsigned found, gone;
	struct object *object; /* found last */
};

static bool is_ours(const struct watch *watch, const struct object *object)
{
	uint64_t device = (uint64_t)major(watch->self.st_dev) << 32 | minor(watch->self.st_dev);

	return object->id.device == device && object->id.inode == watch->self.st_ino;
}

/* Other programs with probes may run on this host: only ours is counted. */
static void on_found(void *context, struct object *object)
{
	struct watch *watch = context;

	if (!is_ours(watch, object))
		return;
	watch->found++;
	watch->object = object;
}

static void on_gone(void *context, struct object *object)
{
	struct watch *watch = context;

	if (is_ours(watch, object))
		watch->gone++;
}

/* May this user open what others have mapped? */
static bool may_open_mapped_files(void)
{
	char path[64], line[256];
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long long start, end;
	int fd = -1;

	/* Only mappings of files are there. */
	while (maps && fgets(line, sizeof(line), maps))
		if (strchr(line, '/'))
			break;
	if (maps && sscanf(line, "%llx-%llx", &start, &end) == 2) {
		(void)snprintf(path, sizeof(path), "/proc/self/map_files/%llx-%llx", start, end);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (maps)
		(void)fclose(maps);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static int set_up(void **state)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	watch->events = (struct discover_events){ .found = on_found, .gone = on_gone, .context = watch };
	*state = watch;
	return stat("/proc/self/exe", &watch->self);
}

static int tear_down(void **state)
{
	struct watch *watch = *state;

	discover_free(&watch->discovery, &watch->events);
	free(watch);
	return 0;
}

static void need_mapped_files(void)
{
	if (may_open_mapped_files())
		return;
	print_message("skipped: /proc/PID/map_files needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN\n");
	skip();
}

static void sweep(struct watch *watch)
{
	assert_int_equal(discover_sweep(&watch->discovery, &watch->events), 0);
}

static const struct descriptor *descriptor_of(const struct object *object, const char *name)
{
	for (size_t i = 0; i < object->descriptors.count; i++)
		if (!strcmp(object->descriptors.descriptor[i].metric.name, name))
			return &object->descriptors.descriptor[i];
	return NULL;
}

/* The child is in the list, with our file loaded where the child itself says it is. */
static const struct process *expect_child(const struct watch *watch, const struct child *child)
{
	const struct process *process = discover_find(&watch->discovery, child->pid);
	const struct loaded *loaded = NULL;

	assert_non_null(process);
	assert_int_equal(process->parent, getpid());
	for (size_t i = 0; i < process->loaded_count; i++)
		if (is_ours(watch, process->loaded[i].object)) {
			assert_null(loaded);
			loaded = &process->loaded[i];
		}
	assert_non_null(loaded);
	assert_int_equal(descriptor_of(loaded->object, "d.counter.total")->semaphore_address + loaded->bias,
			 child->semaphore);
	assert_int_equal(descriptor_of(loaded->object, "d.level")->levels_address + loaded->bias, child->levels);
	assert_true(loaded->object->has_levels);
	assert_false(loaded->object->catalogue);
	return process;
}

static unsigned open_files(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	(void)closedir(directory);
	return count;
}

/* Start and parent as /proc has them, also behind a name that imitates what follows it. */
static void start_and_parent_are_those_of_proc(void **state)
{
	static const char *const names[] = { "plain", "a) R 1 (b", ")", "((", "with space" };
	uint64_t ticks, first = 0, hertz = (uint64_t)sysconf(_SC_CLK_TCK), uptime, stack;
	char before[16];
	struct timespec now;
	pid_t parent;

	(void)state;
	(void)prctl(PR_GET_NAME, before);
	for (size_t i = 0; i < COUNT(names); i++) {
		(void)prctl(PR_SET_NAME, names[i]);
		assert_int_equal(discover_start(getpid(), &ticks, &parent, &stack), 0);
		assert_int_equal(parent, getppid());
		assert_true(!i || ticks == first);
		first = ticks;
	}
	(void)prctl(PR_SET_NAME, before);
	/* No other field is a time since boot, and one in the last minute. */
	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	uptime = (uint64_t)now.tv_sec * hertz + (uint64_t)now.tv_nsec * hertz / 1000000000;
	assert_true(first <= uptime && uptime - first < 60 * hertz);
}

/* Nobody has this pid: the largest possible one and more. */
static void start_of_nobody_is_esrch(void **state)
{
	uint64_t ticks = 77, stack;
	pid_t parent = 78;

	(void)state;
	assert_int_equal(discover_start(1 << 22, &ticks, &parent, &stack), -ESRCH);
	assert_int_equal(discover_start(-1, &ticks, &parent, &stack), -ESRCH);
	assert_int_equal(ticks, 77);
	assert_int_equal(parent, 78);
}

/* A process that runs this file is found, with the load bias that its own addresses prove. */
static void child_is_found_where_it_says_it_is(void **state)
{
	struct watch *watch = *state;
	struct child child;
	uint64_t ticks, stack;
	pid_t parent;

	need_mapped_files();
	child = child_start("/proc/self/exe", environ);
	sweep(watch);
	assert_int_equal(discover_start(child.pid, &ticks, &parent, &stack), 0);
	assert_int_equal(expect_child(watch, &child)->start_ticks, ticks);
	assert_int_equal(watch->found, 1);
	assert_int_equal(watch->object->descriptors.count, 2);
	/* The sweeper leaves itself out. */
	assert_null(discover_find(&watch->discovery, getpid()));
	child_end(&child);
}

/* The file is read once, however many processes map it; a process that ends leaves the list, the file stays. */
static void file_is_read_once_and_outlives_its_processes(void **state)
{
	struct watch *watch = *state;
	struct child first, second;
	struct object *object;

	need_mapped_files();
	first = child_start("/proc/self/exe", environ);
	sweep(watch);
	object = watch->object;
	second = child_start("/proc/self/exe", environ);
	for (int i = 0; i < 3; i++)
		sweep(watch);
	(void)expect_child(watch, &first);
	(void)expect_child(watch, &second);
	assert_int_equal(watch->found, 1);
	child_end(&first);
	sweep(watch);
	assert_null(discover_find(&watch->discovery, first.pid));
	(void)expect_child(watch, &second);
	child_end(&second);
	sweep(watch);
	assert_null(discover_find(&watch->discovery, second.pid));
	assert_int_equal(watch->found, 1);
	assert_int_equal(watch->gone, 0);
	/* The next process is known before it runs. */
	second = child_start("/proc/self/exe", environ);
	sweep(watch);
	assert_ptr_equal(expect_child(watch, &second)->loaded[0].object, object);
	assert_int_equal(watch->found, 1);
	child_end(&second);
}

/* Fifty sweeps, with children that come and go, open nothing for good but files with metrics. */
static void sweeps_leak_no_descriptors(void **state)
{
	struct watch *watch = *state;
	unsigned before = open_files(), held = 0;
	const struct object *object;
	struct child child;

	need_mapped_files();
	child = child_start("/proc/self/exe", environ);
	sweep(watch);
	child_end(&child);
	for (int i = 0; i < 50; i++) {
		bool now = i % 10 == 0;

		if (now)
			child = child_start("/proc/self/exe", environ);
		sweep(watch);
		if (now)
			child_end(&child);
	}
	assert_int_equal(watch->found, 1);
	/* One per file with metrics, other programs' on this host among them. */
	for (object = watch->discovery.objects.list; object; object = object->hh.next)
		held += object->fd >= 0;
	assert_true(held >= 1);
	assert_int_equal(open_files(), before + held);
	discover_free(&watch->discovery, &watch->events);
	assert_int_equal(watch->gone, 1);
	assert_int_equal(open_files(), before);
}

static void copy_of_self(char *path)
{
	static char buffer[1 << 20];
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to;
	ssize_t n;

	to = mkstemp(path);
	assert_true(from >= 0 && to >= 0);
	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		assert_int_equal(write(to, buffer, (size_t)n), n);
	assert_int_equal(fchmod(to, 0700), 0);
	(void)close(from);
	(void)close(to);
}

/* An executable that was deleted while it runs (a package upgrade) is found all the same, and given up after its last
 * process. */
static void deleted_executable_is_found_and_then_given_up(void **state)
{
	char path[] = "/tmp/test_discover.XXXXXX";
	struct watch *watch = *state;
	struct descriptors again;
	struct arena *arena;
	struct child child;

	need_mapped_files();
	copy_of_self(path);
	assert_int_equal(stat(path, &watch->self), 0);
	child = child_start(path, environ);
	assert_int_equal(unlink(path), 0);
	sweep(watch);
	(void)expect_child(watch, &child);
	assert_int_equal(watch->found, 1);
	/* It can be read as long as we hold it, for attaching. */
	arena = arena_new();
	assert_int_equal(descriptors_read(watch->object->fd, arena, &again), 0);
	assert_int_equal(again.count, 2);
	arena_free(arena);
	child_end(&child);
	assert_int_equal(watch->gone, 0);
	sweep(watch);
	assert_int_equal(watch->gone, 1);
	for (const struct object *object = watch->discovery.objects.list; object; object = object->hh.next)
		assert_false(is_ours(watch, object));
	sweep(watch);
	assert_int_equal(watch->gone, 1);
}

/* A file that could not be opened once (no descriptors left, an exec in between) is tried again. */
static void file_that_could_not_be_opened_is_tried_again(void **state)
{
	struct watch *watch = *state;
	struct rlimit before, tight;
	struct child child;
	int fd = 0, free_ones = 0;

	need_mapped_files();
	child = child_start("/proc/self/exe", environ);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	/* One descriptor for the list of /proc and one more: a mapped file needs two. */
	for (; free_ones < 2; fd++)
		free_ones += fcntl(fd, F_GETFD) < 0;
	tight = before;
	tight.rlim_cur = (rlim_t)fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	sweep(watch);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(watch->found, 0);
	sweep(watch);
	assert_int_equal(watch->found, 1);
	(void)expect_child(watch, &child);
	child_end(&child);
}

/* What a process says of itself comes from its own environment and its own executable. */
static void facts_are_those_of_the_process(void **state)
{
	char *const variables[] = { (char *)"PATH=/bin",
				    (char *)"OTEL_SERVICE_NAMES=not this one",
				    (char *)"OTEL_SERVICE_NAME=shop",
				    (char *)"TRACING_SERVICE_NAME=",
				    (char *)"OTEL_RESOURCE_ATTRIBUTES=a=b,c=d",
				    (char *)"OTEL_SERVICE_NAME=a second one",
				    NULL };
	char target[4096] = "";
	struct arena *arena = arena_new();
	struct service_facts facts;
	struct process room;
	struct child child;

	(void)state;
	assert_true(readlink("/proc/self/exe", target, sizeof(target) - 1) > 0);
	child = child_start("/proc/self/exe", variables);
	room = (struct process){ .pid = child.pid };
	assert_int_equal(discover_facts(&room, arena, &facts), 0);
	/* The first one, as getenv() has it. */
	assert_string_equal(facts.otel_service_name, "shop");
	assert_string_equal(facts.otel_resource_attributes, "a=b,c=d");
	assert_string_equal(facts.tracing_service_name, "");
	assert_string_equal(facts.executable, target);
	assert_false(facts.catalogue);
	child_end(&child);
	/* Gone. */
	assert_int_equal(discover_facts(&room, arena, &facts), -ESRCH);
	arena_free(arena);
}

/* A service keeps its name when its executable is replaced under it. */
static void executable_is_named_as_before_it_was_deleted(void **state)
{
	char path[] = "/tmp/test_discover.XXXXXX";
	char *const variables[] = { NULL };
	struct arena *arena = arena_new();
	struct service_facts facts;
	struct process room;
	struct child child;

	(void)state;
	copy_of_self(path);
	child = child_start(path, variables);
	room = (struct process){ .pid = child.pid };
	assert_int_equal(unlink(path), 0);
	assert_int_equal(discover_facts(&room, arena, &facts), 0);
	assert_string_equal(facts.executable, path);
	assert_null(facts.otel_service_name);
	child_end(&child);
	arena_free(arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(start_and_parent_are_those_of_proc),
		TEST(start_of_nobody_is_esrch),
		TEST(child_is_found_where_it_says_it_is),
		TEST(file_is_read_once_and_outlives_its_processes),
		TEST(sweeps_leak_no_descriptors),
		TEST(deleted_executable_is_found_and_then_given_up),
		TEST(file_that_could_not_be_opened_is_tried_again),
		TEST(facts_are_those_of_the_process),
		TEST(executable_is_named_as_before_it_was_deleted),
	};

	if (argc > 1 && !strcmp(argv[1], "--child"))
		return child_main();
	return cmocka_run_group_tests_name("discover", tests, NULL, NULL);
}
