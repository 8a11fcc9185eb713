/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * service.bpf.h - which service does this event belong to.
 *
 * A process's service is settled at its first event, from what its exec gave it: the naming variables of its
 * environment, its executable, its cgroup. So a process that lives a millisecond counts under its own name, and a
 * forked worker under its master's. The answer is kept in the thread group leader's task storage.
 *
 * Consumes the current task; produces a service id and, for a new service, its variables in `strings`.
 * What a service is called is the agent's business.
 */
#ifndef PROBEMETER_SERVICE_BPF_H
#define PROBEMETER_SERVICE_BPF_H

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pm_task);
} tasks SEC(".maps");

/* The same, faster: by tgid modulo the size, one word with the service and a tag of the process's identity. Two processes
 * that share an entry take turns in it and find each other's tag wrong. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_MAX_TASKS);
	__type(key, __u32);
	__type(value, __u64);
} recent SEC(".maps");
#define SERVICE_BITS 20
#define SERVICE_MASK ((1ull << SERVICE_BITS) - 1)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_MAX_SERVICES);
	__type(key, struct pm_service_key);
	__type(value, struct pm_service);
} services SEC(".maps");

#define ENVIRONMENT_CHUNKS 1000 /* of 63 bytes at most: the names of a service stand in the first 60 KiB, or not at all */

/* Does @text (8-aligned) start with @name? Word by word without a branch, as the verifier walks every path. */
static __always_inline int starts(const char *text, const char *name, int size)
{
	__u64 differ = 0, want;
	int i;

#pragma unroll
	for (i = 0; i < size; i += 8) {
		want = 0;
		__builtin_memcpy(&want, name + i, size - i < 8 ? size - i : 8);
		differ |= (*(const __u64 *)(text + i) ^ want) & (size - i < 8 ? (1ull << (size - i) * 8) - 1 : ~0ull);
	}
	return !differ;
}
#define IS(text, name) starts(text, name "=", sizeof(name "=") - 1)

struct environment {
	__u64 at, end;
	__u64 hash;
	__u32 owner; /* store the variables under this owner, 0: only hash */
	__u32 piece;
	__u8 naming; /* inside a variable that names */
	__u8 inside; /* inside any string */
	__u8 unreadable;
};

static __always_inline __u64 hash_add(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0xd1342543de00a4cdull;
	return hash ^ hash >> 29;
}

/* One piece of one string. Not static, so that the verifier looks at it once and not at every turn of the loop.
 * Return: 0 to go on, 1 at the end. */
__noinline int environment_step(struct environment *walk)
{
	char text[PM_PIECE] __attribute__((aligned(8))) = {};
	bool inside;
	long n;
	int i;

	if (!walk || walk->at >= walk->end)
		return 1;
	n = bpf_probe_read_user_str(text, sizeof(text), (void *)walk->at);
	if (n <= 0) {
		walk->unreadable = 1;
		return 1;
	}
	if (!walk->inside)
		walk->naming = IS(text, "OTEL_SERVICE_NAME") | IS(text, "OTEL_RESOURCE_ATTRIBUTES") |
			       IS(text, "TRACING_SERVICE_NAME");
	inside = n == sizeof(text); /* or it ends just here: then the next read finds its NUL */
	walk->inside = inside;
	walk->at += inside ? n - 1 : n;
	if (!walk->naming)
		return 0;
	for (i = 0; i < PM_PIECE / 8; i++)
		walk->hash = hash_add(walk->hash, ((__u64 *)text)[i]);
	if (walk->owner && walk->piece < PM_SERVICE_PIECES) {
		struct pm_string_key key = { .owner = walk->owner, .piece = walk->piece++ };

		/* The last byte, always NUL so far, says whether the variable goes on in the next piece. */
		text[PM_PIECE - 1] = inside;
		bpf_map_update_elem(&strings, &key, text, BPF_ANY);
	}
	return 0;
}

