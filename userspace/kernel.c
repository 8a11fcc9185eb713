/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.c - load the BPF object that is built into this binary.
 *
 * Consumes limits; produces a loaded skeleton with maps of that size. Attaching is attach.c's.
 */
#include "kernel.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../bpf/maps.h"
#include "host.h"
#include "log.h"
#include "probe.skel.h"

/* libbpf's own words, one line each: warnings only matter together with our message, so they are for the curious. */
static int libbpf_log(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[1024];
	size_t length;

	if (level == LIBBPF_DEBUG)
		return 0;
	(void)vsnprintf(line, sizeof(line), format, args);
	length = strlen(line);
	if (length && line[length - 1] == '\n')
		line[length - 1] = '\0';
	log_message(LOG_DEBUG, "%s", line);
	return 0;
}

/* Maps that allocate on demand keep memory in line with use. Before 6.1 (bpf_mem_alloc) a program that allocates may
 * run into the allocator it interrupted, so there maps are filled ahead. */
static int allocates_safely(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return 0;
	return major > 6 || (major == 6 && minor >= 1);
}

/* BPF_LINK_CREATE as Linux 6.6 has it. */
struct link_create {
	uint32_t program_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t semaphores;
	uint64_t cookies;
	uint32_t count;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t pad;
};

static int link_multi(int program_fd, const char *path, const uint64_t *offset, const uint64_t *semaphore,
		      const uint64_t *cookie, uint32_t count)
{
	struct link_create create = {
		.program_fd = (uint32_t)program_fd,
		.attach_type = KERNEL_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)offset,
		.semaphores = (uintptr_t)semaphore,
		.cookies = (uintptr_t)cookie,
		.count = count,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &create, sizeof(create));

	return fd < 0 ? -errno : (int)fd;
}

int kernel_link_multi(int program_fd, int fd, const struct kernel_site *site, uint32_t count)
{
	uint64_t *array = calloc(3 * count, sizeof(*array));
	char path[40];
	uint32_t i;
	int err;

	if (!array)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		array[i] = site[i].offset;
		array[count + i] = site[i].semaphore;
		array[2 * count + i] = site[i].cookie;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = link_multi(program_fd, path, array, array + count, array + 2 * count, count);
	free(array);
	return err;
}

/* A directory cannot be probed: a kernel that knows these links says so (EBADF), an older one knows no such link. */
static bool has_uprobe_multi(void)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = KERNEL_UPROBE_MULTI);
	const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int program_fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, NULL, "GPL", nothing, 2, &opts), link;
	uint64_t zero = 0;

	if (program_fd < 0)
		return false;
	link = link_multi(program_fd, "/", &zero, NULL, NULL, 1);
	(void)close(program_fd);
	if (link >= 0)
		(void)close(link);
	return link == -EBADF;
}

uint32_t kernel_cpus(void)
{
	FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
	char line[1024] = "", *last;

	if (file && !fgets(line, sizeof(line), file))
		line[0] = '\0';
	if (file)
		(void)fclose(file);
	/* "0-3,8-11": the last number. */
	for (last = line + strcspn(line, "\n"); last > line && last[-1] >= '0' && last[-1] <= '9'; last--)
		;
	return *last >= '0' && *last <= '9' ? (uint32_t)strtoul(last, NULL, 10) + 1 : (uint32_t)sysconf(_SC_NPROCESSORS_CONF);
}

#define CELLS_BYTES (64u << 20)
/* Pieces of names. A service needs about ten; where thousands have come, the last ones' paths may be missing, which only
 * matters for processes that nobody looked at while they lived. */
#define STRINGS(limits) (4ull * (limits)->series + 7ull * (limits)->services)

struct kernel_limits kernel_limits_default(void)
{
	struct kernel_limits limits = {
		.cells = PM_MAX_CELLS,
		.series = PM_MAX_SERIES,
		.services = PM_MAX_SERVICES,
		.series_per_metric = PM_SERIES_PER_METRIC,
	};

	while (limits.cells > 4096 && (uint64_t)limits.cells * kernel_cpus() * sizeof(struct pm_cell) > CELLS_BYTES)
		limits.cells /= 2;
	return limits;
}

