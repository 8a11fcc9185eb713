/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.c - load the BPF object that is built into this binary.
 *
 * Consumes limits, and maps that an earlier agent left; produces a loaded skeleton with maps of that size. Which sites
 * are linked is attach.c's.
 */
#include "kernel.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "../bpf/maps.h"
#include "host.h"
#include "layout.h"
#include "log.h"
#include "pins.h"
#include "probe.skel.h"
#include "schema.h"

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

/* The number of the kernel's uprobe events. */
static int event_type(void)
{
	FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	int type = -1;

	if (file && fscanf(file, "%d", &type) != 1)
		type = -1;
	if (file)
		(void)fclose(file);
	return type;
}

/* The semaphore's place is in the upper half of config (format/ref_ctr_offset). */
#define EVENT_SEMAPHORE_SHIFT 32

int kernel_link_event(int program_fd, int fd, const struct kernel_site *site)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .perf_event.bpf_cookie = site->cookie);
	char path[40];
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.config = site->semaphore << EVENT_SEMAPHORE_SHIFT,
		.config1 = (uintptr_t)path,
		.config2 = site->offset,
	};
	int type = event_type(), event, link;

	if (type < 0)
		return -ENOENT;
	attr.type = (uint32_t)type;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	event = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return -errno;
	link = bpf_link_create(program_fd, event, BPF_PERF_EVENT, &opts);
	if (link < 0)
		link = -errno;
	(void)close(event); /* the link has it */
	return link;
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
#define STRINGS(limits) ((limits)->pieces + 7ull * (limits)->services)

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

struct kernel_limits kernel_limits_settle(const struct kernel_limits *limits)
{
	struct kernel_limits settled = *limits;

