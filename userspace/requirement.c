/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * requirement.c - the table of what a host must have, and the look at each.
 *
 * Consumes /proc, /sys and the kernel's answers; produces findings. No look depends on another one, so that one failure
 * hides no other. What can be tried is tried, and not concluded from a setting; the setting is only named.
 */
#include "requirement.h"

#include <errno.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "delta.h"
#include "events.h"
#include "filter.h"
#include "files.h"
#include "host.h"
#include "kernel.h"
#include "limit.h"
#include "options.h"
#include "privilege.h"
#include "ship.h"
#include "trial.h"

#define BTF_MAGIC 0xeb9f
/* Inodes that the kernel gives to the initial namespaces, for ever (include/linux/proc_ns.h). */
#define INITIAL_USER 0xeffffffdu
#define INITIAL_CGROUP 0xeffffffbu
/* The oldest kernel. For arm64 a program could not call functions of its own beside a tail call before 6.0 (commit d4609a5d8c70),
 * and ours do (probe.bpf.c, stack_of_its_own()). */
#ifdef __aarch64__
#define OLDEST_MAJOR 6
#define OLDEST_MINOR 0
#define OLDEST "6.0"
#define OLDEST_WHY "tail calls beside calls of functions are as old as 6.0 on arm64"
#else
#define OLDEST_MAJOR 5
#define OLDEST_MINOR 15
#define OLDEST "5.15"
#define OLDEST_WHY "attach cookies are as old as 5.15"
#endif
#define COLLECTOR_MS 5000
/* Room for the agent itself beside its maps. With nothing to count it takes 16 MiB. */
#define OWN_BYTES (48ull << 20)

static void line_of(const char *path, char *ret, size_t size)
{
	FILE *file = fopen(path, "re");

	ret[0] = '\0';
	if (file && !fgets(ret, (int)size, file))
		ret[0] = '\0';
	if (file)
		(void)fclose(file);
	ret[strcspn(ret, "\n")] = '\0';
}

#define SAY(to, ...) ((void)snprintf((to), sizeof(to), __VA_ARGS__))

static void look_kernel(const struct options *options, struct finding *ret)
{
	struct utsname name;
	int major = 0, minor = 0;

	(void)options;
	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return;
	SAY(ret->detail, "Linux %s", name.release);
	ret->met = major > OLDEST_MAJOR || (major == OLDEST_MAJOR && minor >= OLDEST_MINOR);
}

/* There and readable is not enough: a container may show an empty file in its place. */
static void look_btf(const struct options *options, struct finding *ret)
{
	static const char path[] = "/sys/kernel/btf/vmlinux";
	FILE *file = fopen(path, "re");
	uint16_t magic = 0;
	bool read = file && fread(&magic, sizeof(magic), 1, file) == 1;

	(void)options;
	ret->met = read && magic == BTF_MAGIC;
	if (ret->met)
		SAY(ret->detail, "%s", path);
	else
		SAY(ret->detail, read ? "%s is not BTF" : "no %s", path);
	if (file)
		(void)fclose(file);
}

static void look_capabilities(const struct options *options, struct finding *ret)
{
	char missing[600];

	(void)options;
	ret->met = !privilege_missing(missing, sizeof(missing));
	if (ret->met)
		SAY(ret->detail, "all held");
	else
		SAY(ret->detail, "missing: %s", missing);
}

/* Capabilities of a user namespace are none to BPF. */
static void look_user_namespace(const struct options *options, struct finding *ret)
{
	struct stat st;

	(void)options;
	if (stat("/proc/self/ns/user", &st))
		return;
	ret->met = st.st_ino == INITIAL_USER;
	SAY(ret->detail, ret->met ? "the host's" : "a user namespace of its own");
}

static void look_lockdown(const struct options *options, struct finding *ret)
{
	char line[128];

	(void)options;
	line_of("/sys/kernel/security/lockdown", line, sizeof(line));
	ret->met = !strstr(line, "[confidentiality]");
	SAY(ret->detail, "%s", *line ? line : "none");
}

