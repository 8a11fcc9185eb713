/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * file.bpf.h - which file a mapping of the agent's own really is.
 *
 * Two overlayfs mounts of one lower file show two files, and uprobes are put on the one below: attaching through both
 * would count twice. A mapping's own file is the one below, so the agent maps a file, runs this once, and asks.
 */
#ifndef PROBEMETER_FILE_BPF_H
#define PROBEMETER_FILE_BPF_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pm_file);
} mapped SEC(".maps");

static long file_note(struct task_struct *task, struct vm_area_struct *vma, struct pm_file *to)
{
	struct inode *inode = BPF_CORE_READ(vma, vm_file, f_inode);

	(void)task;
	to->address = (__u64)inode;
	to->inode = BPF_CORE_READ(inode, i_ino);
	to->device = BPF_CORE_READ(inode, i_sb, s_dev);
	to->magic = BPF_CORE_READ(inode, i_sb, s_magic);
	return 0;
}

/* Run by BPF_PROG_TEST_RUN in the agent, with an address of its memory. Needs Linux 5.17. */
SEC("raw_tp")
int file_real(__u64 *ctx)
{
	struct pm_file file = {};
	__u32 first = 0;

	bpf_find_vma(bpf_get_current_task_btf(), ctx[0], file_note, &file, 0);
	bpf_map_update_elem(&mapped, &first, &file, BPF_ANY);
	return 0;
}

#endif