/* A full hash map: for each element what the kernel keeps with it (56 bytes by the memlock of Linux 6.18), key and value;
 * and buckets (16 bytes), of which there are as many as elements, rounded up to a power of two. */
static uint64_t hash_bytes(uint64_t elements, uint64_t key, uint64_t value)
{
	uint64_t buckets = 1;

	while (buckets < elements)
		buckets *= 2;
	return elements * (56 + (key + 7) / 8 * 8 + (value + 7) / 8 * 8) + buckets * 16;
}

uint64_t kernel_bytes(const struct kernel_limits *limits, uint32_t cpus)
{
	uint64_t bytes = limits->cells * (sizeof(struct pm_slot) + (uint64_t)cpus * sizeof(struct pm_cell));

	bytes += hash_bytes(limits->series, sizeof(struct pm_series_key), sizeof(struct pm_series));
	bytes += hash_bytes(limits->series, sizeof(struct pm_usage_key), sizeof(uint64_t));
	bytes += hash_bytes(STRINGS(limits), sizeof(struct pm_string_key), PM_PIECE);
	bytes += hash_bytes(limits->services, sizeof(struct pm_service_key), sizeof(struct pm_service));
	bytes += hash_bytes(PM_MAX_METRICS, sizeof(uint32_t), sizeof(struct pm_bounds));
	/* recent, drops, taken, excluded; and a page beside what is in each map. */
	return bytes + 8ull * (PM_MAX_TASKS + PM_MAX_METRICS * PM_DROP_REASONS) +
	       PM_MAX_SERVICES * (sizeof(struct pm_taken) + 8) + 16 * 4096;
}

uint64_t kernel_bytes_now(const struct kernel *kernel)
{
	unsigned long long bytes, total = 0;
	struct bpf_map *map;
	char path[48], line[128];
	FILE *file;

	bpf_object__for_each_map(map, kernel->skeleton->obj) {
		(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bpf_map__fd(map));
		file = fopen(path, "re");
		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, "memlock: %llu", &bytes) == 1)
				total += bytes;
		if (file)
			(void)fclose(file);
	}
	return total;
}

static const void *map_memory(const struct bpf_map *map, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED, bpf_map__fd(map), 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static size_t places_size(const struct kernel *kernel)
{
	return (size_t)kernel->slots * sizeof(struct pm_slot);
}

static size_t cells_size(const struct kernel *kernel)
{
	return (size_t)kernel->cpus * kernel->slots * sizeof(struct pm_cell);
}

int kernel_load(const struct kernel_limits *limits, enum kernel_links links, struct kernel *ret)
{
	struct kernel loaded = { 0 };
	struct probe_bpf *skeleton;
	uint64_t salt;
	int err;

	libbpf_set_print(libbpf_log);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	skeleton = probe_bpf__open();
	if (!skeleton)
		return -errno;
	loaded.limits = *limits;
	loaded.slots = limits->cells;
	loaded.cpus = kernel_cpus();
	err = bpf_map__set_max_entries(skeleton->maps.places, limits->cells / PM_GROUP);
	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.cells, loaded.cpus * limits->cells);
	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.series, limits->series);
	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.usage, limits->series);
	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.strings, (uint32_t)STRINGS(limits));
	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.services, limits->services);
	if (!err && allocates_safely()) {
		struct bpf_map *on_demand[] = { skeleton->maps.series, skeleton->maps.usage, skeleton->maps.strings,
						skeleton->maps.services };
		size_t i;

		for (i = 0; !err && i < sizeof(on_demand) / sizeof(on_demand[0]); i++)
			err = bpf_map__set_map_flags(on_demand[i], BPF_F_NO_PREALLOC);
	}
	if (links == KERNEL_LINKS_AUTO)
		links = has_uprobe_multi() ? KERNEL_LINKS_UPROBE_MULTI : KERNEL_LINKS_PERF_EVENT;
	if (!err && links == KERNEL_LINKS_UPROBE_MULTI) {
		struct bpf_program *program;

		bpf_object__for_each_program(program, skeleton->obj)
			if (!err && bpf_program__type(program) == BPF_PROG_TYPE_KPROBE)
				err = bpf_program__set_expected_attach_type(program, KERNEL_UPROBE_MULTI);
	}
	if (err)
		goto fail;
	/* Not loaded where it cannot be: then a file on overlayfs is taken for what it says. */
	if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_FUNC_find_vma, NULL) != 1)
		(void)bpf_program__set_autoload(skeleton->progs.file_real, false);
	err = getrandom(&salt, sizeof(salt), 0) == sizeof(salt) ? 0 : -EIO;
	if (err)
		goto fail;
	skeleton->rodata->salt = salt;
	skeleton->rodata->slots = limits->cells;
	skeleton->rodata->cells_per_service = limits->cells / 4;
	skeleton->rodata->series_per_metric = limits->series_per_metric;
	skeleton->rodata->series_per_service = limits->series / 2;
	skeleton->rodata->pieces_per_service = 2 * limits->series;
	skeleton->rodata->pieces_in_all = 4 * limits->series;
	skeleton->rodata->per_process = limits->per_process;
	skeleton->rodata->choose = limits->choose;
	skeleton->rodata->by_uid = limits->by_uid;
	skeleton->rodata->pid_namespace = host_pid_namespace();
	err = probe_bpf__load(skeleton);
	if (err)
		goto fail;
	loaded.skeleton = skeleton;
	loaded.links = links;
	loaded.places = map_memory(skeleton->maps.places, places_size(&loaded));
	loaded.cells = map_memory(skeleton->maps.cells, cells_size(&loaded));
	if (!loaded.places || !loaded.cells) {
		kernel_free(&loaded);
		return -ENOMEM;
	}
	*ret = loaded;
	return 0;