static void look_probes(const struct options *options, struct finding *ret)
{
	struct trial trial;
	int err = trial_run((enum kernel_links)options->links, &trial);

	if (err)
		SAY(ret->detail, "%s", strerror(-err));
	else
		trial_describe(&trial, ret->detail, sizeof(ret->detail));
	if (!err)
		(void)strncat(ret->detail, trial.way == ATTACH_NOTED ? "; each is a trap" : "; the kernel makes a call of it",
			      sizeof(ret->detail) - strlen(ret->detail) - 1);
	ret->met = !err && trial.result[trial.way].counts;
	if (!err && !ret->met && trial.links == KERNEL_LINKS_PERF_EVENT && !privilege_events()) {
		SAY(ret->detail, "this kernel lets only CAP_SYS_ADMIN attach by perf events");
		SAY(ret->remedy, "setpriv --inh-caps=+sys_admin --ambient-caps=+sys_admin probemeter run   "
		    "(as root; in a unit: AmbientCapabilities=CAP_SYS_ADMIN, in a container: --cap-add=SYS_ADMIN); or boot Linux 6.6");
	}
}

/* As events.c opens it, but on one CPU and for nobody to read. */
static void look_events(const struct options *options, struct finding *ret)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_DUMMY,
					.mmap = 1, .task = 1 };
	long fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	int err = fd < 0 ? errno : 0;
	char line[32];

	(void)options;
	line_of("/proc/sys/kernel/perf_event_paranoid", line, sizeof(line));
	ret->met = fd >= 0;
	/* The kernel refuses with EACCES; with EPERM a filter around the agent does. */
	if (err == EPERM)
		SAY(ret->remedy, "docker run --security-opt seccomp=unconfined   (or a profile that has perf_event_open; in a unit: "
		    "SystemCallFilter=perf_event_open)");
	else if (err == ENOSYS)
		SAY(ret->remedy, "boot a kernel built with CONFIG_PERF_EVENTS=y");
	/* Debian's kernels know a 3, which CAP_PERFMON does not pass: root does not notice, the agent as a user of its own does. */
	SAY(ret->detail, "%s; kernel.perf_event_paranoid=%s%s", err ? strerror(err) : "the kernel tells of new processes",
	    *line ? line : "?", !err && atoi(line) > 2 ? ": above 2 perhaps only those with CAP_SYS_ADMIN" : "");
	if (fd >= 0)
		(void)close((int)fd);
}

/* Every user may lock so much for perf events on each CPU; past that it counts against RLIMIT_MEMLOCK. */
static void look_memlock(const struct options *options, struct finding *ret)
{
	uint64_t cpus = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN), page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t want = cpus * (EVENTS_RING_BYTES + page), free_kb, has;
	struct rlimit limit = { 0 };
	char line[32];

	(void)options;
	line_of("/proc/sys/kernel/perf_event_mlock_kb", line, sizeof(line));
	free_kb = strtoull(line, NULL, 10);
	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	has = cpus * (free_kb << 10);
	ret->met = want <= has || limit.rlim_cur == RLIM_INFINITY || want - has <= limit.rlim_cur;
	SAY(ret->detail, "rings of %llu KiB; kernel.perf_event_mlock_kb=%s for each of %llu CPUs, and RLIMIT_MEMLOCK",
	    (unsigned long long)want >> 10, line, (unsigned long long)cpus);
	if (!ret->met)
		SAY(ret->remedy, "ulimit -l %llu   (in a unit: LimitMEMLOCK=%lluK)", (unsigned long long)want >> 10,
		    (unsigned long long)want >> 10);
}

static void look_files(const struct options *options, struct finding *ret)
{
	unsigned long long limit = 0;

	(void)options;
	ret->met = files_may(files_least(), &limit);
	SAY(ret->detail, "%sat most %llu may be open, %u are needed at least", ret->met ? "" : "too few: ", limit, files_least());
}

static void look_bpffs(const struct options *options, struct finding *ret)
{
	struct statfs fs;

	ret->met = !statfs(options->bpffs, &fs) && fs.f_type == BPF_FS_MAGIC;
	SAY(ret->detail, ret->met ? "mounted at %s" : "%s is no bpffs", options->bpffs);
	SAY(ret->remedy, "mount -t bpf bpf %s", options->bpffs);
}

static void look_filter(const struct options *options, struct finding *ret)
{
	int err = filter_possible();

	(void)options;
	ret->met = !err;
	SAY(ret->detail, "%s", err ? strerror(-err) : "the kernel takes filters");
	if (err == -EPERM)
		SAY(ret->remedy, "docker run --security-opt seccomp=unconfined   (or a profile that has seccomp; in a unit: SystemCallFilter=seccomp)");
}

