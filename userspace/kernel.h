/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.h - the BPF programs and maps of this agent, loaded.
 */
#ifndef PROBEMETER_KERNEL_H
#define PROBEMETER_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include <bpf/bpf.h>

#include "journal.h"

/* What Debian 12's headers do not have yet (Linux 6.6, include/uapi/linux/bpf.h). */
#define KERNEL_UPROBE_MULTI ((enum bpf_attach_type)48) /* BPF_TRACE_UPROBE_MULTI */

struct bpf_program;
struct pm_carried;
struct pm_cell;
struct pm_group;
struct pins;
struct probe_bpf;

/* How probes are linked: one link for many sites (Linux 6.6), or a perf event each. */
enum kernel_links { KERNEL_LINKS_AUTO, KERNEL_LINKS_UPROBE_MULTI, KERNEL_LINKS_PERF_EVENT };

/* How much room the maps get. */
struct kernel_limits {
	uint32_t cells; /* a power of two */
	uint32_t series;
	uint32_t services;
	uint32_t series_per_metric; /* per metric and service, the overflow series included */
	uint32_t pieces; /* of label values, PM_PIECE bytes each; 0: three per series */
	/* What one service may have of each; 0: a quarter of the cells, half of the others. */
	uint32_t service_cells, service_series, service_pieces;
	bool trims; /* some labels are left out: load the programs for that, too */
	uint64_t trimming; /* a hash of the rules by which metrics and labels are left out: by others, others are attached */
	bool per_process; /* each process is a service of its own */
	bool choose; /* there may be services that are not counted */
	bool by_uid; /* processes of two users are two services */
};

struct kernel {
	struct probe_bpf *skeleton;
	struct kernel_limits limits;
	enum kernel_links links; /* never AUTO */
	uint32_t cpus; /* kernel_cpus(): cells have that many rows */
	uint32_t slots;
	uint64_t salt;
	struct pm_group *places; /* the kernel's own, mapped: [slots / PM_GROUP]; only handover_*.c write to them */
	const struct pm_cell *cells; /* likewise: [cpus][slots] */
	const uint64_t *carries; /* likewise: [slots] */
	struct pm_carried *carried; /* likewise: [slots], then drops; NULL: nothing was. forget.c takes out what is forgotten */
	struct journal journal; /* likewise, and ours to write; empty if the maps are new */
};

/* Highest possible CPU number plus one, as the numbers may have holes: rows of cells. */
uint32_t kernel_cpus(void);

/* Bytes of kernel memory that these limits allow at most, on a host with @cpus possible CPUs. */
uint64_t kernel_bytes(const struct kernel_limits *asked, uint32_t cpus);

/* Those of them that only what another generation counted takes, after a handover. */
uint64_t kernel_bytes_carried(const struct kernel_limits *limits);

/* Bytes that the kernel says its maps take now ("memlock" of their fdinfo). */
uint64_t kernel_bytes_now(const struct kernel *kernel);

/* @limits with a number for each that was 0. */
struct kernel_limits kernel_limits_settle(const struct kernel_limits *limits);

/* What this host gets if nobody says otherwise: cells for all CPUs take at most 64 MiB. */
struct kernel_limits kernel_limits_default(void);

/* Name of the schema of such maps, a directory of pins.h: equal names, equal layout. @links: not AUTO. */
#define KERNEL_SCHEMA 32
void kernel_schema(const struct kernel_limits *limits, enum kernel_links links, char ret[KERNEL_SCHEMA]);

/**
 * kernel_load - load programs and maps
 * @asked:  room
 * @links:  the programs are made for one kind; AUTO takes the best this kernel has
 * @pins:   where the maps are to be pinned by kernel_pin(), or taken from if @pins->adopted; NULL: they end with the last
 *          link and with us
 * @ret:    untouched on failure
 *
 * Return: 0 or -errno; -EPERM without the capabilities; -EBADMSG if the pinned maps are not what their path says. The
 * caller says what to do about it.
 */
int kernel_load(const struct kernel_limits *asked, enum kernel_links links, const struct pins *pins,
		struct kernel *ret);

/* Have new maps outlive us. Return: 0 or -errno: then they do not. */
int kernel_pin(const struct kernel *kernel, const struct pins *pins);

/* See execs and forks from now on, where @pins are persistent also when no agent runs. Where the kernel lets nobody,
 * processes are named all the same, but for those that write over their environment before they are looked at. */
void kernel_watch(struct kernel *kernel, const struct pins *pins);

/* Of a file on overlayfs, give the device (major << 32 | minor) and inode of the file below it, on which probes lie; of any
 * other file, and where the kernel cannot tell (before 5.17), change nothing. */
void kernel_file(const struct kernel *kernel, int fd, uint64_t *device, uint64_t *inode);

void kernel_free(struct kernel *kernel);

/* One place to probe: file offsets, @semaphore 0 for none. */
struct kernel_site {
	uint64_t offset;
	uint64_t semaphore;
	uint64_t cookie;
};

/* Totals of an earlier generation, a map of kernel_carried_entries(), are ours from now on. Return: 0 or -ENOMEM. */
int kernel_carried_map(struct kernel *kernel, int fd);
uint32_t kernel_carried_entries(const struct kernel *kernel);

/**
 * kernel_link_multi - one link for many sites of one file, in every process
 * @fd:   the file
 * @site: probed in this order
 *
 * Return: descriptor of the link, or -errno.
 */
int kernel_link_multi(int program_fd, int fd, const struct kernel_site *site, uint32_t count);

/* The same for one site, by a perf event that lives as long as the link. */
int kernel_link_event(int program_fd, int fd, const struct kernel_site *site);

#endif