fail:
	probe_bpf__destroy(skeleton);
	return err;
}

void kernel_watch(struct kernel *kernel)
{
	kernel->skeleton->links.on_exec = bpf_program__attach(kernel->skeleton->progs.on_exec);
	kernel->skeleton->links.on_fork = bpf_program__attach(kernel->skeleton->progs.on_fork);
}

/* The file's first page, mapped here, is what file_real looks at. */
static int file_real(const struct kernel *kernel, int fd, struct pm_file *ret)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	uint32_t first = 0, tries = 100;
	uint64_t address;
	void *page = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
	int err = page == MAP_FAILED ? -errno : 0;

	if (err)
		return err;
	address = (uintptr_t)page;
	opts.ctx_in = &address;
	opts.ctx_size_in = sizeof(address);
	/* It gives up while another thread changes our mappings. */
	do {
		if (bpf_prog_test_run_opts(bpf_program__fd(kernel->skeleton->progs.file_real), &opts) ||
		    bpf_map_lookup_elem(bpf_map__fd(kernel->skeleton->maps.mapped), &first, ret))
			err = -errno;
	} while (!err && !ret->address && --tries);
	(void)munmap(page, 1);
	return err ? err : ret->address ? 0 : -EBUSY;
}

void kernel_file(const struct kernel *kernel, int fd, uint64_t *device, uint64_t *inode)
{
	struct statfs system;
	struct pm_file file;

	if (fstatfs(fd, &system) || system.f_type != OVERLAYFS_SUPER_MAGIC ||
	    bpf_program__fd(kernel->skeleton->progs.file_real) < 0 || file_real(kernel, fd, &file))
		return;
	/* The kernel's device number has 20 bits of minor. */
	*device = file.device >> 20 << 32 | (file.device & 0xfffff);
	/* On btrfs inode numbers repeat in every snapshot. While we hold the file its inode stays where it is. */
	*inode = file.magic == BTRFS_SUPER_MAGIC ? file.address : file.inode;
}

void kernel_free(struct kernel *kernel)
{
	if (kernel->places)
		(void)munmap((void *)kernel->places, places_size(kernel));
	if (kernel->cells)
		(void)munmap((void *)kernel->cells, cells_size(kernel));
	probe_bpf__destroy(kernel->skeleton);
	*kernel = (struct kernel){ 0 };
}
