/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox.c - the system calls that the agent may make.
 *
 * Consumes nothing; leaves a process with the privileges of privilege.c and a seccomp filter made from the tables below.
 * The filter comes after trial.c has measured probes: where the kernel turns them into system calls, its own look for a
 * filter costs a filtered process some 80 ns a hit that services do not pay.
 *
 * What is in no table is not done. The process lives on, because what is more likely than an intruder is a C library that
 * was updated and tries something new: the call traps, our handler lets it fail with EPERM (ENOSYS, if it is newer than
 * the library that made the filter: then callers fall back to what they did before), and says in the log which call it
 * was. A thread that blocks SIGSYS dies instead, with the process. What no library does in passing, and an intruder would
 * do next, ends the process at once; the kernel's log then has a line of type 1326 that names the call's number.
 *
 * One program may be executed: the agent's own, which becomes the guard. The filter sees no text, but it sees where the
 * text stands: that must be in memory that is only read.
 */
#include "sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <ucontext.h>

#include "filter.h"
#include "log.h"
#include "privilege.h"

#define INT UINT32_MAX
#define FROM_FILTER 1 /* the kernel's SYS_SECCOMP (include/uapi/asm-generic/siginfo.h), which the C library lacks */
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__
#endif
#endif

/* Rows of the same call add up. */
static const struct allowed {
	const char *calls;
	const char *why;
	const char *only; /* in words */
	unsigned argument;
	uint64_t mask, value; /* only if that argument & mask is value; mask 0: always */
} allowed[] = {
	{ "bpf", "load programs and maps, read them, attach, pin", NULL, 0, 0, 0 },
	{ "perf_event_open", "probe sites where links are perf events; records of new processes", NULL, 0, 0, 0 },
	{ "ioctl", "switch perf events", "of perf events", 1, 0xff00, '$' << 8 },
	{ "ioctl", "is it a terminal, how wide", "TCGETS", 1, INT, TCGETS },
	{ "ioctl", "is it a terminal, how wide", "TIOCGWINSZ", 1, INT, TIOCGWINSZ },
	{ "ioctl", "sockets", "FIONBIO", 1, INT, FIONBIO },
	{ "ioctl", "sockets", "FIONREAD", 1, INT, FIONREAD },
	{ "ioctl", "the zone of an IPv6 address", "SIOCGIFINDEX", 1, INT, SIOCGIFINDEX },
	{ "process_vm_readv", "read levels from services", NULL, 0, 0, 0 },
	{ "kcmp", "two processes with one memory have one level", NULL, 0, 0, 0 },
	{ "pidfd_open", "name a process to a BPF map", NULL, 0, 0, 0 },
	{ "open openat openat2 close read readv pread64 preadv lseek fstat newfstatat stat lstat statx statfs fstatfs "
	  "getdents64 readlink readlinkat access faccessat faccessat2 getcwd dup dup2 dup3",
	  "/proc, binaries, certificates, rules", NULL, 0, 0, 0 },
	{ "fcntl", "leases on attached files, locks of our own, flags", NULL, 0, 0, 0 },
	{ "write writev pwrite64 ftruncate fsync fdatasync flock", "log, console, files of state, sockets", NULL, 0, 0, 0 },
	{ "mkdir mkdirat rmdir unlink unlinkat link linkat rename renameat renameat2 chmod fchmod fchmodat chown fchown "
	  "fchownat umask",
	  "state, pins in bpffs, sockets of our own: as far as file modes allow", NULL, 0, 0, 0 },
	{ "mmap munmap mremap mprotect madvise brk", "memory, maps and rings", NULL, 0, 0, 0 },
	/* libbpf 1.4 ("use stable map placeholder FDs", 2024); before that nobody calls it. */
	{ "memfd_create", "newer versions of libbpf keep a map's place by one", NULL, 0, 0, 0 },
	{ "clone", "threads, children", "without new namespaces", 0, NAMESPACES, 0 },
	{ "fork vfork wait4 waitid", "children with even less", NULL, 0, 0, 0 },
	{ "kill tgkill", "end a child, abort", NULL, 0, 0, 0 },
	{ "exit exit_group futex set_robust_list get_robust_list rseq set_tid_address sched_yield sched_getaffinity "
	  "sched_setaffinity sched_getparam sched_getscheduler getcpu membarrier gettid getpid getppid restart_syscall",
	  "threads", NULL, 0, 0, 0 },
	{ "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait rt_sigpending rt_sigsuspend sigaltstack signalfd "
	  "signalfd4 alarm setitimer",
	  "signals", NULL, 0, 0, 0 },
	{ "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2 "
	  "timerfd_create timerfd_settime timerfd_gettime pipe pipe2",
	  "wait for several things", NULL, 0, 0, 0 },
	{ "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times", "time", NULL, 0, 0, 0 },
	{ "socket socketpair", "collector on this host, requests, systemd", "AF_UNIX", 0, INT, AF_UNIX },
	{ "socket", "collector, pages", "AF_INET", 0, INT, AF_INET },
	{ "socket", "collector, pages", "AF_INET6", 0, INT, AF_INET6 },
	{ "socket", "name resolution looks which addresses the host has", "AF_NETLINK", 0, INT, AF_NETLINK },
	{ "connect sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg shutdown getsockname getpeername getsockopt setsockopt",
	  "collector, name servers, systemd", NULL, 0, 0, 0 },
	{ "bind listen accept accept4 sendfile", "pages, and commands that ask a running agent", NULL, 0, 0, 0 },
	{ "getrandom uname sysinfo getrusage getrlimit setrlimit prlimit64 getuid geteuid getgid getegid getresuid getresgid "
	  "getgroups getpriority setpriority getpgrp getsid capget",
	  "who, where and how much", NULL, 0, 0, 0 },
	{ "prctl seccomp arch_prctl capset", "names of threads, even less", NULL, 0, 0, 0 },
	{ "setsid close_range chdir", "the guard of attached files, which lives on", NULL, 0, 0, 0 },
#ifdef __SANITIZE_ADDRESS__
	/* A process of its own stops all threads and looks through them. A call that is not here ends that process, which
	 * blocks SIGSYS, and the agent would wait for it for ever. */
	{ "ptrace getdents", "the leak check of test builds", NULL, 0, 0, 0 },
#endif
};

