/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * service.bpf.h - which service does this event belong to.
 *
 * A process's service is settled at its first event, from what its exec gave it: the naming variables of its
 * environment, its executable, its cgroup. So a process that lives a millisecond counts under its own name, and a
 * forked worker under its master's. The answer is kept in the thread group leader's task storage.
 *
 * A process may write over its environment, as titles for `ps` do. So the variables are kept at exec, if a program sees
 * it (on_exec, on_fork); of a process that was there before, the environment is read where it was.
 *
 * Now and then it cannot be: the page is swapped out, or another thread writes to it right after a fork, and in the moment
 * between the old page and its copy there is none (wp_page_copy(), mm/memory.c). A program may not wait for it. Such an event
 * counts for a service that is this process's alone (key_unread()). Its name comes later: the first event at which the
 * variables can be had leaves them there, too, and a process that lives can be asked by the agent (userspace/owner.c).
 *
 * Nor is it certain that there is memory for task storage, or a run of on_exec: since Linux 7.0 it can be preempted, and is
 * left out for who execs on that CPU meanwhile; and since 6.19 storage comes from kmalloc_nolock(), which may give none, on a
 * CPU without cmpxchg16b never. Then the environment is read at the first event, and the answer kept in `recent` alone.
 *
 * Consumes the current task; produces a service id and, for a new service, what names it in `strings`.
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

/* Of processes with naming variables alone, and gone with them. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pm_started);
} started SEC(".maps");

/* By service id: 1 for those that rules exclude. What they fire before the agent says so is counted and never shown. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_MAX_SERVICES);
	__type(key, __u32);
	__type(value, __u8);
} excluded SEC(".maps");

/* Set before load. */
const volatile bool choose = false; /* rules exclude somebody */
const volatile bool per_process = false; /* each process is a service of its own */
const volatile bool by_uid = false; /* rules ask who it is */
const volatile __u32 pid_namespace = 0; /* the agent's, by inode; 0: the initial one, which has everybody */

/* The same, faster: by tgid modulo the size, one word with the service and a tag of the process's identity. Two processes
 * that share an entry take turns in it and find each other's tag wrong. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_MAX_TASKS);
	__uint(map_flags, BPF_F_MMAPABLE);
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

/* Ids given back by the agent, PM_VACANT_WORDS of 64 bits: set there, cleared here. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_VACANT_WORDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} vacant SEC(".maps");

/* The agent's own; no program touches it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PM_MAX_SERVICES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pm_closing);
} closing SEC(".maps");

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
	__u8 keep; /* store them with the task */
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
	/* The last byte, always NUL so far, says whether the variable goes on in the next piece. */
	text[PM_PIECE - 1] = inside;
	if (walk->owner && walk->piece < PM_SERVICE_PIECES) {
		struct pm_string_key key = { .owner = walk->owner, .piece = walk->piece };

		bpf_map_update_elem(&strings, &key, text, BPF_ANY);
	}
	if (walk->keep && walk->piece < PM_STARTED_PIECES) {
		struct pm_started *kept = bpf_task_storage_get(&started, bpf_get_current_task_btf()->group_leader, 0,
							       BPF_LOCAL_STORAGE_GET_F_CREATE);

		if (kept)
			__builtin_memcpy(kept->text[walk->piece & (PM_STARTED_PIECES - 1)], text, sizeof(text));
	}
	walk->piece++;
	return 0;
}

/*
 * Walk the environment string by string; long strings take several pieces. The naming variables are hashed in their
 * order and, on the second walk, stored as they stand. The memory is the process's own: it may change or be gone
 * between two reads. Whoever walks twice looks whether both found the same.
 */
static __always_inline void environment_walk(struct environment *walk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	int i;

	walk->unreadable = 0;
	walk->at = BPF_CORE_READ(task, mm, env_start);
	walk->end = BPF_CORE_READ(task, mm, env_end);
	walk->inside = 0;
	walk->piece = 0;
	walk->hash = 0;
	for (i = 0; i < ENVIRONMENT_CHUNKS; i++)
		if (environment_step(walk))
			break;
}

