/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forget.c - take a service out of the kernel's maps while programs run.
 *
 * Consumes service ids that life.c thinks are over; produces free slots, series, strings and ids. The programs run on, on
 * every CPU, without a lock; so each step makes one way to reach service S impossible and then waits for every hit that may
 * have gone that way. A hit gets its service
 *
 *	by key         from `services`, at a process's first event, and then notes it in `tasks`, or in `recent` where there
 *	               is no memory for that;
 *	by task        from `tasks`, the process's own storage, and then notes it in `recent`;
 *	by tgid        from `recent`, if the tag is the process's.
 *
 * 1. The key is deleted. 2. A grace period: no hit that found S by its key is under way any more, and what those noted in
 * `tasks` is there to be seen. 3. A walk over all processes: if none holds S in `tasks`, none ever will. A process that
 * does lives, however long it has been silent, and S is put back. 4. Another grace period: no hit that read S in `tasks`,
 * before it was another service there, is under way. 5. S is cleared from `recent`, where it may still stand, and nobody
 * writes it there any more. 6. A third grace period: no hit of S is under way, and none can begin. Its cells stand still.
 *
 * Who comes between 1 and 3 and finds no key makes a new service, with an id of its own. So S and that one may both live,
 * with the same key: then S is put back under a key that no process has.
 *
 * After that the caller looks at the numbers a last time: what S counted since the export that was to be its last would be
 * lost, so then it is put back, too. Else all is given back, the id at last.
 *
 * Killed at any instruction: `closing` has key and value of S from before step 1 until the end. Until the word `freeing` is
 * set nothing of S is gone, and the next agent puts it back; after that nobody can come back to it, and the next agent
 * frees what is left. Each part may be done twice.
 *
 * Fork copies no task storage (kernel/fork.c, copy_process() sets bpf_storage to NULL); a child gets its service by key at
 * its own first event.
 */
#include "forget.h"

#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"
#include "mapped.h"
#include "probe.skel.h"
#include <probemeter/abi.h>

struct forget {
	const struct kernel *kernel;
	struct mapped places, cells, carries, taken, recent, vacant, closing, next_id;
	int inner, outer; /* maps for grace() */
};

static int map_all(const struct probe_bpf *skeleton, struct forget *forget)
{
	const struct {
		const struct bpf_map *map;
		struct mapped *mapped;
	} all[] = {
		{ skeleton->maps.places, &forget->places },   { skeleton->maps.cells, &forget->cells },
		{ skeleton->maps.carries, &forget->carries }, { skeleton->maps.taken, &forget->taken },
		{ skeleton->maps.recent, &forget->recent },
		{ skeleton->maps.vacant, &forget->vacant },   { skeleton->maps.closing, &forget->closing },
		{ skeleton->maps.next_id, &forget->next_id },
	};
	int err = 0;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]) && !err; i++)
		err = mapped_open(all[i].map, all[i].mapped);
	return err;
}

static int grace_maps(struct forget *forget)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);

	forget->inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "grace_inner", 4, 4, 1, NULL);
	if (forget->inner < 0)
		return -errno;
	opts.inner_map_fd = (uint32_t)forget->inner;
	forget->outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "grace", 4, 4, 1, &opts);
	return forget->outer < 0 ? -errno : 0;
}

int forget_new(const struct kernel *kernel, struct forget **ret)
{
	struct forget *forget = calloc(1, sizeof(*forget));
	int err;

	if (!forget)
		return -ENOMEM;
	forget->kernel = kernel;
	forget->outer = forget->inner = -1;
	err = host_pid_namespace() ? -ENOTSUP : 0;
	if (!err)
		err = map_all(kernel->skeleton, forget);
	if (!err)
		err = grace_maps(forget);
	if (err) {
		forget_free(forget);
		return err;
	}
	*ret = forget;
	return 0;
}

void forget_free(struct forget *forget)
{
	if (!forget)
		return;
	mapped_close(&forget->places);
	mapped_close(&forget->cells);
	mapped_close(&forget->carries);
	mapped_close(&forget->taken);
	mapped_close(&forget->recent);
	mapped_close(&forget->vacant);
	mapped_close(&forget->closing);
	mapped_close(&forget->next_id);
	if (forget->outer >= 0)
		(void)close(forget->outer);
	if (forget->inner >= 0)
		(void)close(forget->inner);
	free(forget);
}

