/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - the agent: discover, attach, count, export, until told to end.
 *
 * This file owns the order of things: the loop, signals and whoever asks. What each step does is in agent_*.c.
 */
#include "run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent.h"
#include "lock.h"
#include "log.h"
#include "phase.h"
#include "rules.h"
#include "shortage.h"
#include "view.h"

/* Told to end, a collector that is silent for so long is not waited for any more. */
#define FLUSH_QUIET_MS 3000

#define EXIT_LOCKED 3

uint64_t agent_clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* From here on SIGTERM and SIGINT do what they do to any program: whoever sends a second one wants no last export. */
static void signals_kill(struct agent *agent)
{
	struct signalfd_siginfo first;
	sigset_t signals;

	while (!agent->told && read(agent->signal_fd, &first, sizeof(first)) == sizeof(first))
		agent->told = first.ssi_signo != SIGHUP;
	/* A shell has SIGINT ignored in what it starts in the background; but the first one has been heard, too. */
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

/* Services whose end was delivered. With each process a service there are too many to name. */
static void forget(struct agent *agent)
{
	char first[256];
	long count = collector_forget(agent->collector, &agent->discovery, agent->delta, first, sizeof(first));

	shortage_note(&agent->forgetting, agent_clock_ns(CLOCK_MONOTONIC), count < 0 ? (int)count : 0,
		      "forgetting services without processes", "they stay for now");
	if (count > 0)
		log_message(agent->options->per_process ? LOG_DEBUG : LOG_INFO,
			    "service '%s'%s: no process lives any more (--forget); its series have ended", first,
			    count > 1 ? " and others" : "");
}

/* Read a signal. Return: true if it says to end. */
static bool signal_take(struct agent *agent)
{
	struct signalfd_siginfo signal;

	if (read(agent->signal_fd, &signal, sizeof(signal)) != sizeof(signal))
		return false;
	if (signal.ssi_signo == SIGHUP)
		agent_reload(agent);
	else
		agent->told = true;
	return agent->told;
}

/* How this agent is, for those who look. */
static void describe(void *context, struct view *view)
{
	const struct agent *agent = context;
	unsigned exporters = options_exporters(agent->options);

	view->noop = agent->noop;
	view->interval_ms = agent->options->interval_ms;
	view->agent = agent->own;
	if (agent->noop)
		return;
	view->way = attach_way_name[agent->trial.way];
	if (exporters & EXPORTER_OTLP)
		view->exporter[view->exporter_count++] = (struct view_exporter){
			.name = "otlp",
			.target = agent->options->where,
			.tried = agent->self.exports_delivered + agent->self.exports_failed,
			.error = *agent->export_error ? agent->export_error : NULL,
			.last_unix_ns = agent->delivered_unix_ns,
			.delivered = agent->self.exports_delivered,
			.failed = agent->self.exports_failed,
		};
	if (exporters & EXPORTER_CONSOLE)
		view->exporter[view->exporter_count++] = (struct view_exporter){
			.name = "console",
			.target = "standard output",
			.tried = agent->printed || agent->printing.outage.down,
			.error = agent->printing.outage.down ? "cannot be written" : NULL,
			.delivered = agent->printed,
			.failed = agent->unprinted,
		};
	answers_describe(agent->answers, view);
}

static void settle_for(void *context)
{
	agent_settle(context);
}

/* Whoever asked gets his answer. Return: true if somebody said to end. */
static bool answer(struct agent *agent)
{
	const struct answers_source source = { .collector = agent->collector, .discovery = &agent->discovery,
					       .self = &agent->self, .settle = settle_for, .describe = describe,
					       .context = agent };

	return answers_give(agent->answers, &source);
}

/* Wait until @until_ns for a signal or a result. Return: true if somebody says to end. */
static bool wait_until(struct agent *agent, uint64_t until_ns)
{
	struct pollfd fds[4] = {
		{ .fd = agent->signal_fd, .events = POLLIN },
		{ .fd = agent->sender ? sender_fd(agent->sender) : -1, .events = POLLIN },
		{ .events = POLLIN },
		{ .events = POLLIN },
	};
	uint64_t now, due, asked;

	while ((now = agent_clock_ns(CLOCK_MONOTONIC)) < until_ns) {
		due = watch_due(agent->watch);
		notify_alive(&agent->notify, now);
		if (now >= due) {
			agent_watch(agent, now);
			continue;
		}
		forget(agent);
		asked = answers_due(agent->answers);
		if (now >= asked) {
			if (answer(agent))
				return true;
			continue;
		}
		due = due < until_ns ? due : until_ns;
		due = due < notify_due(&agent->notify) ? due : notify_due(&agent->notify);
		due = due < asked ? due : asked;
		fds[2].fd = watch_fd(agent->watch);
		/* Somebody waits for his turn: that is known. */
		fds[3].fd = asked == UINT64_MAX ? answers_fd(agent->answers) : -1;
		if (poll(fds, 4, (int)((due - now) / 1000000) + 1) < 0 && errno != EINTR)
			return true;
		if (fds[0].revents && (signal_take(agent) || agent->rescheduled))
			return agent->told;
		if (fds[1].revents)
			agent_results(agent);
		if (fds[3].revents && answer(agent))
			return true;
		if (fds[2].revents)
			watch_wake(agent->watch, agent_clock_ns(CLOCK_MONOTONIC));
	}
	return false;
}

static uint64_t interval_ns(const struct agent *agent)
{
	return agent->options->interval_ms * 1000000ull;
}

/* How long until this host's place in the interval. */
static uint64_t phase_ns(struct agent *agent)
{
	agent->phase_ns = phase_of(agent->own, interval_ns(agent));
	return phase_wait_ns(agent_clock_ns(CLOCK_REALTIME), interval_ns(agent), agent->phase_ns);
}

static void loop(struct agent *agent)
{
	uint64_t next_export = agent_clock_ns(CLOCK_MONOTONIC), now;
	bool end = false;

	/* --once counts over one whole interval. */
	next_export += agent->options->once ? interval_ns(agent) : phase_ns(agent);
	/* What lives is attached, and what an earlier agent counted is ours, before anything is sent. */
	agent_watch(agent, agent_clock_ns(CLOCK_MONOTONIC));
	if (agent->delta_unknown)
		agent_delta_start(agent);
	while (!end) {
		now = agent_clock_ns(CLOCK_MONOTONIC);
		if (now >= next_export && agent->options->once)
			break;
		if (now >= next_export) {
			agent_settle(agent);
			(void)agent_export(agent, false);
			next_export = phase_next(next_export, agent_clock_ns(CLOCK_MONOTONIC), agent_clock_ns(CLOCK_REALTIME),
						 interval_ns(agent), agent->phase_ns);
		} else if (agent->rescheduled && !agent->options->once) {
			next_export = now + phase_ns(agent);
		}
		agent->rescheduled = false;
		end = wait_until(agent, next_export);
	}
	signals_kill(agent);
	notify_stopping(&agent->notify, "the last export");
	if (end)
		agent->quiet_ms = FLUSH_QUIET_MS;
	agent_settle(agent);
	(void)agent_export(agent, true);
}

static int exit_code(const struct agent *agent, int err)
{
	return agent->lock == -EBUSY ? EXIT_LOCKED : err ? 1 : 0;
}

/* With nothing to do: answer that, and why, until told to end (true) or there is something to do (false). */
static bool rest(struct agent *agent)
{
	struct pollfd fds[2] = { { .fd = agent->signal_fd, .events = POLLIN },
				 { .fd = answers_fd(agent->answers), .events = POLLIN } };
	uint64_t now, asked, due;

	answers_set_ready(agent->answers);
	notify_ready(&agent->notify, "%s", agent->noop);
	do {
		now = agent_clock_ns(CLOCK_MONOTONIC);
		notify_alive(&agent->notify, now);
		asked = answers_due(agent->answers);
		due = asked < notify_due(&agent->notify) ? asked : notify_due(&agent->notify);
		if (poll(fds, asked == UINT64_MAX ? 2 : 1,
			 due == UINT64_MAX ? -1 : due > now ? (int)((due - now) / 1000000) + 1 : 0) < 0 && errno != EINTR)
			return true;
		if ((fds[0].revents && signal_take(agent)) || answer(agent))
			return true;
		agent->noop = options_noop_reason(agent->options);
	} while (agent->noop);
	return false;
}

int run(const struct options *options)
{
	struct agent agent = { .options = options, .started = options, .lock = -1, .pins_lock = -1, .noop = options_noop_reason(options),
			       .started_unix_ns = agent_clock_ns(CLOCK_REALTIME) };
	sigset_t signals;
	bool end = false;
	int err = 0;

	notify_begin(&agent.notify);
	/* Who read the console's output may go; counting does not end with that. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	err = agent_read_bounds(&agent);
	if (err) {
		trims_free(agent.trims);
		return err == -ENOMEM ? 1 : 2;
	}
	if (agent.noop) {
		log_message(LOG_INFO, "%s", agent.noop);
		err = agent_idle(&agent);
		if (options->once || err == -EBUSY) {
			err = exit_code(&agent, err);
			trims_free(agent.trims);
			agent_unlock(&agent);
			return err;
		}
	} else {
		err = agent_read_rules(&agent);
		if (err) {
			trims_free(agent.trims);
			return err == -ENOMEM ? 1 : 2;
		}
	}
	agent.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (agent.signal_fd < 0) {
		log_message(LOG_ERROR, "run: no signalfd: %s", strerror(errno));
		return 1;
	}
	if (agent.noop) {
		err = answers_new(options, &agent.answers);
		end = err || rest(&agent);
		answers_free(agent.answers);
		agent.answers = NULL;
		agent_unlock(&agent);
		if (end) {
			rules_free(agent.rules);
			trims_free(agent.trims);
		}
	}
	if (!end) {
		err = agent_start(&agent);
		if (!err)
			loop(&agent);
		agent_finish(&agent);
	}
	options_free(&agent.reloaded);
	(void)close(agent.signal_fd);
	err = exit_code(&agent, err);
	agent_unlock(&agent);
	return err;
}
