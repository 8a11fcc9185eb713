/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shortage.c - what is given up first when something runs out, and what never is.
 *
 * Consumes the outcome of what is tried again and again; produces a line of the log when it begins to fail and one when that
 * is over, and the table in scripts/docs/operating.md. The order is the same everywhere: first how soon something is told, then how
 * finely, then what outlives the agent, then the agent. A service waits for none of it: it fires into maps that have their
 * room from the start.
 */
#include "shortage.h"

#include <string.h>
#include <unistd.h>

#include "log.h"

static const struct row {
	const char *what;
	const char *order; /* what is given up, the first thing first */
	const char *kept;
	const char *log; /* what a line of the log has; NULL: there is none */
	const char *remedy;
} rows[] = {
	{ "the collector", "the moments in between: totals go with the next export, deltas grow into one; with the agent's end and "
	  "without pins also what was not taken",
	  "every count; memory stays as it is, however long it lasts", SHORTAGE_LOG_COLLECTOR, "bring it back; nothing else is to be done" },
	{ "standard output of exporter console: a full disk, a closed pipe", "what would have been printed; the next print has the same totals",
	  "every count; all other exporters", SHORTAGE_LOG_CONSOLE, "make room, or leave console out of --exporter" },
	{ "memory of the agent", "exports and answers, which are tried again; then new files, which are attached later; then the agent "
	  "itself, which its service manager starts again", "counting: in the kernel, and with pins over the agent's end",
	  SHORTAGE_LOG_TRIES "; " SHORTAGE_LOG_END, "raise MemoryMax= of its unit, or lower --max-series" },
	{ "memory of the kernel, at the start", "this agent, which ends with status 1", "what an earlier one attached counts on",
	  SHORTAGE_LOG_START, "lower --max-memory, or raise MemoryMax= of its unit" },
	{ "memory of the kernel, while counting", "names of new label sets, which count in their metric's overflow series; then new "
	  "services, which are a named drop", "series that are there: their cells were made at the start", NULL,
	  "raise MemoryMax= of the agent's unit" },
	{ "file descriptors", "new files, which are attached later; with too few for its own maps and links this agent, which ends with status 1",
	  "what is attached", SHORTAGE_LOG_FILES "; " SHORTAGE_LOG_ATTACH, "raise LimitNOFILE= of its unit, or ulimit -n" },
	{ "room in the journal", "services and series without a name for the next agent; then links of new files that outlive the agent; "
	  "then new metrics", "what is remembered; a start makes room again", SHORTAGE_LOG_JOURNAL, "restart the agent" },
	{ "the bpffs: full, read-only, somebody else's", "all that outlives the agent: its totals end with it; what an earlier one "
	  "pinned counts on by itself", "counting while the agent runs", SHORTAGE_LOG_PINS "; " SHORTAGE_LOG_LINK,
	  "mount one that the agent may write to, or name it with --bpffs" },
	{ "room in --run-dir", "the next agent's knowledge of which deltas arrived; then commands that ask this agent; then the agent, "
	  "which cannot tell whether it is alone", "counting; totals that are not deltas",
	  SHORTAGE_LOG_BASELINES "; " SHORTAGE_LOG_SOCKET "; " SHORTAGE_LOG_LOCK, "make room, or name another directory" },
	{ "room in /var/lib/probemeter", "one service.instance.id for this host and no other, where it has no identity of its own",
	  "every count", SHORTAGE_LOG_HOST, "make room, and restart the agent" },
};

#define HOUR_NS UINT64_C(3600000000000)

void shortage_note(struct shortage *shortage, uint64_t now_ns, int err, const char *what, const char *meaning)
{
	switch (outage_update(&shortage->outage, !err, now_ns, NULL, 0)) {
	case OUTAGE_BEGINS:
		shortage->said = !shortage->said_ns || now_ns - shortage->said_ns >= HOUR_NS;
		if (!shortage->said)
			break;
		shortage->said_ns = now_ns;
		log_message(LOG_WARN, "%s: %s; %s; " SHORTAGE_LOG_TRIES, what, strerror(-err), meaning);
		break;
	case OUTAGE_ENDS:
		if (shortage->said)
			log_message(LOG_INFO, "%s: works again, after %llu tries that failed", what,
				    (unsigned long long)shortage->outage.failures);
		break;
	case OUTAGE_SAME:
		break;
	}
}

void shortage_end(void)
{
	log_message(LOG_ERROR, SHORTAGE_LOG_END "; what is pinned counts on, and the next agent goes on from there");
	/* At once: whatever else runs at an exit may want memory, too. */
	_exit(1);
}

void shortage_document(FILE *out)
{
	size_t i;

	fprintf(out, "| what runs out or fails | given up, in this order | never given up | log | remedy |\n|---|---|---|---|---|\n");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(out, "| %s | %s | %s | %s | %s |\n", rows[i].what, rows[i].order, rows[i].kept,
			rows[i].log ? rows[i].log : "", rows[i].remedy);
}