static struct pm_closing *closing(const struct forget *forget, uint32_t id)
{
	return (struct pm_closing *)forget->closing.at + id;
}

static bool is_closed(const struct forget *forget, uint32_t id)
{
	return id && __atomic_load_n(&closing(forget, id)->service.id, __ATOMIC_ACQUIRE) == id;
}

/*
 * Wait for every program under way. A map in a map is the kernel's own way to let programs that do not sleep go: the system
 * call returns when all that may use the old one have ended (maybe_wait_bpf_programs(), kernel/bpf/syscall.c, since 5.0).
 * membarrier() would do on most hosts, but not with one CPU, nor with nohz_full.
 */
static int grace(const struct forget *forget)
{
	uint32_t first = 0;

	return bpf_map_update_elem(forget->outer, &first, &forget->inner, BPF_ANY) ? -errno : 0;
}

/* Has this process no thread that runs any more? It waits to be reaped, and its storage with it. */
static bool is_dead(const char *pid)
{
	char path[300], text[1024] = "", *at;
	long threads = 0;
	char state = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return true;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	(void)fclose(file);
	at = strrchr(text, ')'); /* the name may hold anything */
	if (!at)
		return true;
	if (sscanf(at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &state, &threads) != 2)
		return false;
	return (state == 'Z' || state == 'X') && threads <= 1;
}

/* The service that @pid holds, 0: none. Return: 0 or -errno. */
static int process_holds(int fd, const char *pid, uint32_t *ret)
{
	int handle = (int)syscall(SYS_pidfd_open, (pid_t)atoi(pid), 0), err = 0;
	struct pm_task task = { 0 };

	*ret = 0;
	if (handle < 0)
		return errno == ESRCH || errno == EINVAL ? 0 : -errno;
	/* This look-up waits for the storage's lock. One from a program gives up instead before Linux 6.2, where a program that
	 * it interrupted holds it, and would take a living process for one without a service. */
	if (!bpf_map_lookup_elem(fd, &handle, &task))
		*ret = task.service < PM_MAX_SERVICES ? task.service : 0;
	else if (errno != ENOENT && errno != ESRCH)
		err = -errno;
	(void)close(handle);
	return err;
}

int forget_living(const struct forget *forget, bool *ret)
{
	int fd = bpf_map__fd(forget->kernel->skeleton->maps.tasks), err = 0;
	bool held[PM_MAX_SERVICES] = { false };
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	uint32_t service;

	if (!proc)
		return -errno;
	/* /proc gives every process that lives from before to after, by rising pid. Who is born meanwhile holds nothing yet. */
	for (errno = 0; !err && (entry = readdir(proc)); errno = 0) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		err = process_holds(fd, entry->d_name, &service);
		if (!err && service && !held[service] && !is_dead(entry->d_name))
			held[service] = true;
	}
	if (!err && errno)
		err = -errno;
	(void)closedir(proc);
	if (!err)
		memcpy(ret, held, sizeof(held));
	return err;
}

int forget_close(struct forget *forget, const bool *id, const struct raw_service *service, size_t count,
		 uint64_t now_unix_ns)
{
	int fd = bpf_map__fd(forget->kernel->skeleton->maps.services);
	uint32_t i;
	size_t n;

	/* Before the first key goes: who finds none, and makes a service, reads this after that. */
	__atomic_store_n((uint64_t *)forget->next_id.at + PM_NEXT_SINCE, now_unix_ns, __ATOMIC_SEQ_CST);
	for (n = 0; n < count; n++) {
		uint32_t one = service[n].service.id;

		if (one >= PM_MAX_SERVICES || !id[one])
			continue;
		closing(forget, one)->key = service[n].key;
		closing(forget, one)->freeing = 0;
		closing(forget, one)->service = service[n].service;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (bpf_map_delete_elem(fd, &service[n].key) && errno != ENOENT)
			return -errno;
	}
	/* Those without a key. */
	for (i = 1; i < PM_MAX_SERVICES; i++)
		if (id[i] && !is_closed(forget, i))
			*closing(forget, i) = (struct pm_closing){ .service = { .id = i } };
	return grace(forget);
}