/* Not even tried by anything that belongs here. */
static const char deadly[] =
	"execveat ptrace process_vm_writev process_madvise open_by_handle_at mount umount2 move_mount open_tree fsmount "
	"fsopen pivot_root chroot unshare setns setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups "
	"init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff iopl ioperm acct quotactl "
	"settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname add_key keyctl request_key userfaultfd "
	"io_uring_setup";

#define NUMBERS 1024
static char *call_name[NUMBERS]; /* what the library knows, found before a handler needs it */
static int call_newest;

/* Set the result of the call that the interrupted thread tried to make. */
static void result_set(ucontext_t *context, long result)
{
#if defined(__x86_64__)
	context->uc_mcontext.gregs[REG_RAX] = result;
#elif defined(__aarch64__)
	context->uc_mcontext.regs[0] = (unsigned long long)result;
#else
#error "sandbox.c: where does this architecture keep a system call's result?"
#endif
}

/* Runs in the thread that made the call, at the call: nothing is half done but what was about to call the kernel. What it
 * does itself allocates nothing and locks nothing. */
static void refused(int signal, siginfo_t *info, void *context)
{
	static bool told[NUMBERS];
	int number = info->si_syscall;

	(void)signal;
	if (info->si_code != FROM_FILTER)
		return;
	result_set(context, number > call_newest ? -ENOSYS : -EPERM);
	if (number < 0 || number >= NUMBERS || __atomic_exchange_n(&told[number], true, __ATOMIC_RELAXED))
		return;
	/* Callers try newer calls as a matter of course. */
	log_message(number > call_newest ? LOG_DEBUG : LOG_WARN,
		    "sandbox: system call %d (%s) is not in the table of sandbox.c and was refused; if something does not work, "
		    "report this line", number, call_name[number] ? call_name[number] : "newer than libseccomp");
}

static void names_learn(void)
{
	int number;

	for (number = 0; number < NUMBERS; number++) {
		call_name[number] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
		if (call_name[number])
			call_newest = number;
	}
}

