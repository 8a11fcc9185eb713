/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * kernel.h - the few kernel fields the programs read, relocated by CO-RE at load.
 *
 * Written by hand rather than dumped from a running kernel, so that the build is the same everywhere and needs no BTF.
 */
#ifndef PROBEMETER_KERNEL_H
#define PROBEMETER_KERNEL_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	__u32 s_dev;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
};

struct mm_struct {
	unsigned long env_start;
	unsigned long env_end;
	struct file *exe_file;
};

struct task_struct {
	int tgid;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	__u64 self_exec_id;
	__u64 start_boottime; /* 5.5 */
};

#pragma clang attribute pop

#endif