static void closed_end(struct forget *forget, uint32_t id)
{
	__atomic_store_n(&closing(forget, id)->service.id, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&closing(forget, id)->freeing, 0, __ATOMIC_RELEASE);
}

void forget_reopen(struct forget *forget, uint32_t id)
{
	int fd = bpf_map__fd(forget->kernel->skeleton->maps.services);
	struct pm_closing *from = closing(forget, id);

	/* Without a seal it had no key. */
	if (is_closed(forget, id) && from->service.seal &&
	    bpf_map_update_elem(fd, &from->key, &from->service, BPF_NOEXIST) && errno == EEXIST) {
		struct pm_service there = { 0 };
		struct pm_service_key nobody = from->key;

		nobody.process = ~(uint64_t)id;
		if (bpf_map_lookup_elem(fd, &from->key, &there) || there.id != id)
			(void)bpf_map_update_elem(fd, &nobody, &from->service, BPF_NOEXIST);
	}
	closed_end(forget, id);
}

int forget_fence(struct forget *forget)
{
	uint64_t *recent = forget->recent.at, seen;
	int err = grace(forget);
	uint32_t i;

	if (err)
		return err;
	for (i = 0; i < PM_MAX_TASKS; i++) {
		seen = __atomic_load_n(&recent[i], __ATOMIC_ACQUIRE);
		/* A program may put another service there at the same time: it is not overwritten. */
		if (seen && is_closed(forget, seen & (PM_MAX_SERVICES - 1)))
			(void)__atomic_compare_exchange_n(&recent[i], &seen, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	return grace(forget);
}

static void slots_free(const struct forget *forget, const bool *gone)
{
	const struct kernel *kernel = forget->kernel;
	struct pm_group *group = forget->places.at;
	struct pm_cell *cells = forget->cells.at;
	uint32_t slot, cpu;

	for (slot = 0; slot < kernel->slots; slot++) {
		struct pm_slot *place = &group[slot / PM_GROUP].slot[slot % PM_GROUP];
		uint64_t where = __atomic_load_n(&place->where, __ATOMIC_ACQUIRE);

		if (!where || !gone[PM_WHERE_SERVICE(where) & (PM_MAX_SERVICES - 1)])
			continue;
		for (cpu = 0; cpu < kernel->cpus; cpu++)
			cells[(size_t)cpu * kernel->slots + slot] = (struct pm_cell){ 0 };
		((uint64_t *)forget->carries.at)[slot] = 0;
		if (kernel->carried)
			kernel->carried[slot] = (struct pm_carried){ 0 };
		place->hash = 0;
		/* Who takes it sees all of the above. */
		__atomic_store_n(&place->where, 0, __ATOMIC_RELEASE);
	}
}

/* The pieces of one text, the last one first: if this agent is killed in between, the next one finds the rest. */
static void string_free(int fd, uint32_t owner, uint16_t field)
{
	struct pm_string_key key = { .owner = owner, .field = field };
	char piece[PM_PIECE];

	while (!bpf_map_lookup_elem(fd, &key, piece))
		key.piece++;
	while (key.piece--)
		(void)bpf_map_delete_elem(fd, &key);
}

/* The strings before the series, so that the next agent finds them by it if this one is killed in between. */
static void series_free(const struct forget *forget, const struct snapshot *snapshot, const bool *gone)
{
	int strings = bpf_map__fd(forget->kernel->skeleton->maps.strings);
	int series = bpf_map__fd(forget->kernel->skeleton->maps.series);
	uint16_t field;
	size_t i;

	for (i = 0; i < snapshot->series_count; i++) {
		const struct raw_series *one = &snapshot->series[i];

		if (!gone[one->key.service & (PM_MAX_SERVICES - 1)])
			continue;
		for (field = 0; field < PROBEMETER_MAX_LABELS; field++)
			string_free(strings, one->series.id, field);
		(void)bpf_map_delete_elem(series, &one->key);
	}
}

struct usages {
	const bool *gone;
	struct pm_usage_key *key;
	size_t count, room;
};

static int usage_note(void *context, const void *key, const void *value)
{
	struct usages *usages = context;
	struct pm_usage_key *grown;

	(void)value;
	if (!usages->gone[((const struct pm_usage_key *)key)->service & (PM_MAX_SERVICES - 1)])
		return 0;
	if (usages->count == usages->room) {
		grown = realloc(usages->key, (usages->room ? 2 * usages->room : 256) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		usages->key = grown;
		usages->room = usages->room ? 2 * usages->room : 256;
	}
	memcpy(&usages->key[usages->count++], key, sizeof(*usages->key));
	return 0;
}

static int usage_free(const struct forget *forget, const struct snapshot *snapshot, const bool *gone)
{
	int fd = bpf_map__fd(forget->kernel->skeleton->maps.usage);
	struct usages usages = { .gone = gone };
	int err = snapshot_walk(snapshot, fd, sizeof(struct pm_usage_key), sizeof(uint64_t), usage_note, &usages);
	size_t i;

	for (i = 0; i < usages.count && !err; i++)
		(void)bpf_map_delete_elem(fd, &usages.key[i]);
	free(usages.key);
	return err;
}

/* What was taken goes back to all. Killed just between the two, all have a little less than there is, until the maps go. */
static void taken_free(const struct forget *forget, uint32_t id)
{
	const size_t words = sizeof(struct pm_taken) / sizeof(uint64_t);
	uint64_t *taken = forget->taken.at, own;
	size_t i;

	for (i = 0; i < words; i++) {
		own = __atomic_exchange_n(&taken[id * words + i], 0, __ATOMIC_SEQ_CST);
		(void)__atomic_fetch_sub(&taken[i], own, __ATOMIC_SEQ_CST);
	}
}

static void id_free(struct forget *forget, uint32_t id)
{
	const uint8_t no = 0;
	uint16_t field;

	for (field = 0; field < PM_SERVICE_FIELDS; field++)
		string_free(bpf_map__fd(forget->kernel->skeleton->maps.strings), PM_OWNER_SERVICE | id, field);
	taken_free(forget, id);
	(void)bpf_map_update_elem(bpf_map__fd(forget->kernel->skeleton->maps.excluded), &id, &no, BPF_ANY);
	/* The bit last: the other way round, an agent killed in between would have the next one free an id that somebody has by
	 * then. This way it is an orphan. */
	closed_end(forget, id);
	(void)__atomic_fetch_or((uint64_t *)forget->vacant.at + id / 64, UINT64_C(1) << id % 64, __ATOMIC_SEQ_CST);
}

void forget_closed(const struct forget *forget, bool *ret)
{
	uint32_t id;

	for (id = 0; id < PM_MAX_SERVICES; id++)
		ret[id] = is_closed(forget, id);
}

int forget_give_back(struct forget *forget, const struct snapshot *snapshot, bool *ret)
{
	uint32_t id;
	int err;

	forget_closed(forget, ret);
	for (id = 0; id < PM_MAX_SERVICES; id++)
		if (ret[id])
			__atomic_store_n(&closing(forget, id)->freeing, 1, __ATOMIC_SEQ_CST);
	slots_free(forget, ret);
	series_free(forget, snapshot, ret);
	err = usage_free(forget, snapshot, ret);
	for (id = 0; id < PM_MAX_SERVICES && !err; id++)
		if (ret[id])
			id_free(forget, id);
	return err;
}

size_t forget_recover(struct forget *forget)
{
	size_t count = 0;
	uint32_t id;

	for (id = 1; id < PM_MAX_SERVICES; id++) {
		if (!is_closed(forget, id))
			continue;
		if (closing(forget, id)->freeing)
			count++;
		else
			forget_reopen(forget, id);
	}
	return count;
}

void forget_orphans(const struct forget *forget, const struct raw_service *service, size_t count, const bool *kept,
		    bool *ret)
{
	uint64_t made = __atomic_load_n((uint64_t *)forget->next_id.at + PM_NEXT_SERVICE, __ATOMIC_ACQUIRE);
	const uint64_t *vacant = forget->vacant.at;
	bool known[PM_MAX_SERVICES] = { false };
	uint32_t id;
	size_t i;

	for (i = 0; i < count; i++)
		known[service[i].service.id & (PM_MAX_SERVICES - 1)] = true;
	for (id = 1; id < PM_MAX_SERVICES && id <= made; id++)
		if (!known[id] && !kept[id] && !(__atomic_load_n(&vacant[id / 64], __ATOMIC_ACQUIRE) >> id % 64 & 1))
			ret[id] = true;
}
