/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * files.c - how many file descriptors this process may have, and whether some are left.
 *
 * Consumes its limits, and tries; produces yes or no. What that means is said by who asks: a lack of descriptors shows in many
 * places, in some of them in disguise (libbpf reads a feature that cannot be tried as one that the kernel lacks).
 */
#include "files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernel.h"

#define FILES_START 96 /* with nothing to count it has about 65 */
#define FILES_PER_CPU 2
#define FILES_TRIED 16

unsigned files_least(void)
{
	return FILES_START + FILES_PER_CPU * kernel_cpus();
}

bool files_may(unsigned count, unsigned long long *ret_limit)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return true;
	*ret_limit = limit.rlim_max;
	return limit.rlim_max >= count;
}

/* An object's descriptor and links stay open, and where links are perf events there are two per site. */
void files_allow(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

bool files_left(unsigned count)
{
	int tried[FILES_TRIED], pair[2];
	unsigned had = 0;
	bool left;

	count = count < FILES_TRIED ? count : FILES_TRIED;
	if (pipe2(pair, O_CLOEXEC))
		return false;
	while (had + 2 < count && (tried[had] = fcntl(pair[0], F_DUPFD_CLOEXEC, 0)) >= 0)
		had++;
	left = had + 2 >= count;
	while (had)
		(void)close(tried[--had]);
	(void)close(pair[0]);
	(void)close(pair[1]);
	return left;
}
