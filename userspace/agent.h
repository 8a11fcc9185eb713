/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agent.h - one agent's state, and the stages that run.c calls in order. All on the main thread.
 */
#ifndef PROBEMETER_AGENT_H
#define PROBEMETER_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "adopt.h"
#include "answer.h"
#include "collect.h"
#include "delta.h"
#include "limit.h"
#include "notify.h"
#include "options.h"
#include "outage.h"
#include "progress.h"
#include "sender.h"
#include "shortage.h"
#include "trial.h"
#include "trim.h"
#include "wall.h"
#include "watch.h"

struct agent {
	const struct options *options; /* those that count now */
	const struct options *started; /* those of the start */
	struct options reloaded; /* read at the last SIGHUP, if there was one */
	struct adopted adopted; /* maps, and what is known about them */
	struct trial trial;
	struct collector *collector;
	struct discovery discovery;
	struct discover_events events;
	struct watch *watch;
	struct notify notify;
	struct self self;
	struct rules *rules;
	struct trims *trims;
	struct wall wall;
	struct kernel_limits limits;
	struct arena *arena; /* of one export */
	struct console *console;
	struct sender *sender;
	struct delta *delta; /* NULL: totals are sent */
	struct outage outage; /* of the collector */
	struct shortage printing; /* on the console */
	struct shortage files, watching, settling, forgetting, reading, encoding; /* of what is tried again and again */
	char export_error[SHIP_MESSAGE_BYTES]; /* of the last export; empty: it arrived */
	char export_word[SHIP_MESSAGE_BYTES]; /* what the collector said last of one that it took */
	uint64_t delivered_unix_ns; /* the last one that arrived */
	uint64_t printed, unprinted; /* on the console */
	struct answers *answers;
	const struct resource *own;
	const char *noop; /* why there is nothing to do; NULL: there is */
	uint64_t started_unix_ns;
	bool delta_unknown; /* what earlier agents' deltas were acknowledged for */
	bool said_baselines;
	uint64_t unanswered; /* deltas that may have arrived, since the last export that did */
	const struct metric *too_large; /* named in the log last */
	size_t binaries;
	bool said_nothing_found, said_full;
	struct progress progress; /* of attaching to what one look at the host has found */
	uint64_t phase_ns; /* of the exports within the interval */
	uint64_t quiet_ms; /* of the last export, see sender_flush() */
	int lock, pins_lock; /* of the run directory and of the pins; -1: not held */
	uint64_t collected_ns; /* when, CLOCK_MONOTONIC; 0: not yet */
	int signal_fd;
	bool told; /* to end, by a signal that has been read */
	bool rescheduled; /* the interval may be another one */
};

uint64_t agent_clock_ns(clockid_t clock);

/* --- agent_start.c: each says in the log what is wrong */

/* The flags about who is counted, what, and in how much room. Return: 0 or -errno. */
int agent_read_rules(struct agent *agent);
int agent_read_bounds(struct agent *agent);

/* Give up what keeps other agents away. */
void agent_unlock(struct agent *agent);

/* Told to do nothing: then nothing of an earlier agent goes on either. Return: 0 or -errno, -EBUSY if another one runs. */
int agent_idle(struct agent *agent);

/* Everything up to the first look at the host. Return: 0 or -errno; agent_finish() in either case. */
int agent_start(struct agent *agent);
void agent_finish(struct agent *agent);

/* --- agent_attach.c */

/* What agent_watch() does with what it finds. */
struct discover_events agent_discover_events(struct agent *agent);

/* Do what watching is due for. Services that showed up are named while their processes live. */
void agent_watch(struct agent *agent, uint64_t now_ns);

/* Before an export: the dead must be out of the levels, and forked children in. */
void agent_settle(struct agent *agent);

/* --- agent_export.c */

/* Collect and hand to every exporter. @last: nothing follows, so wait for the delivery. Return: 0 or -errno, which the log
 * has. */
int agent_export(struct agent *agent, bool last);

/* What became of the exports under way. */
void agent_results(struct agent *agent);

/* What points and streams carry. */
uint64_t agent_unix_ns(struct agent *agent);

/* Deltas go on where the last agent's ended, or it is said that nobody knows where that was, and then agent_delta_start()
 * counts everything there is as sent. */
void agent_delta_resume(struct agent *agent);
void agent_delta_start(struct agent *agent);

/* --- agent_reload.c */

/* SIGHUP */
void agent_reload(struct agent *agent);

#endif