/*
 * Walk the environment string by string; long strings take several pieces. The naming variables are hashed in their
 * order and, on the second walk, stored as they stand. The memory is the process's own: it may change or be gone
 * between two reads, and then the two walks differ, which misnames that process and no other.
 */
static __always_inline void environment_walk(struct environment *walk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	int i;

	walk->at = BPF_CORE_READ(task, mm, env_start);
	walk->end = BPF_CORE_READ(task, mm, env_end);
	walk->inside = 0;
	walk->hash = 0;
	for (i = 0; i < ENVIRONMENT_CHUNKS; i++)
		if (environment_step(walk))
			break;
}

/* Settle the current task's service. 0: there is no room for another one. */
__noinline int service_settle(void)
{
	struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
	struct environment environment = {};
	struct pm_service_key key = {};
	struct pm_service fresh = {}, *service;
	struct pm_task *known;
	struct inode *inode;
	__u32 next = PM_NEXT_SERVICE;
	__u64 *counter;

	environment_walk(&environment);
	key.environment = environment.hash;
	key.cgroup = bpf_get_current_cgroup_id();
	inode = BPF_CORE_READ(leader, mm, exe_file, f_inode);
	key.inode = BPF_CORE_READ(inode, i_ino);
	key.device = BPF_CORE_READ(inode, i_sb, s_dev);

	service = bpf_map_lookup_elem(&services, &key);
	if (!service) {
		counter = bpf_map_lookup_elem(&next_id, &next);
		if (!counter)
			return 0;
		/* Two tasks of one new service may both come here: each takes an id, BPF_NOEXIST lets one of them in, and
		 * the other id stays unused. The names go in before the service, which is the agent's sign to read them. */
		fresh.id = __sync_fetch_and_add(counter, 1) + 1;
		fresh.tgid = leader->tgid;
		fresh.start_ns = leader->start_boottime;
		if (fresh.id >= PM_MAX_SERVICES)
			return 0;
		environment.owner = PM_OWNER_SERVICE | fresh.id;
		environment_walk(&environment);
		bpf_map_update_elem(&services, &key, &fresh, BPF_NOEXIST);
		service = bpf_map_lookup_elem(&services, &key);
		if (!service)
			return 0;
	}
	/* Not remembered if the environment could not be read: the next event tries again. */
	if (!environment.unreadable) {
		known = bpf_task_storage_get(&tasks, leader, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (known) {
			/* Another thread of the process may write the same two words at the same time: they are equal. The id
			 * comes last, for a reader that sees the exec_id first. */
			known->service = service->id;
			barrier();
			known->exec_id = leader->self_exec_id + 1;
		}
	}
	return service->id;
}

/* Not in the fast table. */
static __noinline int service_look(struct task_struct *leader, __u64 *entry, __u64 tag)
{
	struct pm_task *known;
	__u32 service;

	if (!leader || !entry)
		return 0;
	known = bpf_task_storage_get(&tasks, leader, 0, 0);
	/* exec_id is stored plus one, so that fresh storage matches nothing. */
	if (!known || known->exec_id != leader->self_exec_id + 1)
		return service_settle(); /* the next event finds it in the task storage, if it is settled for good */
	service = known->service;
	/* One store of one word: a reader sees this process's entry or another's, never half of each. */
	*(volatile __u64 *)entry = tag | service;
	return service;
}

static __always_inline __u32 service_current(void)
{
	struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
	__u32 tgid = leader->tgid, at = tgid & (PM_MAX_TASKS - 1);
	/* Start time and tgid are a process, exec_id is what it became: 44 bits of their mix are taken for it. */
	__u64 tag = hash_add(leader->start_boottime + tgid, leader->self_exec_id + 1) & ~SERVICE_MASK;
	__u64 *entry = bpf_map_lookup_elem(&recent, &at), seen;

	if (!entry)
		return 0;
	seen = *(volatile __u64 *)entry;
	if ((seen & ~SERVICE_MASK) == tag)
		return seen & SERVICE_MASK;
	return service_look(leader, entry, tag);
}

#endif