/* One action for each of @calls. What this architecture or this libseccomp does not have is nobody's to call. */
static int rules_add(scmp_filter_ctx filter, uint32_t action, const char *calls, const struct allowed *row)
{
	char list[1024], *name, *rest = list;
	int err = 0, number;

	if (strlen(calls) >= sizeof(list))
		return -E2BIG;
	(void)strcpy(list, calls);
	while (!err && (name = strsep(&rest, " "))) {
		number = seccomp_syscall_resolve_name(name);
		if (number < 0)
			continue;
		if (row && row->mask)
			err = seccomp_rule_add(filter, action, number, 1,
					       SCMP_CMP64(row->argument, SCMP_CMP_MASKED_EQ, row->mask, row->value));
		else
			err = seccomp_rule_add(filter, action, number, 0);
	}
	return err;
}

static bool is_allowed(const char *name)
{
	size_t length = strlen(name), i;
	const char *at;

	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		for (at = allowed[i].calls; (at = strstr(at, name)); at += length)
			if ((at == allowed[i].calls || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
				return true;
	return false;
}

const char sandbox_self[] = "/proc/self/exe";

static int exec_add(scmp_filter_ctx filter)
{
	const int number = seccomp_syscall_resolve_name("execve");
	int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1, SCMP_A0_64(SCMP_CMP_EQ, (uintptr_t)sandbox_self));

	return err ? err : seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, number, 1,
					    SCMP_A0_64(SCMP_CMP_NE, (uintptr_t)sandbox_self));
}

static int deadly_add(scmp_filter_ctx filter)
{
	char list[sizeof(deadly)], *name, *rest = list;
	int err = 0;

	(void)strcpy(list, deadly);
	while (!err && (name = strsep(&rest, " ")))
		if (!is_allowed(name))
			err = rules_add(filter, SCMP_ACT_KILL_PROCESS, name, NULL);
	return err;
}

void sandbox_again(void)
{
	const struct sigaction action = { .sa_sigaction = refused, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART };

	names_learn();
	(void)sigaction(SIGSYS, &action, NULL);
}

#define API_OF_LINUX_4_14 3

/* Runs in a child; see filter.c. */
static int filter_write(int fd)
{
	scmp_filter_ctx filter;
	size_t i;
	int err;

	/* Not by what seccomp(2) says of the kernel: a filter around the agent may refuse it. */
	(void)seccomp_api_set(API_OF_LINUX_4_14);
	filter = seccomp_init(SCMP_ACT_TRAP);
	if (!filter)
		return -ENOMEM;
	err = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (i = 0; !err && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		err = rules_add(filter, SCMP_ACT_ALLOW, allowed[i].calls, &allowed[i]);
	if (!err)
		err = deadly_add(filter);
	if (!err)
		err = exec_add(filter);
	/* Its flags are behind a pointer, where no filter looks: the C library takes clone instead. */
	if (!err)
		err = rules_add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", NULL);
	return err ? err : seccomp_export_bpf(filter, fd);
}

int sandbox_drop(bool events)
{
	size_t i;
	int err = privilege_drop(events ? PRIVILEGE_AGENT_EVENTS : PRIVILEGE_AGENT);

	if (err) {
		log_message(LOG_ERROR, "capabilities: those that are not needed cannot be given up: %s", strerror(-err));
		return err;
	}
	for (i = 0; i < privilege_count; i++)
		if (privileges[i].optional && (events || !privileges[i].events) && !privilege_held(&privileges[i]))
			log_message(LOG_WARN, "capabilities: %s is missing (to %s): %s", privileges[i].name, privileges[i].why,
				    privileges[i].without);
	return 0;
}

int sandbox_enter(void)
{
	struct filter filter;
	int err = filter_make(filter_write, &filter);

	if (err == -ENOMEM || err == -EAGAIN) {
		log_message(LOG_ERROR, "sandbox: the filter of system calls cannot be made: %s; this agent ends; raise MemoryMax= or "
			    "TasksMax= of its unit", strerror(-err));
		return err;
	}
	if (!err) {
		sandbox_again();
		err = filter_load(&filter);
	}
	if (err)
		log_message(LOG_WARN, "sandbox: no filter can be had: %s; running without; 'probemeter check' says what mends that",
			    strerror(-err));
	return 0;
}

void sandbox_document(FILE *out)
{
	size_t i;

	fprintf(out, "| system calls | for |\n|---|---|\n");
	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		fprintf(out, "| `%s`%s%s | %s |\n", allowed[i].calls, allowed[i].only ? ": " : "",
			allowed[i].only ? allowed[i].only : "", allowed[i].why);
}
