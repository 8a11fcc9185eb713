/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mapped.c - an array of the kernel's as memory of this process. What the words in it mean, and who else writes to them, is
 * for those who map it.
 */
#include "mapped.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int mapped_open(const struct bpf_map *map, struct mapped *ret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = (size_t)bpf_map__max_entries(map) * ((bpf_map__value_size(map) + 7) / 8 * 8);
	void *at;

	size = (size + page - 1) / page * page;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (at == MAP_FAILED)
		return -errno;
	*ret = (struct mapped){ .at = at, .size = size };
	return 0;
}

void mapped_close(struct mapped *mapped)
{
	if (mapped->at)
		(void)munmap(mapped->at, mapped->size);
	*mapped = (struct mapped){ 0 };
}
