/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * torn - threads that fire the same series without a pause, each event like the last: who reads them in between can tell
 * a count and a sum that are not of one moment.
 *
 *   torn THREADS
 *
 * Commands on stdin, each answered by one line of JSON: run; halt, with how many rounds were fired in all. A round adds 3 to
 * torn.count, records 0.5 in torn.time and 8 in torn.large.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBEMETER_SCOPE "Torn"
#include <probemeter/probemeter.h>

PROBEMETER_COUNTER(torn_count, "torn.count", "1", "Threes", "kind")
PROBEMETER_HISTOGRAM(torn_time, "torn.time", "s", "Halves", "kind")
PROBEMETER_HISTOGRAM(torn_large, "torn.large", "s", "Eights", "kind")

#define MOST 64

static atomic_bool halt;
static atomic_ulong rounds;

static void *work(void *nothing)
{
	while (!halt) {
		PROBEMETER_ADD(torn_count, 3, "same");
		PROBEMETER_RECORD(torn_time, 0.5, "same");
		PROBEMETER_RECORD(torn_large, 8, "same");
		rounds++;
	}
	return nothing;
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, running = 0;
	pthread_t thread[MOST];
	char line[32];

	if (!count || count > MOST)
		return 2;
	printf("{\"ready\": 1}\n");
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		halt = strncmp(line, "run", 3) != 0;
		while (!halt && running < count)
			if (pthread_create(&thread[running++], NULL, work, NULL))
				return 1;
		while (halt && running)
			(void)pthread_join(thread[--running], NULL);
		printf("{\"rounds\": %lu}\n", (unsigned long)rounds);
		(void)fflush(stdout);
	}
	return 0;
}
