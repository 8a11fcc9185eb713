/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sandbox.c - what a process can and cannot do behind sandbox_enter(), tried in children.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "privilege.h"
#include "sandbox.h"

#define SAID 4096
#define AGAIN "again"

/* Run @body in a child behind the filter. Return: its wait status; what it wrote to stderr at @said. */
static int behind(int (*body)(void), char said[SAID])
{
	size_t used = 0;
	int status, pipes[2];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		(void)dup2(pipes[1], STDERR_FILENO);
		(void)alarm(20);
		/* Without privileges a filter wants this. */
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		sandbox_enter();
		_exit(body());
	}
	(void)close(pipes[1]);
	while (used < SAID - 1 && (n = read(pipes[0], said + used, SAID - 1 - used)) > 0)
		used += (size_t)n;
	said[used] = '\0';
	(void)close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The exit code of a child that lived; its number tells the line of body that failed. */
#define EXPECT(condition) \
	do { \
		if (!(condition)) \
			return __LINE__ % 250 + 1; \
	} while (0)

/* The number behind a name in /proc/self/status. */
static uint64_t status_of(const char *name)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long value = ~0ull;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			(void)sscanf(line + strlen(name), ": %llx", &value);
	if (file)
		(void)fclose(file);
	return value;
}

static void *in_thread(void *at)
{
	*(int *)at = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	return NULL;
}