static void look_pid_namespace(const struct options *options, struct finding *ret)
{
	(void)options;
	ret->met = !host_pid_namespace();
	SAY(ret->detail, ret->met ? "the host's: every process is seen" : "one of its own: processes outside of it are not seen");
}

static void look_cgroup_namespace(const struct options *options, struct finding *ret)
{
	struct stat st;

	(void)options;
	/* Before 4.6 there is one tree for all. */
	ret->met = stat("/proc/self/ns/cgroup", &st) || st.st_ino == INITIAL_CGROUP;
	SAY(ret->detail, ret->met ? "the host's: cgroups have their full names" : "one of its own: cgroups are seen from there");
}

/* With scope 3 nobody reads another process's memory, whatever his capabilities. */
static void look_ptrace(const struct options *options, struct finding *ret)
{
	char line[32];

	(void)options;
	line_of("/proc/sys/kernel/yama/ptrace_scope", line, sizeof(line));
	ret->met = strtol(line, NULL, 10) < 3;
	SAY(ret->detail, "kernel.yama.ptrace_scope=%s", *line ? line : "0, no yama here");
}

/* What the agent takes beside its maps: what it always does, and what it remembers to send differences. */
static uint64_t own_bytes(const struct options *options, const struct kernel_limits *limits)
{
	bool delta = options_exporters(options) & EXPORTER_OTLP && options->preference != PREFERENCE_CUMULATIVE;

	return OWN_BYTES + (delta ? delta_bytes_max(limits->cells) : 0);
}

/* Can the maps be made to fit into @bytes? Then the flag that does it. */
static void suggest_less(const struct options *options, uint64_t bytes, char *ret, size_t size)
{
	struct limits_asked less = options->limits;
	struct kernel_limits limits;
	char why[200];

	ret[0] = '\0';
	less.memory_mib = (unsigned)(bytes >> 20);
	if (less.memory_mib && !limits_choose(&less, kernel_cpus(), &limits, why, sizeof(why)))
		(void)snprintf(ret, size, "; or smaller maps, by --max-memory %u", less.memory_mib);
}

static void look_memory(const struct options *options, struct finding *ret)
{
	uint64_t maps, own, limit;
	struct kernel_limits limits;
	char path[sizeof(ret->detail) / 2], less[64];

	if (limits_choose(&options->limits, kernel_cpus(), &limits, ret->detail, sizeof(ret->detail))) {
		SAY(ret->remedy, "correct what is named above");
		return;
	}
	maps = kernel_bytes(&limits, kernel_cpus());
	own = own_bytes(options, &limits);
	limit = cgroup_memory_limit("", path, sizeof(path));
	ret->met = maps + own <= limit;
	if (limit == UINT64_MAX)
		SAY(ret->detail, "maps of at most %.0f MiB and %.0f MiB for the agent; no limit", (double)maps / (1 << 20),
		    (double)own / (1 << 20));
	else
		SAY(ret->detail, "maps of at most %.0f MiB and %.0f MiB for the agent; %s: %.0f MiB", (double)maps / (1 << 20),
		    (double)own / (1 << 20), path, (double)limit / (1 << 20));
	if (ret->met)
		return;
	suggest_less(options, limit > own ? limit - own : 0, less, sizeof(less));
	SAY(ret->remedy, "echo %lluM >%s   (in a unit: MemoryMax=, in Kubernetes: resources.limits.memory%s)",
	    (unsigned long long)((maps + own) >> 20) + 1, path, less);
}

bool requirement_clock_plausible(long long now_s)
{
	return now_s >= 1735689600; /* 2025: this program did not exist before */
}