	if (!settled.pieces)
		settled.pieces = 3 * settled.series;
	if (!settled.service_cells)
		settled.service_cells = settled.cells / 4;
	if (!settled.service_series)
		settled.service_series = settled.series / 2;
	if (!settled.service_pieces)
		settled.service_pieces = settled.pieces / 2;
	return settled;
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

uint64_t kernel_bytes_carried(const struct kernel_limits *limits)
{
	return (limits->cells + PM_MAX_METRICS * PM_DROP_REASONS) * sizeof(struct pm_carried);
}

uint64_t kernel_bytes(const struct kernel_limits *asked, uint32_t cpus)
{
	const struct kernel_limits settled = kernel_limits_settle(asked), *limits = &settled;
	uint64_t bytes = limits->cells * (sizeof(struct pm_slot) + (uint64_t)cpus * sizeof(struct pm_cell));

	bytes += hash_bytes(limits->series, sizeof(struct pm_series_key), sizeof(struct pm_series));
	bytes += hash_bytes(limits->series, sizeof(struct pm_usage_key), sizeof(uint64_t));
	bytes += hash_bytes(STRINGS(limits), sizeof(struct pm_string_key), PM_PIECE);
	bytes += hash_bytes(limits->services, sizeof(struct pm_service_key), sizeof(struct pm_service));
	bytes += hash_bytes(PM_MAX_METRICS, sizeof(uint32_t), sizeof(struct pm_bounds));
	/* recent, drops, taken, excluded, closing, marks, carries, journal; and a page beside what is in each map. */
	bytes += hash_bytes(PM_MAX_MARKS, sizeof(uint32_t), sizeof(uint32_t)) + limits->cells * sizeof(uint64_t) + PM_JOURNAL_BYTES;
	return bytes + kernel_bytes_carried(limits) + 8ull * (PM_MAX_TASKS + PM_MAX_METRICS * PM_DROP_REASONS) +
	       PM_MAX_SERVICES * (sizeof(struct pm_taken) + 8 + sizeof(struct pm_closing)) + 24 * 4096;
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

static void *map_memory(const struct bpf_map *map, size_t size, int protection)
{
	void *memory = mmap(NULL, size, protection, MAP_SHARED, bpf_map__fd(map), 0);

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

static size_t carries_size(const struct kernel *kernel)
{
	return (size_t)kernel->slots * sizeof(uint64_t);
}

void kernel_schema(const struct kernel_limits *asked, enum kernel_links links, char ret[KERNEL_SCHEMA])
{
	const struct kernel_limits settled = kernel_limits_settle(asked), *limits = &settled;
	/* The sources, and all that a compiler's flags, a host or the agent's own flags make of them. */
	const uint64_t layout[] = {
		SCHEMA_SOURCES,
		limits->cells, limits->series, limits->services, limits->series_per_metric, kernel_cpus(), links,
		/* What the programs take for one service. */
		limits->pieces, limits->service_cells, limits->service_series, limits->service_pieces, limits->trims,
		limits->trimming, limits->per_process, limits->choose, limits->by_uid, host_pid_namespace(),
		sizeof(struct pm_cell), sizeof(struct pm_slot), sizeof(struct pm_group), sizeof(struct pm_series_key),
		sizeof(struct pm_series), sizeof(struct pm_usage_key), sizeof(struct pm_taken), sizeof(struct pm_string_key), PM_PIECE,
		PM_LABEL_PIECES, PM_OWNER_SERVICE, PM_SERVICE_PIECES, sizeof(struct pm_service_key),
		sizeof(struct pm_service), sizeof(struct pm_task), sizeof(struct pm_started), PM_STARTED_PIECES, PM_SERVICE_FIELDS,
		sizeof(struct pm_bounds), PM_MAX_TASKS, PM_MAX_METRICS,
		PM_MAX_BOUNDS, PM_MAX_SERVICES, PM_DROP_REASONS, PM_NEXT_COUNT, PM_GROUP, PM_GROUP_TRIES, PM_GROUP_TRIES_OVERFLOW,
		PM_MANTISSA_BITS,
		PM_WHERE(1, 1), PM_BUCKET(1, 1, 1), PM_BUCKET_UNNAMED, PM_BUCKET_OVERFLOW, PM_WHERE_BUSY, PM_COOKIE_WITHOUT(PM_COOKIE(1, 1), 1),
		PM_JOURNAL_BYTES,
	};
	uint64_t hash = 0xcbf29ce484222325ull;
	size_t i;

	for (i = 0; i < sizeof(layout) / sizeof(layout[0]); i++)
		hash = ((hash ^ layout[i]) * 0x9e3779b97f4a7c15ull) ^ hash >> 29;
	(void)snprintf(ret, KERNEL_SCHEMA, "%u-%016llx", PM_SCHEMA, (unsigned long long)hash);
}

/* --- the maps' sizes, and the maps that are there already */

/* What all generations have in common. */
static const char *common_name(const struct probe_bpf *skeleton, const struct bpf_map *map)
{
	return map == skeleton->maps.data_turn ? "turn" : map == skeleton->maps.marks ? "marks" : NULL;
}

static bool is_of_set(const struct probe_bpf *skeleton, const struct bpf_map *map)
{
	/* .rodata, the array without programs and the agent's question about a file are each load's own. */
	return !bpf_map__is_internal(map) && !common_name(skeleton, map) && map != skeleton->maps.nowhere &&
	       map != skeleton->maps.mapped;
}

static int maps_size(struct probe_bpf *skeleton, const struct kernel_limits *limits, uint32_t cpus)
{
	const struct {
		struct bpf_map *map;
		uint32_t entries;
		bool on_demand;
	} sizes[] = {
		{ skeleton->maps.places, limits->cells / PM_GROUP, false },
		{ skeleton->maps.cells, cpus * limits->cells, false },
		{ skeleton->maps.carries, limits->cells, false },
		{ skeleton->maps.series, limits->series, true },
		{ skeleton->maps.usage, limits->series, true },
		{ skeleton->maps.strings, (uint32_t)STRINGS(limits), true },
		{ skeleton->maps.services, limits->services, true },
	};
	bool safe = allocates_safely();
	size_t i;
	int err = 0;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && !err; i++) {
		err = bpf_map__set_max_entries(sizes[i].map, sizes[i].entries);
		if (!err && safe && sizes[i].on_demand)
			err = bpf_map__set_map_flags(sizes[i].map, BPF_F_NO_PREALLOC);
	}
	return err;
}

/* Take a pinned map for one of ours, if it is what its name says. */
static int map_adopt(struct bpf_map *map, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int err = 0;

	if (fd < 0)
		return fd == -EPERM ? fd : pins_error(fd);
	if (bpf_obj_get_info_by_fd(fd, &info, &size) || info.type != bpf_map__type(map) ||
	    info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map) ||
	    info.max_entries != bpf_map__max_entries(map) || info.map_flags != bpf_map__map_flags(map))
		err = -EBADMSG;
	if (!err)
		err = bpf_map__reuse_fd(map, fd);
	(void)close(fd); /* libbpf has a copy */
	return err;
}

static int maps_adopt(const struct pins *pins, struct probe_bpf *skeleton)
{
	struct bpf_map *map;
	int err = 0, fd;

	bpf_object__for_each_map(map, skeleton->obj) {
		if (err)
			break;
		if (common_name(skeleton, map)) {
			fd = pins_common_open(pins, common_name(skeleton, map));
			if (fd != -ENOENT)
				err = map_adopt(map, fd);
			else if (pins->adopted)
				err = -EBADMSG;
		} else if (pins->adopted && is_of_set(skeleton, map)) {
			err = map_adopt(map, pins_map_open(pins, bpf_map__name(map)));
		}
	}
	return err;
}

int kernel_pin(const struct kernel *kernel, const struct pins *pins)
{
	const struct probe_bpf *skeleton = kernel->skeleton;
	struct bpf_map *map;
	int err = pins_begin(pins);

	bpf_object__for_each_map(map, skeleton->obj) {
		if (!err && is_of_set(skeleton, map))
			err = pins_map_add(pins, bpf_map__name(map), bpf_map__fd(map));
		if (!err && common_name(skeleton, map)) {
			err = pins_common_add(pins, common_name(skeleton, map), bpf_map__fd(map));
			err = err == -EEXIST ? 0 : err; /* it is that one */
		}
	}
	if (!err)
		err = pins_commit(pins);
	if (err)
		pins_abandon(pins);
	/* Of the first generation nobody else has these. */
	if (err && pins->generation == 1)
		pins_common_remove(pins);
	return err;
}

/* Programs of another build find cells where the first one put them. */
static int salt_of(const struct probe_bpf *skeleton, const struct pins *pins, bool adopted, uint64_t *ret)
{
	struct journal journal = { .size = PM_JOURNAL_BYTES };
	int err;

	*ret = pins ? pins->salt : 0;
	if (!adopted && *ret)
		return 0;
	if (!adopted)
		return getrandom(ret, sizeof(*ret), 0) == sizeof(*ret) ? 0 : -EIO;
	journal.memory = map_memory(skeleton->maps.journal, journal.size, PROT_READ);
	if (!journal.memory)
		return -ENOMEM;
	err = journal_check(&journal);
	if (!err)
		*ret = journal_header(&journal)->salt;
	(void)munmap(journal.memory, journal.size);
	return err;
}

static int maps_map(struct kernel *kernel)
{
	const struct probe_bpf *skeleton = kernel->skeleton;

	kernel->places = map_memory(skeleton->maps.places, places_size(kernel), PROT_READ | PROT_WRITE);
	kernel->cells = map_memory(skeleton->maps.cells, cells_size(kernel), PROT_READ);
	kernel->carries = map_memory(skeleton->maps.carries, carries_size(kernel), PROT_READ);
	kernel->journal.size = PM_JOURNAL_BYTES;
	kernel->journal.memory = map_memory(skeleton->maps.journal, kernel->journal.size, PROT_READ | PROT_WRITE);
	return kernel->places && kernel->cells && kernel->carries && kernel->journal.memory ? 0 : -ENOMEM;
}

uint32_t kernel_carried_entries(const struct kernel *kernel)
{
	return kernel->slots + PM_MAX_METRICS * PM_DROP_REASONS;
}

static size_t carried_size(const struct kernel *kernel)
{
	return kernel_carried_entries(kernel) * sizeof(struct pm_carried);
}

int kernel_carried_map(struct kernel *kernel, int fd)
{
	void *memory = mmap(NULL, carried_size(kernel), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	kernel->carried = memory;
	return 0;
}

/* Only sets that took over from another one have it. */
static int carried_adopt(struct kernel *kernel, const struct pins *pins)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int fd = pins_map_open(pins, "carried"), err;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return pins_error(fd);
	err = bpf_obj_get_info_by_fd(fd, &info, &size) || info.type != BPF_MAP_TYPE_ARRAY ||
			      info.value_size != sizeof(struct pm_carried) || info.max_entries != kernel_carried_entries(kernel) ?
		      -EBADMSG :
		      kernel_carried_map(kernel, fd);
	(void)close(fd);
	return err;
}

/* The first record of a new set. */
static int journal_begin(struct kernel *kernel, uint64_t start_unix_ns)
{
	struct layout layout;

	layout_own(kernel->slots, kernel->cpus, &layout);
	journal_init(&kernel->journal, kernel->salt, start_unix_ns);
	return layout_write(&kernel->journal, &layout);
}

static uint64_t now_unix_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

int kernel_load(const struct kernel_limits *asked, enum kernel_links links, const struct pins *pins,
		struct kernel *ret)
{
	const struct kernel_limits settled = kernel_limits_settle(asked), *limits = &settled;
	struct kernel loaded = { .limits = *limits, .slots = limits->cells, .cpus = kernel_cpus() };
	bool pinned = pins && pins->persistent, adopted = pinned && pins->adopted;
	struct bpf_program *program;
	struct probe_bpf *skeleton;
	int err;

