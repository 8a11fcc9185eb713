/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * surroundings - fires from places where a process is not as free as usual: below seccomp, with its system calls
 * dispatched, in signal handlers, in children of vfork.
 *
 * Commands on stdin; each is answered by one line of JSON with what this process and its children have fired so far.
 *
 *   fire N      N events of each metric
 *   filter HOW  a seccomp filter allows only read, write, exit and returning from signals; all else is answered by HOW:
 *               kill (the process), trap (SIGSYS, counted) or errno
 *   strict      seccomp's strict mode: read, write, exit, sigreturn
 *   dispatch N  N events while every system call of the process is sent back as SIGSYS, which is counted
 *   signal N    N events while a timer's signal handler fires, too
 *   vfork N     N children of vfork fire one event each, and a child of theirs by vfork, too
 *
 * With any argument it runs on a shadow stack; status 77 where CPU or kernel have none.
 *
 * End of input ends it by the exit system call, the only one that strict mode allows, with status 0.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBEMETER_SCOPE "Surroundings"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(surroundings_count, "surroundings.count", "{event}", "Events, by where", "where")
PROBEMETER_HISTOGRAM(surroundings_time, "surroundings.time", "s", "Values of 0.5, by where", "where")

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define ARCH_SHSTK_ENABLE 0x5001
#define ARCH_SHSTK_SHSTK 1ul

/* Counted in memory that children share. */
enum where { MAIN, HANDLER, VFORKED, WHERES };
static const char *const where_name[WHERES] = { "main", "handler", "vforked" };
static unsigned long *fired;
static volatile unsigned long sigsys;
static volatile char selector; /* of the dispatcher: 0 allows, 1 sends SIGSYS */

static void one(enum where where)
{
	__atomic_fetch_add(&fired[where], 1, __ATOMIC_RELAXED);
	PROBEMETER_ADD(surroundings_count, 1, where_name[where]);
	PROBEMETER_RECORD(surroundings_time, 0.5, where_name[where]);
}

static void fire(unsigned long times)
{
	while (times--)
		one(MAIN);
}

static void on_sigsys(int number)
{
	(void)number;
	selector = 0; /* or returning from this handler would be one, too */
	sigsys++;
}

static int filter(const char *how)
{
	static const int allowed[] = { SYS_read, SYS_write, SYS_exit, SYS_exit_group, SYS_rt_sigreturn };
	uint32_t other = !strcmp(how, "kill") ? SECCOMP_RET_KILL_PROCESS :
			 !strcmp(how, "trap") ? SECCOMP_RET_TRAP : SECCOMP_RET_ERRNO | EPERM;
	struct sock_filter code[16];
	struct sock_fprog program = { .filter = code };
	size_t count = sizeof(allowed) / sizeof(allowed[0]), i;

	code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (i = 0; i < count; i++)
		code[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i],
							   (uint8_t)(count - i), 0);
	code[count + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, other);
	code[count + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = (unsigned short)(count + 3);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

/* One event at a time: whatever was dispatched has switched it off. */
static int dispatch(unsigned long times)
{
	/* No address is exempt: there should be no system call in between. */
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0ul, 0ul, &selector))
		return -errno;
	while (times--) {
		selector = 1;
		one(MAIN);
		selector = 0;
	}
	return prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0ul, 0ul, 0ul) ? -errno : 0;
}

static void on_timer(int number)
{
	(void)number;
	one(HANDLER);
}

static int in_handlers(unsigned long times)
{
	const struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = on_timer, .sa_flags = SA_RESTART };

	if (sigaction(SIGPROF, &action, NULL) || setitimer(ITIMER_PROF, &often, NULL))
		return -errno;
	fire(times);
	return setitimer(ITIMER_PROF, &never, NULL) ? -errno : 0;
}

static int in_vforked(unsigned long times)
{
	volatile int bad = 0;
	int status;
	pid_t pid;

	while (times--) {
		pid = vfork();
		if (!pid) {
			pid_t inner = vfork();

			one(VFORKED);
			if (!inner)
				_exit(0);
			_exit(inner < 0 || waitpid(inner, &status, 0) != inner || status);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			bad = bad + 1;
	}
	return bad;
}

static int obey(char *line)
{
	char verb[16] = "", how[16] = "";
	unsigned long times;

	if (sscanf(line, "%15s %15s", verb, how) < 1)
		return -EINVAL;
	times = strtoul(how, NULL, 10);
	if (!strcmp(verb, "fire"))
		return fire(times), 0;
	if (!strcmp(verb, "filter"))
		return filter(how);
	if (!strcmp(verb, "strict"))
		return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) ? -errno : 0;
	if (!strcmp(verb, "dispatch"))
		return dispatch(times);
	if (!strcmp(verb, "signal"))
		return in_handlers(times);
	if (!strcmp(verb, "vfork"))
		return in_vforked(times);
	return -EINVAL;
}

static void serve(void)
{
	char line[64], answer[256], *end;
	size_t used = 0;
	int length, err;
	ssize_t n;

	/* Plain system calls: strict mode lets stdio allocate nothing. */
	for (;;) {
		n = read(0, line + used, sizeof(line) - 1 - used);
		if (n <= 0)
			return;
		used += (size_t)n;
		line[used] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			err = obey(line);
			length = snprintf(answer, sizeof(answer),
					  "{\"err\": %d, \"sigsys\": %lu, \"main\": %lu, \"handler\": %lu, \"vforked\": %lu}\n", err,
					  sigsys, fired[MAIN], fired[HANDLER], fired[VFORKED]);
			if (write(1, answer, (size_t)length) != length)
				return;
			used -= (size_t)(end + 1 - line);
			memmove(line, end + 1, used + 1);
		}
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_sigsys };

	(void)argv;
	fired = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fired == MAP_FAILED || sigaction(SIGSYS, &action, NULL))
		return 1;
#ifdef __x86_64__
	/* Not by a function: it could not return to before its own call. */
	if (argc > 1) {
		long failed;

		__asm__ volatile("syscall"
				 : "=a"(failed)
				 : "0"((long)SYS_arch_prctl), "D"((long)ARCH_SHSTK_ENABLE), "S"(ARCH_SHSTK_SHSTK)
				 : "rcx", "r11", "memory");
		if (failed)
			return 77;
	}
#endif
	(void)!write(1, "{\"ready\": 1}\n", 13);
	serve();
	(void)syscall(SYS_exit, 0);
	return 0;
}