static int what_is_listed(void)
{
	pthread_t thread;
	int fd = -1;
	pid_t pid;

	EXPECT(!pthread_create(&thread, NULL, in_thread, &fd) && !pthread_join(thread, NULL) && fd >= 0);
	EXPECT(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
	EXPECT(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
	EXPECT(fcntl(fd, F_GETFD) >= 0);
	/* What libraries call that are newer than those of this machine. */
	EXPECT(syscall(SYS_memfd_create, "libbpf-placeholder-fd", MFD_CLOEXEC) >= 0);
	pid = fork();
	if (!pid)
		_exit(0);
	EXPECT(pid > 0 && waitpid(pid, &fd, 0) == pid && !fd);
	return 0;
}

/* Files, sockets, threads and children work as before, and nothing is said. */
static void sandbox_allows_what_is_listed(void **state)
{
	char said[SAID];

	(void)state;
	assert_int_equal(behind(what_is_listed, said), 0);
	assert_string_equal(said, "");
}

static int what_is_not_listed(void)
{
	int i;

	for (i = 0; i < 3; i++)
		EXPECT(syscall(SYS_syslog, 0, NULL, 0) == -1 && errno == EPERM);
	return 0;
}

/* A call of no table fails and is named, once. */
static void sandbox_refuses_what_is_not_listed_and_says_so_once(void **state)
{
	const char *first;
	char said[SAID];

	(void)state;
	assert_int_equal(behind(what_is_not_listed, said), 0);
	first = strstr(said, "(syslog)");
	assert_non_null(first);
	assert_null(strstr(first + 1, "(syslog)"));
	assert_non_null(strstr(said, "warning: sandbox:"));
}

static int what_nobody_knows(void)
{
	EXPECT(syscall(1000) == -1 && errno == ENOSYS);
	/* The C library tries this one and falls back. */
	EXPECT(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
	return 0;
}

/* A call newer than the filter looks as on an older kernel. */
static void sandbox_knows_no_newer_calls(void **state)
{
	char said[SAID];

	(void)state;
	assert_int_equal(behind(what_nobody_knows, said), 0);
	assert_string_equal(said, "");
}

static int what_arguments_forbid(void)
{
	char character = 'x';

	EXPECT(socket(AF_PACKET, SOCK_RAW, 0) == -1 && errno == EPERM);
	EXPECT(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0) == -1 && errno == EPERM);
	EXPECT(ioctl(0, TIOCSTI, &character) == -1 && errno == EPERM);
	/* Bits above an int's are not the kernel's business, nor a way around. */
	EXPECT(syscall(SYS_socket, (1ull << 32) | AF_PACKET, SOCK_RAW, 0) == -1 && errno == EPERM);
	return 0;
}

static void sandbox_looks_at_arguments(void **state)
{
	char said[SAID];

	(void)state;
	assert_int_equal(behind(what_arguments_forbid, said), 0);
	assert_non_null(strstr(said, "(socket)"));
	assert_non_null(strstr(said, "(clone)"));
	assert_non_null(strstr(said, "(ioctl)"));
}

static int a_new_program(void)
{
	char *const nothing[] = { NULL };

	(void)execve("/bin/true", nothing, nothing);
	return 0;
}

static int the_right_text_elsewhere(void)
{
	char *const nothing[] = { NULL }, text[] = "/proc/self/exe";

	(void)execve(text, nothing, nothing);
	return 0;
}

static int itself(void)
{
	char *const arguments[] = { (char *)sandbox_self, (char *)AGAIN, NULL };

	(void)execv(sandbox_self, arguments);
	return 1;
}

/* What another program of ours begins with: it runs behind the filter, and says what is refused. */
static int again(void)
{
	char *const nothing[] = { NULL };

	sandbox_again();
	EXPECT(status_of("Seccomp") == 2);
	EXPECT(syscall(SYS_syslog, 0, NULL, 0) == -1 && errno == EPERM);
	(void)execve("/bin/true", nothing, nothing);
	return 0;
}

/* The filter lets its own program be executed, outlives that, and lets nothing else. */
static void sandbox_outlives_the_only_exec_that_it_allows(void **state)
{
	char said[SAID];
	int status = behind(itself, said);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
	assert_non_null(strstr(said, "(syslog)"));
}

static int another_user(void)
{
	(void)setuid(getuid());
	return 0;
}

static int a_file_by_its_handle(void)
{
	(void)syscall(SYS_open_by_handle_at, -1, NULL, 0);
	return 0;
}

static void *exec_in_thread(void *at)
{
	(void)at;
	(void)a_new_program();
	return NULL;
}

static int a_new_program_of_a_thread(void)
{
	pthread_t thread;

	if (!pthread_create(&thread, NULL, exec_in_thread, NULL))
		(void)pthread_join(thread, NULL);
	return 0;
}

/* What only a hijacked process does ends it, whichever thread tries. */
static void sandbox_ends_a_hijacked_process(void **state)
{
	static int (*const tries[])(void) = { a_new_program, the_right_text_elsewhere, another_user,
					     a_file_by_its_handle, a_new_program_of_a_thread };
	char said[SAID];
	size_t i;
	int status;

	(void)state;
	for (i = 0; i < COUNT(tries); i++) {
		status = behind(tries[i], said);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSYS);
	}
}

static int drops(void)
{
	uint64_t table = 0, before = status_of("CapEff");
	bool may_cut_bounds = before & 1 << 8; /* CAP_SETPCAP */
	size_t i;

	for (i = 0; i < privilege_count; i++)
		if (!privileges[i].events)
			table |= 1ull << privileges[i].capability;
	EXPECT(!privilege_drop(PRIVILEGE_AGENT));
	EXPECT(status_of("CapEff") == (before & table));
	EXPECT(status_of("CapPrm") == (before & table));
	EXPECT(!status_of("CapInh") && !status_of("CapAmb"));
	EXPECT(!may_cut_bounds || status_of("CapBnd") == (before & table));
	EXPECT(status_of("NoNewPrivs") == 1);
	return 0;
}

/* What is left is what was held and is in the table. */
static void privilege_drop_keeps_the_table(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid)
		_exit(drops());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sandbox_allows_what_is_listed),
		cmocka_unit_test(sandbox_refuses_what_is_not_listed_and_says_so_once),
		cmocka_unit_test(sandbox_knows_no_newer_calls),
		cmocka_unit_test(sandbox_looks_at_arguments),
		cmocka_unit_test(sandbox_ends_a_hijacked_process),
		cmocka_unit_test(sandbox_outlives_the_only_exec_that_it_allows),
		cmocka_unit_test(privilege_drop_keeps_the_table),
	};

	if (argc == 2 && !strcmp(argv[1], AGAIN))
		return again();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