/* The variables kept at exec, from the task that is settled. */
static __always_inline struct pm_started *started_get(struct task_struct *leader)
{
	struct pm_started *kept = bpf_task_storage_get(&started, leader, 0, 0);

	return kept && kept->exec_id == leader->self_exec_id + 1 && kept->pieces <= PM_STARTED_PIECES ? kept : NULL;
}

struct text {
	__u32 owner;
	__u16 field;
	__u16 piece;
};

/* One component of a path, a name of the kernel's own. Not static, for the verifier's sake. */
__noinline int component_store(struct text *to, __u64 name)
{
	struct pm_string_key key = {};
	char piece[PM_PIECE];
	long n;
	int i;

	if (!to)
		return 0;
	key.owner = to->owner;
	key.field = to->field;
	for (i = 0; i < 255 / (PM_PIECE - 1) + 1 && to->piece < PM_SERVICE_PIECES; i++) {
		__builtin_memset(piece, 0, sizeof(piece));
		n = bpf_probe_read_kernel_str(piece, sizeof(piece), (void *)name);
		if (n <= 0)
			return 0;
		piece[PM_PIECE - 1] = n == sizeof(piece);
		key.piece = to->piece++;
		bpf_map_update_elem(&strings, &key, piece, BPF_ANY);
		if (n < (long)sizeof(piece))
			return 0;
		name += PM_PIECE - 1;
	}
	return 0;
}

#define PATH_DEPTH 32

