/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * privilege.c - the table of capabilities, and dropping all others.
 *
 * Perf events on probe sites asked for CAP_PERFMON from 5.8 on; 6.16 went back to CAP_SYS_ADMIN, as whoever may put a
 * breakpoint anywhere can break any program, and updates of older kernels follow. Links of uprobe_multi (6.6) do not ask.
 * So where there are only perf events, CAP_SYS_ADMIN is kept.
 *
 * CAP_SYS_RESOURCE is not among them: no kernel that the agent runs on (5.15 or newer) charges BPF maps to RLIMIT_MEMLOCK,
 * and the rings of perf events fit into what every user may lock, or are made smaller.
 */
#include "privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct privilege privileges[] = {
	{ CAP_BPF, "CAP_BPF", "load the counting programs and their maps", .guard = false },
	{ CAP_PERFMON, "CAP_PERFMON", "attach them to probe sites, hear of new processes", .guard = false },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "see what processes have mapped, read levels from their memory", .guard = true },
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "read the executables of other users", .guard = true },
	{ CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE", "open what a process has mapped, also replaced or in a container",
	  .guard = false },
	{ CAP_LEASE, "CAP_LEASE", "be asked before an attached library of another user is written over in place", .guard = true,
	  .optional = true, .without = "who runs such a library may crash; replace libraries by rename, as package managers do" },
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "attach where the kernel has only perf events for it (before Linux 6.6)", .events = true,
	  .optional = true, .without = "kernels with the updates of 2025 refuse" },
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

bool privilege_events(void)
{
	return !capng_get_caps_process() && capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
}

int privilege_drop(enum privilege_user user)
{
	int select = CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT;
	bool keep[CAP_LAST_CAP + 1] = { false };
	unsigned i;

	if (capng_get_caps_process())
		return -EPERM;
	for (i = 0; i < privilege_count; i++) {
		int capability = privileges[i].capability;

		if (user == PRIVILEGE_GUARD ? !privileges[i].guard : user != PRIVILEGE_AGENT_EVENTS && privileges[i].events)
			continue;
		if (capng_have_capability(CAPNG_EFFECTIVE, (unsigned)capability))
			keep[capability] = true;
		else if (is_split_off(capability))
			keep[CAP_SYS_ADMIN] |= capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
	}
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		select |= CAPNG_SELECT_BOUNDS;
	capng_clear(CAPNG_SELECT_ALL);
	for (i = 0; i <= CAP_LAST_CAP; i++)
		if (keep[i])
			(void)capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, i);
	if (capng_apply((capng_select_t)select))
		return -EPERM;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

int privilege_pass(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	uint32_t bit;
	size_t i;
	int word;

	if (syscall(SYS_capget, &header, data))
		return -errno;
	for (i = 0; i < privilege_count; i++) {
		word = CAP_TO_INDEX(privileges[i].capability);
		bit = privileges[i].guard ? CAP_TO_MASK(privileges[i].capability) : 0;
		data[word].inheritable |= data[word].permitted & bit;
	}
	if (syscall(SYS_capset, &header, data))
		return -errno;
	for (i = 0; i < privilege_count; i++)
		if (privileges[i].guard)
			(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, privileges[i].capability, 0, 0);
	return 0;
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