	libbpf_set_print(libbpf_log);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	skeleton = probe_bpf__open();
	if (!skeleton)
		return -errno;
	loaded.skeleton = skeleton;
	loaded.links = links != KERNEL_LINKS_AUTO ? links :
		       has_uprobe_multi()	  ? KERNEL_LINKS_UPROBE_MULTI :
						    KERNEL_LINKS_PERF_EVENT;
	err = maps_size(skeleton, limits, loaded.cpus);
	bpf_object__for_each_program(program, skeleton->obj)
		if (!err && loaded.links == KERNEL_LINKS_UPROBE_MULTI && bpf_program__type(program) == BPF_PROG_TYPE_KPROBE)
			err = bpf_program__set_expected_attach_type(program, KERNEL_UPROBE_MULTI);
	/* Not loaded where it cannot be: then a file on overlayfs is taken for what it says. */
	if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_FUNC_find_vma, NULL) != 1)
		(void)bpf_program__set_autoload(skeleton->progs.file_real, false);
	if (!limits->trims) {
		(void)bpf_program__set_autoload(skeleton->progs.counter_trimmed, false);
		(void)bpf_program__set_autoload(skeleton->progs.histogram_trimmed, false);
		(void)bpf_program__set_autoload(skeleton->progs.histogram_bounds_trimmed, false);
	}
	if (!err && pinned)
		err = maps_adopt(pins, skeleton);
	if (!err)
		err = salt_of(skeleton, pins, adopted, &loaded.salt);
	if (err)
		goto fail;
	skeleton->rodata->salt = loaded.salt;
	skeleton->rodata->generation = pinned ? pins->generation : 1;
	skeleton->data_turn->turn = skeleton->rodata->generation; /* of a new map; a pinned one stays as it is */
	skeleton->rodata->slots = limits->cells;
	skeleton->rodata->cells_per_service = limits->service_cells;
	skeleton->rodata->series_per_metric = limits->series_per_metric;
	skeleton->rodata->series_per_service = limits->service_series;
	skeleton->rodata->pieces_per_service = limits->service_pieces;
	skeleton->rodata->pieces_in_all = limits->pieces;
	skeleton->rodata->per_process = limits->per_process;
	skeleton->rodata->choose = limits->choose;
	skeleton->rodata->by_uid = limits->by_uid;
	skeleton->rodata->pid_namespace = host_pid_namespace();
	err = probe_bpf__load(skeleton);
	if (!err)
		err = maps_map(&loaded);
	if (!err && adopted)
		err = carried_adopt(&loaded, pins);
	if (!err && !adopted)
		err = journal_begin(&loaded, now_unix_ns());
	if (err)
		goto fail;
	*ret = loaded;
	return 0;
