/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * privilege.c - the table of needed capabilities.
 */
#include "privilege.h"

#include <cap-ng.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

const struct privilege privileges[] = {
	{ CAP_BPF, "CAP_BPF", "load the counting programs and their maps" },
	{ CAP_PERFMON, "CAP_PERFMON", "attach them to probe sites, hear of new processes" },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "read levels from the memory of services" },
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "read the executables of other users" },
	{ CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE", "open what a process has mapped, also replaced or in a container" },
};
const size_t privilege_count = sizeof(privileges) / sizeof(privileges[0]);

int privilege_held(const struct privilege *privilege)
{
	if (capng_get_caps_process())
		return 0;
	if (capng_have_capability(CAPNG_EFFECTIVE, (unsigned)privilege->capability))
		return 1;
	/* 5.8 and 5.9 split these off. */
	return (privilege->capability == CAP_BPF || privilege->capability == CAP_PERFMON ||
		privilege->capability == CAP_CHECKPOINT_RESTORE) &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
}

size_t privilege_missing(char *ret, size_t size)
{
	size_t missing = 0, used = 0, i;

	*ret = '\0';
	for (i = 0; i < privilege_count; i++) {
		if (privilege_held(&privileges[i]))
			continue;
		if (used < size)
			used += (size_t)snprintf(ret + used, size - used, "%s%s", missing ? ", " : "", privileges[i].name);
		missing++;
	}
	return missing;
}