/* Up through directories and mounts; what a process of another mount namespace calls the path. */
__noinline int executable_store(__u32 service)
{
	struct text to = { .owner = PM_OWNER_SERVICE | service, .field = PM_FIELD_EXECUTABLE };
	struct task_struct *task = bpf_get_current_task_btf();
	struct dentry *dentry = BPF_CORE_READ(task, mm, exe_file, f_path.dentry), *parent;
	struct vfsmount *mnt = BPF_CORE_READ(task, mm, exe_file, f_path.mnt);
	struct mount *mount, *above;
	int i;

	for (i = 0; i < PATH_DEPTH; i++) {
		if (dentry == BPF_CORE_READ(mnt, mnt_root)) {
			mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
			above = BPF_CORE_READ(mount, mnt_parent);
			if (above == mount)
				break;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mnt = (void *)above + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		parent = BPF_CORE_READ(dentry, d_parent);
		if (!parent || parent == dentry)
			break;
		component_store(&to, (__u64)BPF_CORE_READ(dentry, d_name.name));
		dentry = parent;
	}
	return 0;
}

/* The cgroup that says most: of cgroup v2, or where only v1's hierarchies are used the deepest of those. */
static __always_inline struct cgroup *cgroup_telling(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct cgroup *found = BPF_CORE_READ(set, dfl_cgrp), *other;
	int level = BPF_CORE_READ(found, level), its, i;
	struct cgroup_subsys_state *state;

	for (i = 0; i < 16 && i * sizeof(void *) < bpf_core_field_size(set->subsys); i++) {
		if (bpf_probe_read_kernel(&state, sizeof(state),
					  (void *)set + bpf_core_field_offset(struct css_set, subsys) + i * sizeof(void *)))
			break;
		other = BPF_CORE_READ(state, cgroup);
		its = BPF_CORE_READ(other, level);
		if (its > level) {
			found = other;
			level = its;
		}
	}
	return found;
}

__noinline int cgroup_store(__u32 service)
{
	struct text to = { .owner = PM_OWNER_SERVICE | service, .field = PM_FIELD_CGROUP };
	struct cgroup *cgroup = cgroup_telling();
	struct kernfs_node *node = BPF_CORE_READ(cgroup, kn), *above;
	int i;

	for (i = 0; i < PATH_DEPTH; i++) {
		if (bpf_core_field_exists(node->parent))
			above = BPF_CORE_READ(node, parent);
		else
			above = BPF_CORE_READ((struct kernfs_node___6_15 *)node, __parent);
		if (!above)
			break;
		component_store(&to, (__u64)BPF_CORE_READ(node, name));
		node = above;
	}
	return 0;
}

/* The variables' text, from where they were kept or from the environment; that is walked anew then, and @environment says
 * what was found. */
static __noinline int variables_store(struct environment *environment, struct task_struct *leader, __u32 service)
{
	struct pm_string_key key = { .owner = PM_OWNER_SERVICE | service };
	struct pm_started *kept = started_get(leader);
	__u32 i;

	if (!kept) {
		environment->owner = PM_OWNER_SERVICE | service;
		environment_walk(environment);
		return 0;
	}
	for (i = 0; i < PM_STARTED_PIECES && i < kept->pieces; i++) {
		key.piece = i;
		bpf_map_update_elem(&strings, &key, kept->text[i], BPF_ANY);
	}
	return 0;
}

#define PID_NAMESPACES 33 /* MAX_PID_NS_LEVEL, and the initial one */

/* The current process's number as the agent knows it. */
__noinline __u32 service_tgid(void)
{
	struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
	struct pid *pid = leader->thread_pid;
	struct pid_namespace *ns;
	__u32 level, i;
	void *at;

	if (!pid_namespace)
		return leader->tgid;
	level = BPF_CORE_READ(pid, level);
	for (i = 0; i < PID_NAMESPACES && i <= level; i++) {
		at = (void *)pid + bpf_core_field_offset(struct pid, numbers) + i * bpf_core_type_size(struct upid);
		ns = BPF_CORE_READ((struct upid *)at, ns);
		if (BPF_CORE_READ(ns, ns.inum) == pid_namespace)
			return BPF_CORE_READ((struct upid *)at, nr);
	}
	return PM_TGID_OUTSIDE | leader->tgid;
}

/*
 * The id of @key's service, 0 if there is none. The agent may delete the service meanwhile, and the kernel hands the memory
 * of a deleted element to the next one at once, under our eyes: then the id is another service's. The seal tells.
 * Between two deletions the agent waits for every hit under way, so that no hit sees more than one of them.
 */
static __always_inline __u32 service_find(const struct pm_service_key *key)
{
	struct pm_service *service = bpf_map_lookup_elem(&services, key);
	__u32 id;

	if (!service)
		return 0;
	id = *(volatile __u32 *)&service->id;
	return *(volatile __u64 *)&service->seal == pm_seal(key, id) ? id : 0;
}

static __always_inline __u32 bit_number(__u64 bit)
{
	return !!(bit & 0xaaaaaaaaaaaaaaaaull) | !!(bit & 0xccccccccccccccccull) << 1 | !!(bit & 0xf0f0f0f0f0f0f0f0ull) << 2 |
	       !!(bit & 0xff00ff00ff00ff00ull) << 3 | !!(bit & 0xffff0000ffff0000ull) << 4 |
	       !!(bit & 0xffffffff00000000ull) << 5;
}

/* An id that nobody has: one that was given back, or the next new one. Who clears the bit has it; who loses a race for one
 * goes on to the next word. Return: 0 if there is none. */
__noinline int service_id(void)
{
	__u32 next = PM_NEXT_SERVICE, i, number;
	__u64 *word, seen;

	for (i = 0; i < PM_VACANT_WORDS; i++) {
		number = i; /* @i stays in a register: on the stack 6.1 loses sight of it and takes this for a loop without end */
		word = bpf_map_lookup_elem(&vacant, &number);
		if (!word)
			return 0;
		seen = *(volatile __u64 *)word;
		seen &= -seen;
		if (seen && __sync_fetch_and_and(word, ~seen) & seen)
			return i * 64 + bit_number(seen);
	}
	word = bpf_map_lookup_elem(&next_id, &next);
	if (!word || *(volatile __u64 *)word >= PM_MAX_SERVICES - 1)
		return 0;
	seen = __sync_fetch_and_add(word, 1) + 1;
	return seen < PM_MAX_SERVICES ? seen : 0;
}

/* Let @fresh in, if nobody was faster. When services were forgotten last is read here, after the look-up that found
 * nothing: if this service is one of them, that time is already later than all that was sent of it. */
static __always_inline __u32 service_enter(struct pm_service_key *key, struct pm_service *fresh)
{
	__u32 made = PM_NEXT_MADE, since = PM_NEXT_SINCE;
	__u64 *word = bpf_map_lookup_elem(&next_id, &since);

	if (word)
		fresh->since_unix_ns = *(volatile __u64 *)word;
	fresh->seal = pm_seal(key, fresh->id);
	if (!bpf_map_update_elem(&services, key, fresh, BPF_NOEXIST)) {
		word = bpf_map_lookup_elem(&next_id, &made);
		if (word)
			__sync_fetch_and_add(word, 1);
		return fresh->id;
	}
	return service_find(key);
}

/* Where `recent` has the process. */
static __always_inline __u64 *recent_entry(__u32 tgid)
{
	__u32 at = tgid & (PM_MAX_TASKS - 1);

	return bpf_map_lookup_elem(&recent, &at);
}

/* Start time and tgid are a process, exec_id and user are what it became: 44 bits of their mix are taken for it. */
static __always_inline __u64 recent_tag(struct task_struct *leader, __u32 tgid)
{
	__u64 became = by_uid ? (bpf_get_current_uid_gid() << 32 | (leader->self_exec_id + 1)) : leader->self_exec_id + 1;

	return hash_add(leader->start_boottime + tgid, became) & ~SERVICE_MASK;
}

/* What the task storage has of this process as it is now. exec_id is stored plus one, so that fresh storage matches nothing. */
static __always_inline struct pm_task *task_known(struct task_struct *leader)
{
	struct pm_task *known = bpf_task_storage_get(&tasks, leader, 0, 0);

	if (!known || known->exec_id != leader->self_exec_id + 1 || (by_uid && known->uid != (__u32)bpf_get_current_uid_gid()))
		return NULL;
	return known;
}

/* All that was written before is seen by whoever then does not see to be written what is read after. */
static __always_inline void barrier_full(void)
{
	__u64 word = 0;

	*(volatile __u64 *)&word = __sync_fetch_and_add(&word, 1);
}

/* Remember @service for the process; 0: nothing. */
static __always_inline void task_note(struct task_struct *leader, __u32 service)
{
	struct pm_task *known = bpf_task_storage_get(&tasks, leader, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	__u64 *entry;

	if (known) {
		/* Another thread of the process may write the same words at the same time: they are equal. The id comes last, for
		 * a reader that sees the exec_id first. */
		known->service = service;
		known->uid = by_uid ? (__u32)bpf_get_current_uid_gid() : 0;
		barrier();
		known->exec_id = service ? leader->self_exec_id + 1 : 0;
		return;
	}
	entry = recent_entry(leader->tgid);
	if (entry)
		*(volatile __u64 *)entry = service ? recent_tag(leader, leader->tgid) | service : 0;
}

/* The service that another thread has settled for the process meanwhile; 0: none. */
static __always_inline __u32 task_noted(struct task_struct *leader)
{
	struct pm_task *known = task_known(leader);
	__u64 *entry = recent_entry(leader->tgid), seen = entry ? *(volatile __u64 *)entry : 0;

	if (known)
		return known->service;
	return (seen & ~SERVICE_MASK) == recent_tag(leader, leader->tgid) ? seen & SERVICE_MASK : 0;
}

/* Of this process alone, from this exec to the next, wherever it may be moved. */
static __always_inline void key_unread(struct pm_service_key *key, struct task_struct *leader)
{
	key->environment = PM_ENVIRONMENT_UNREAD;
	key->cgroup = 0;
	key->process = hash_add(hash_add(hash_add(1, leader->start_boottime), leader->tgid), leader->self_exec_id + 1);
}

/* Settle the current task's service; @metric is what it fires. 0: there is no room for another one. */
__noinline int service_settle(__u32 metric)
{
	struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
	struct environment environment = {};
	struct pm_service_key key = {};
	struct pm_service fresh = {};
	struct pm_started *kept = started_get(leader);
	struct inode *inode;
	struct cgroup *cgroup;
	__u32 id, other;
	bool unread;

	if (kept)
		environment.hash = kept->hash;
	else
		environment_walk(&environment);
	unread = environment.unreadable;
	key.environment = environment.hash;
	cgroup = cgroup_telling();
	key.cgroup = hash_add(hash_add(1, bpf_get_current_cgroup_id()), BPF_CORE_READ(cgroup, kn, id));
	inode = BPF_CORE_READ(leader, mm, exe_file, f_inode);
	key.inode = BPF_CORE_READ(inode, i_ino);
	key.device = BPF_CORE_READ(inode, i_sb, s_dev);
	fresh.uid = (__u32)bpf_get_current_uid_gid();
	if (by_uid)
		key.uid = fresh.uid;
	if (per_process)
		key.process = hash_add(hash_add(1, leader->start_boottime), leader->tgid);
	if (unread)
		key_unread(&key, leader);

	id = service_find(&key);
	if (!id) {
		/* Two tasks of one new service may both come here: each takes an id, BPF_NOEXIST lets one of them in, and the
		 * other id is given back by the agent. The names go in before the service, which is the agent's sign to read
		 * them. */
		fresh.id = service_id();
		fresh.tgid = service_tgid();
		fresh.start_ns = leader->start_boottime;
		fresh.metric = metric;
		if (!fresh.id)
			return 0;
		variables_store(&environment, leader, fresh.id);
		/* What is not what was hashed must not be the name of all that come after. */
		if (!unread && (environment.unreadable || environment.hash != key.environment)) {
			unread = true;
			key_unread(&key, leader);
		}
		cgroup_store(fresh.id);
		executable_store(fresh.id);
		id = service_enter(&key, &fresh);
		if (!id)
			return 0;
	}
	/* Not remembered if the environment could not be read: the next event tries again. But if another thread could, it has
	 * looked for this service before it was there, or remembered the right one by now. */
	if (unread) {
		barrier_full();
		other = task_noted(leader);
		return other ? other : id;
	}
	task_note(leader, id);
	barrier_full();
	key_unread(&key, leader);
	other = service_find(&key);
	if (other) {
		variables_store(&environment, leader, other);
		if (environment.unreadable)
			task_note(leader, 0);
	}
	return id;
}

/* After an exec: what the process was before is over, so that nobody takes its old service for living. And keep the variables that name, if there are any. */
SEC("tp_btf/sched_process_exec")
int on_exec(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct environment environment = { .keep = 1 };
	struct pm_started *kept;

	bpf_task_storage_delete(&tasks, task);
	environment_walk(&environment);
	if (!environment.piece || environment.unreadable) {
		bpf_task_storage_delete(&started, task);
		return 0;
	}
	kept = bpf_task_storage_get(&started, task, 0, 0);
	if (!kept)
		return 0;
	kept->hash = environment.hash;
	kept->pieces = environment.piece;
	kept->exec_id = task->self_exec_id + 1;
	return 0;
}

/* A child has its parent's environment, and what its parent did to it. It is not yet running, so nobody reads this. */
SEC("tp_btf/sched_process_fork")
int on_fork(__u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	struct pm_started *kept, *copy;

	if (child->tgid != child->pid)
		return 0; /* a thread */
	kept = bpf_task_storage_get(&started, parent->group_leader, 0, 0);
	if (!kept || kept->exec_id != parent->group_leader->self_exec_id + 1)
		return 0;
	copy = bpf_task_storage_get(&started, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (copy)
		bpf_probe_read_kernel(copy, sizeof(*copy), kept);
	return 0;
}

/* Not in the fast table. */
static __noinline int service_look(struct task_struct *leader, __u64 *entry, __u64 tag, __u32 metric)
{
	struct pm_task *known;
	__u32 service;

	if (!leader || !entry)
		return 0;
	known = task_known(leader);
	if (!known)
		return service_settle(metric); /* the next event finds it in the task storage, if it is settled for good */
	service = known->service;
	/* One store of one word: a reader sees this process's entry or another's, never half of each. */
	*(volatile __u64 *)entry = tag | service;
	return service;
}

static __always_inline __u32 service_current(__u32 metric)
{
	struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
	__u32 tgid = leader->tgid;
	__u64 tag = recent_tag(leader, tgid), *entry = recent_entry(tgid), seen;

	if (!entry)
		return 0;
	seen = *(volatile __u64 *)entry;
	if ((seen & ~SERVICE_MASK) == tag)
		return seen & SERVICE_MASK;
	return service_look(leader, entry, tag, metric);
}

static __always_inline bool service_excluded(__u32 service)
{
	__u8 *entry = choose ? bpf_map_lookup_elem(&excluded, &service) : NULL;

	return entry && *entry;
}

#endif