fail:
	kernel_free(&loaded);
	return err;
}

static void watch_link(const struct pins *pins, uint32_t number, const struct bpf_program *program, struct bpf_link **ret)
{
	int fd = pins->persistent ? pins_link_open(pins, PINS_WATCH, number) : -ENOENT;

	if (fd >= 0) {
		(void)close(fd); /* its pin has it */
		return;
	}
	*ret = bpf_program__attach(program);
	/* If it cannot be pinned, it ends with us. */
	if (*ret && pins->persistent)
		(void)pins_link_add(pins, PINS_WATCH, number, bpf_link__fd(*ret));
}

void kernel_watch(struct kernel *kernel, const struct pins *pins)
{
	struct probe_bpf *skeleton = kernel->skeleton;

	watch_link(pins, 0, skeleton->progs.on_exec, &skeleton->links.on_exec);
	watch_link(pins, 1, skeleton->progs.on_fork, &skeleton->links.on_fork);
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
		(void)munmap(kernel->places, places_size(kernel));
	if (kernel->cells)
		(void)munmap((void *)kernel->cells, cells_size(kernel));
	if (kernel->carries)
		(void)munmap((void *)kernel->carries, carries_size(kernel));
	if (kernel->carried)
		(void)munmap((void *)kernel->carried, carried_size(kernel));
	if (kernel->journal.memory)
		(void)munmap(kernel->journal.memory, kernel->journal.size);
	probe_bpf__destroy(kernel->skeleton);
	*kernel = (struct kernel){ 0 };
}