static void look_clock(const struct options *options, struct finding *ret)
{
	struct timespec now;
	struct tm tm;

	(void)options;
	if (clock_gettime(CLOCK_REALTIME, &now) || !gmtime_r(&now.tv_sec, &tm))
		return;
	ret->met = requirement_clock_plausible(now.tv_sec);
	(void)strftime(ret->detail, sizeof(ret->detail), "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void look_synchronised(const struct options *options, struct finding *ret)
{
	struct timex clock = { 0 };
	int state = adjtimex(&clock);

	(void)options;
	ret->met = state >= 0 && !(clock.status & STA_UNSYNC);
	if (state < 0) {
		SAY(ret->detail, "the kernel does not say: %s", strerror(errno));
		return;
	}
	SAY(ret->detail, ret->met ? "within %.0f ms, says the kernel" : "by nobody, says the kernel",
	    (double)clock.esterror / 1000);
}

/* An empty export, sent as every other one will be: name, TLS, proxy, headers and protocol are all in it. */
static void look_collector(const struct options *options, struct finding *ret)
{
	const struct ship_limit limit = { .budget_ms = COLLECTOR_MS, .stop_fd = -1, .last = true,
					  .backoff_ms = 2 * COLLECTOR_MS }; /* one try */
	bool json = options->protocol == PROTOCOL_HTTP_JSON;
	struct ship_result result = { 0 };
	struct ship *ship;
	int err;

	if (options_noop_reason(options)) {
		SAY(ret->detail, "%s", options_noop_reason(options));
		ret->optional = true; /* as it was told to */
		return;
	}
	ret->met = !(options_exporters(options) & EXPORTER_OTLP);
	SAY(ret->detail, "the otlp exporter is not asked for");
	if (ret->met)
		return;
	ship = ship_new(options);
	err = ship ? ship_send(ship, (const uint8_t *)(json ? "{}" : ""), json ? 2 : 0, &limit, &result) : -errno;
	ret->met = !err;
	SAY(ret->detail, "%s: %s", options->where, err ? *result.message ? result.message : strerror(-err) : "took an empty export");
	SAY(ret->remedy, "curl -v -X POST -H 'Content-Type: application/x-protobuf' %s   (says what is in the way)",
	    options->where);
	ship_free(ship);
}

const struct requirement requirements[] = {
	{ "kernel", OLDEST_WHY, "boot Linux " OLDEST " or newer", .look = look_kernel, .first = true, .needed = true },
	{ "file descriptors", "maps, programs, links and attached files are one each",
	  "ulimit -n 524288   (as root; in a unit: LimitNOFILE=524288)", .look = look_files, .first = true, .needed = true },
	{ "btf", "the programs are fitted to this kernel's types", "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y", .look = look_btf,
	  .first = true, .needed = true },
	{ "capabilities", "each is needed for one thing",
	  "run as root, or with AmbientCapabilities= of scripts/systemd/probemeter.service", .look = look_capabilities, .first = true,
	  .needed = true },
	{ "user namespace", "capabilities of another one mean nothing to BPF",
	  "run in the host's: no --userns-remap, no rootless container, hostUsers: true", .look = look_user_namespace, .needed = true },
	{ "lockdown", "confidentiality forbids BPF programs to read", "boot without lockdown=confidentiality", .look = look_lockdown,
	  .needed = true },
	{ "probes", "the agent loads its programs and counts hits of a stub of its own",
	  "OTEL_LOG_LEVEL=debug probemeter run --exporter console --once   (has the kernel's own words)", .look = look_probes,
	  .needed = true },
	{ "process events", "without them new processes are looked for every second",
	  "sysctl kernel.perf_event_paranoid=2", .look = look_events },
	{ "memlock", "smaller rings of process events lose some under load, and then all of /proc is read", "ulimit -l unlimited",
	  .look = look_memlock },
	{ "bpffs", "what is pinned there goes on counting while no agent runs", "mount -t bpf bpf /sys/fs/bpf", .look = look_bpffs },
	{ "seccomp", "the agent locks itself in", "boot a kernel built with CONFIG_SECCOMP_FILTER=y", .look = look_filter },
	{ "pid namespace", "levels and names are read from processes", "docker run --pid=host; in Kubernetes: hostPID: true",
	  .look = look_pid_namespace },
	{ "cgroup namespace", "units and containers are told by the names of cgroups",
	  "docker run --cgroupns=host", .look = look_cgroup_namespace },
	{ "ptrace", "levels are read from the memory of services", "echo kernel.yama.ptrace_scope=1 >/etc/sysctl.d/60-probemeter.conf && reboot   (3 stands until then)",
	  .look = look_ptrace },
	{ "memory", "maps are charged to the agent's cgroup; past its limit the agent is killed", "", .look = look_memory, .needed = true },
	{ "clock", "receivers refuse points of long ago", "timedatectl set-ntp true", .look = look_clock, .needed = true },
	{ "clock is set", "a clock of its own drifts away from the collector's", "timedatectl set-ntp true", .look = look_synchronised },
	{ "collector", "without it nothing arrives", "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318", .look = look_collector,
	  .needed = true },
};
const size_t requirement_count = sizeof(requirements) / sizeof(requirements[0]);
