/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * privilege.c - the table of capabilities, and dropping all others.
 *
 * CAP_SYS_RESOURCE is not among them: no kernel that the agent runs on (5.15 or newer) charges BPF maps to RLIMIT_MEMLOCK,
 * and the rings of perf events fit into what every user may lock, or are made smaller.
 */
#include "privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>

const struct privilege privileges[] = {
	{ CAP_BPF, "CAP_BPF", "load the counting programs and their maps", false, NULL },
	{ CAP_PERFMON, "CAP_PERFMON", "attach them to probe sites, hear of new processes", false, NULL },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "see what processes have mapped, read levels from their memory", false, NULL },
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "read the executables of other users", false, NULL },
	{ CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE", "open what a process has mapped, also replaced or in a container",
	  false, NULL },
	{ CAP_LEASE, "CAP_LEASE", "be asked before an attached library of another user is written over in place", true,
	  "who runs such a library may crash; replace libraries by rename, as package managers do" },
};
const size_t privilege_count = sizeof(privileges) / sizeof(privileges[0]);

/* Split off from CAP_SYS_ADMIN in 5.8 and 5.9: what starts containers may be too old to give them by name. */
static bool is_split_off(int capability)
{
	return capability == CAP_BPF || capability == CAP_PERFMON || capability == CAP_CHECKPOINT_RESTORE;
}

bool privilege_held(const struct privilege *privilege)
{
	if (capng_get_caps_process())
		return false;
	return capng_have_capability(CAPNG_EFFECTIVE, (unsigned)privilege->capability) ||
	       (is_split_off(privilege->capability) && capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN));
}

size_t privilege_missing(char *ret, size_t size)
{
	size_t missing = 0, used = 0, i;

	*ret = '\0';
	for (i = 0; i < privilege_count; i++) {
		if (privileges[i].optional || privilege_held(&privileges[i]))
			continue;
		if (used < size)
			used += (size_t)snprintf(ret + used, size - used, "%s%s (to %s)", missing ? "; " : "",
						 privileges[i].name, privileges[i].why);
		missing++;
	}
	return missing;
}

int privilege_drop(void)
{
	int select = CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT;
	bool keep[CAP_LAST_CAP + 1] = { false };
	unsigned i;

	if (capng_get_caps_process())
		return -EPERM;
	for (i = 0; i < privilege_count; i++) {
		int capability = privileges[i].capability;

		if (capng_have_capability(CAPNG_EFFECTIVE, (unsigned)capability))
			keep[capability] = true;
		else if (is_split_off(capability))
			keep[CAP_SYS_ADMIN] = capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
	}
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		select |= CAPNG_SELECT_BOUNDS;
	capng_clear(CAPNG_SELECT_ALL);
	for (i = 0; i <= CAP_LAST_CAP; i++)
		if (keep[i])
			(void)capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, i);
	if (capng_apply((capng_select_t)select))
		return -EPERM;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

void privilege_document(FILE *out)
{
	size_t i;

	fprintf(out, "| capability | to |\n|---|---|\n");
	for (i = 0; i < privilege_count; i++)
		fprintf(out, "| `%s` | %s%s%s |\n", privileges[i].name, privileges[i].why,
			privileges[i].optional ? "; without it the agent runs, and " : "",
			privileges[i].optional ? privileges[i].without : "");
}
