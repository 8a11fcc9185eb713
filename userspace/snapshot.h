/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot.h - the kernel's maps at one moment, in plain arrays.
 */
#ifndef PROBEMETER_SNAPSHOT_H
#define PROBEMETER_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "../bpf/maps.h"
#include "kernel.h"
#include "filled.h"

struct raw_cell {
	struct pm_cell_key key;
	struct pm_cell total; /* over all CPUs, modulo 2^64 */
	uint64_t high; /* of the sum: how often 2^64 */
};

struct raw_series {
	struct pm_series_key key;
	struct pm_series series;
};

struct raw_service {
	struct pm_service_key key;
	struct pm_service service;
};

/* The arrays are reused from one reading to the next. */
struct snapshot {
	struct raw_cell *cell; /* by service, metric, hash, bucket */
	size_t cell_count;
	struct raw_series *series; /* by service, metric, hash */
	size_t series_count;
	struct raw_service *service;
	size_t service_count;
	uint64_t made; /* services made, plus one; 0: read them again */
	uint64_t *drop; /* PM_DROP_INDEX() */
	/* Room, kept between readings. */
	size_t cell_room, series_room, service_room;
	struct filled filled; /* where the cells are */
	void *key_buffer, *value_buffer;
};

/**
 * snapshot_read - read everything
 * @metrics: how many are known; drops of others are not read
 * @ret:     zeroed before the first use; its arrays are replaced
 *
 * Cells first, then series, then services: whatever a cell refers to is then there.
 *
 * Return: 0 or -errno; after a failure the contents are not to be used.
 */
int snapshot_read(const struct kernel *kernel, uint32_t metrics, struct snapshot *ret);

/* Hand every element of a hash map to @each, until that returns other than 0. Room is that of a @snapshot read before. */
int snapshot_walk(const struct snapshot *snapshot, int fd, size_t key_size, size_t value_size,
		  int (*each)(void *context, const void *key, const void *value), void *context);

/* Only the services; cheap when there is no new one. */
int snapshot_read_services(const struct kernel *kernel, struct snapshot *ret);

/* Hits by service id, to @ret (shape [PM_MAX_SERVICES]). */
void snapshot_hits(const struct snapshot *snapshot, uint64_t *ret);

void snapshot_free(struct snapshot *snapshot);

/* The order of cells and series: by service, metric and hash. */
int snapshot_order(uint64_t where_a, uint64_t hash_a, uint64_t where_b, uint64_t hash_b);

/* The same for whole cells: then by bucket. */
int snapshot_cell_order(const struct pm_cell_key *a, const struct pm_cell_key *b);

/* One stored string (a label value of @owner's, or a service's variables), its pieces joined, NUL-terminated.
 * @room: bytes in @ret. Return: length, or -ENOENT. */
long snapshot_string(const struct kernel *kernel, uint32_t owner, uint16_t field, char *ret, size_t room);

#endif
