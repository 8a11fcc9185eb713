/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - the agent: discover, attach, count, export, until told to end.
 *
 * What is new is attached as watch.c finds it; every interval one collection is
 * encoded and handed to the exporters. This file owns the order of things and the words of the log; the work is done
 * by the stages it calls.
 */
#include "run.h"

#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "adopt.h"
#include "answer.h"
#include "attach.h"
#include "baselines.h"
#include "check.h"
#include "collect.h"
#include "console.h"
#include "delta.h"
#include "drops.h"
#include "encode.h"
#include "host.h"
#include "limit.h"
#include "lock.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "outage.h"
#include "phase.h"
#include "policy.h"
#include "privilege.h"
#include "reload.h"
#include "rules.h"
#include "sandbox.h"
#include "sender.h"
#include "stop.h"
#include "trial.h"
#include "trim.h"
#include "view.h"
#include "wall.h"
#include "watch.h"

/* Told to end, a collector that is silent for so long is not waited for any more. */
#define FLUSH_QUIET_MS 3000
/* Clocks are corrected all the time; what is less is not worth a line. */
#define CLOCK_BACK_NS 1000000000ull

#define EXIT_LOCKED 3

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
	struct outage outage;
	char export_error[SHIP_MESSAGE_BYTES]; /* of the last export; empty: it arrived */
	uint64_t delivered_unix_ns; /* the last one that arrived */
	uint64_t printed; /* on the console */
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
	uint64_t phase_ns; /* of the exports within the interval */
	uint64_t quiet_ms; /* of the last export, see sender_flush() */
	int lock;
	uint64_t collected_ns; /* when, CLOCK_MONOTONIC; 0: not yet */
	int signal_fd;
	bool told; /* to end, by a signal that has been read */
	bool rescheduled; /* the interval may be another one */
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* Attach, for good where that can be. */
static int links_make(struct agent *agent, struct object *object)
{
	struct attach_plan plan;
	int err = adopt_plan(&agent->adopted, object, agent->trial.way, &plan);

	if (!err)
		err = attach_object(&agent->adopted.kernel, &agent->adopted.pins, &plan, object);
	if (!err && plan.keep_only)
		log_message(LOG_INFO, "attached: '%s': by another build, which read its metrics in another way; its counters and "
			    "histograms stay as they are until the file is replaced", object->path);
	if (!err && plan.known && attach_made(object->attachment))
		log_message(LOG_WARN, "attach: '%s': %zu of its links were not there any more, as when somebody writes to a file while no "
			    "agent runs; what it fired meanwhile is not counted", object->path, attach_made(object->attachment));
	if (!err && attach_unpinned(object->attachment))
		log_message(LOG_WARN, "attach: '%s': %zu links cannot be pinned in '%s'; they end with this agent", object->path,
			    attach_unpinned(object->attachment), agent->adopted.pins.directory);
	return err;
}

/* What points and streams carry. */
static uint64_t now_unix_ns(struct agent *agent)
{
	uint64_t back, now = wall_now(&agent->wall, clock_ns(CLOCK_REALTIME), clock_ns(CLOCK_MONOTONIC), &back);

	if (back >= CLOCK_BACK_NS)
		log_message(LOG_WARN, "the wall clock was set back by %.1f s: times of points go on from where they were, at half speed, "
			    "until it has caught up; a restart of the agent follows the clock at once", (double)back / 1e9);
	return now;
}

static void object_attach(struct agent *agent, struct object *object)
{
	int err = links_make(agent, object);

	object->attach_err = err;
	if (err) {
		log_message(LOG_WARN, "attach: '%s': %s; its counters and histograms are not counted", object->path,
			    strerror(-err));
		return;
	}
	if (object->mapped_ns)
		durations_add(&agent->self.attach, clock_ns(CLOCK_MONOTONIC) - object->mapped_ns);
	adopt_object_attached(&agent->adopted, object);
	agent->self.sites += attach_count(object->attachment);
	agent->binaries++;
	log_message(LOG_INFO, "attached: '%s': %zu metrics, %zu sites", object->path, object->descriptors.count,
		    attach_count(object->attachment));
}

/* By --attach, whoever runs it. */
static bool is_asked_for(const struct agent *agent, const char *path)
{
	const struct texts *asked = &agent->options->attach;
	size_t i;

	for (i = 0; i < asked->count; i++)
		if (!fnmatch(asked->text[i], path, FNM_PATHNAME))
			return true;
	return false;
}

/* An object with descriptors: give its metrics numbers and attach. */
static void object_found(void *context, struct object *object)
{
	struct agent *agent = context;
	uint64_t now = now_unix_ns(agent);
	char line[512];
	size_t i;
	int err;

	object->metric = calloc(object->descriptors.count, sizeof(struct metric *));
	/* An excluded file has no metrics that anybody knows: it is neither attached nor read. */
	if (!object->metric || !rules_file(agent->rules, object->path))
		return;
	for (i = 0; i < object->descriptors.count; i++) {
		struct descriptor *found = &object->descriptors.descriptor[i];
		const char *other;
		struct metric wanted;
		bool counted = trims_apply(agent->trims, &found->metric, &wanted, &found->left_out, line, sizeof(line));

		if (*line)
			log_message(LOG_INFO, "%s", line);
		if (!counted)
			continue;
		err = metrics_intern(agent->adopted.metrics, &wanted, &object->metric[i]);
		if (!err)
			err = collector_metric_starts(agent->collector, object->metric[i], now);
		if (err) {
			object->metric[i] = NULL;
			log_message(LOG_WARN, "attach: '%s' in '%s': no room for another metric (at most %d), not counted",
				    wanted.name, object->path, PM_MAX_METRICS);
		}
		other = err ? NULL : metrics_conflict(agent->adopted.metrics, object->metric[i]);
		if (other)
			log_message(LOG_WARN, "metric '%s' in '%s': another metric of this name has another %s; they stay apart by "
				    "service, and one should be renamed", wanted.name, object->path, other);
	}
	/* Where rules choose, only for a process that is counted, or was by the same rules, or if the command line says so. */
	if (!rules_choose(agent->rules) || is_asked_for(agent, object->path) || adopt_stays(&agent->adopted, object))
		object_attach(agent, object);
}

static void object_gone(void *context, struct object *object)
{
	struct agent *agent = context;

	if (!object->attachment)
		return;
	agent->self.sites -= attach_count(object->attachment);
	agent->binaries--;
	attach_remove(object->attachment);
	adopt_object_gone(&agent->adopted, object);
	object->attachment = NULL;
	log_message(LOG_INFO, "detached: '%s': the file is deleted and no process has it mapped, or it is being written to",
		    object->path);
}

static void file_identify(void *context, int fd, struct object_id *id)
{
	const struct agent *agent = context;

	kernel_file(&agent->adopted.kernel, fd, &id->device, &id->inode);
}

/* By the rules: a file that none excludes is attached for the first process that is counted. */
static void admit(struct agent *agent)
{
	struct process *process;
	size_t i;

	for (process = agent->discovery.process; process; process = process->hh.next)
		for (i = 0; i < process->loaded_count; i++) {
			struct object *object = process->loaded[i].object;

			if (!object->attachment && object->metric && rules_file(agent->rules, object->path) &&
			    collector_counts(agent->collector, process))
				object_attach(agent, object);
		}
}

/* The host has been looked at: go on with what an earlier agent left. */
static void adopted(struct agent *agent)
{
	adopt_files(&agent->adopted, &agent->discovery.objects, &agent->events);
	adopt_count(&agent->adopted); /* the first time; then it has nothing to do */
	adopt_tend(&agent->adopted, &agent->discovery.objects);
	if (remember_full(agent->adopted.remember) && !agent->said_full) {
		agent->said_full = true;
		log_message(LOG_WARN, "run: no room to remember more services and series for the next agent; 'probemeter stop "
			    "--detach' and a new start begin anew");
	}
}

/* Do what watching is due for. Services that showed up are named while their processes live. */
static void watch(struct agent *agent, uint64_t now_ns)
{
	bool settled;
	int err = watch_run(agent->watch, now_ns, &settled);

	if (settled && !err && rules_choose(agent->rules))
		admit(agent);
	if (settled && !err)
		err = collector_services(agent->collector, &agent->discovery);
	if (err)
		log_message(LOG_WARN, "watching processes: %s; tried again soon", strerror(-err));
	if (settled && !agent->notify.ready)
		notify_ready(&agent->notify, "%zu binaries attached", agent->binaries);
	if (settled && !agent->binaries && !agent->said_nothing_found) {
		agent->said_nothing_found = true;
		log_message(LOG_INFO, "no process has probes yet; looking for new ones");
	}
	if (settled)
		adopted(agent);
}

/* Before an export: the dead must be out of the levels, and forked children in. */
static void settle(struct agent *agent)
{
	int err = watch_settle(agent->watch, clock_ns(CLOCK_MONOTONIC));

	if (err)
		log_message(LOG_WARN, "watching processes: %s; levels may be those of some moments ago", strerror(-err));
}

/* What the collector said to one request that it took. */
static void account_delivered(struct agent *agent, const struct ship_result *result)
{
	if (result->rejected)
		log_message(LOG_WARN, "export to %s: " DROPS_LOG_REJECTED " %llu points: %s", agent->options->where,
			    (unsigned long long)result->rejected, result->message);
	else if (*result->message)
		log_message(LOG_WARN, "export to %s: delivered, and the collector says: %s", agent->options->where,
			    result->message);
}

/* Deltas whose answer was lost are sent again, because otherwise they might be lost. */
static void account_unanswered(struct agent *agent)
{
	if (agent->unanswered)
		log_message(LOG_WARN,
			    "export to %s: the answer to %llu points was lost; those that were sent again may be counted twice",
			    agent->options->where, (unsigned long long)agent->unanswered);
	agent->unanswered = 0;
}

static uint64_t life_of_totals(const struct agent *agent)
{
	return journal_header(&agent->adopted.kernel.journal)->start_unix_ns;
}

/* See to it that the next agent sends what this one does not. @on_its_way: deltas that may arrive from now on. */
static void baselines_keep(struct agent *agent, uint64_t on_its_way)
{
	int err;

	if (!agent->delta || !agent->adopted.pins.persistent)
		return;
	err = baselines_save(agent->options->run_dir, life_of_totals(agent), agent->delta, agent->unanswered + on_its_way);
	if (err && !agent->said_baselines)
		log_message(LOG_WARN, "delta temporality: '%s/baselines' cannot be written: %s; the next agent may send again what was "
			    "acknowledged meanwhile", agent->options->run_dir, strerror(-err));
	agent->said_baselines = err;
}

/* What an export that has ended means for the baselines, for the log and for our own metrics. */
static void account(struct agent *agent, const struct sender_result *result, size_t count)
{
	const struct sender_result *failed = NULL;
	uint64_t duration_ms = 0;
	size_t i, uncertain;
	char line[512];

	for (i = 0; i < count; i++) {
		self_count_request(&agent->self, &result[i].ship);
		duration_ms += result[i].ship.duration_ms;
		if (result[i].delivery != DELIVERY_DONE && !failed)
			failed = &result[i];
		/* Totals that a collector refuses for good it will never have; a delta stays owed. */
		if (result[i].delivery != DELIVERY_DONE && (result[i].delivery != DELIVERY_REFUSED || agent->delta))
			collector_failed(agent->collector, result[i].first, result[i].count);
		if (result[i].delivery == DELIVERY_DONE && agent->delta)
			delta_acknowledge(agent->delta, result[i].first, result[i].count);
		if (result[i].ship.uncertain && agent->delta) {
			uncertain = delta_count(agent->delta, result[i].first, result[i].count);
			agent->unanswered += uncertain;
			agent->self.points_unanswered += uncertain;
		}
	}
	collector_delivered(agent->collector);
	self_count_export(&agent->self, !failed, duration_ms);
	notify_ready(&agent->notify, "%zu binaries attached; export to %s: %s", agent->binaries, agent->options->where,
		     failed ? failed->ship.message : "delivered");
	(void)snprintf(agent->export_error, sizeof(agent->export_error), "%s", failed ? failed->ship.message : "");
	if (failed && !*agent->export_error)
		(void)snprintf(agent->export_error, sizeof(agent->export_error), "%s", strerror(-failed->err));
	if (!failed)
		agent->delivered_unix_ns = clock_ns(CLOCK_REALTIME);
	switch (outage_update(&agent->outage, !failed, clock_ns(CLOCK_MONOTONIC), line, sizeof(line))) {
	case OUTAGE_BEGINS:
		log_message(LOG_WARN, "export to %s failed: %s; %s", agent->options->where, failed->ship.message, line);
		break;
	case OUTAGE_ENDS:
		log_message(LOG_INFO, "export to %s: %s", agent->options->where, line);
		break;
	case OUTAGE_SAME:
		break;
	}
	for (i = 0; i < count; i++)
		if (result[i].delivery == DELIVERY_DONE)
			account_delivered(agent, &result[i].ship);
	if (!failed)
		account_unanswered(agent);
	baselines_keep(agent, 0);
}

static void results(struct agent *agent)
{
	const struct sender_result *result;
	struct ship_result trouble;
	char line[512];
	size_t count;

	if (!agent->sender)
		return;
	/* Known long before the export is given up. */
	if (sender_trouble(agent->sender, &trouble)) {
		(void)snprintf(agent->export_error, sizeof(agent->export_error), "%s", trouble.message);
		if (outage_suspect(&agent->outage, clock_ns(CLOCK_MONOTONIC), line, sizeof(line)) == OUTAGE_BEGINS)
			log_message(LOG_WARN, "export to %s failed: %s; %s", agent->options->where, trouble.message, line);
	}
	count = sender_results(agent->sender, &result);
	if (count)
		account(agent, result, count);
}

/* Name the services whose probes cost more than the user wants. */
static void overhead_report(struct agent *agent)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	const struct resource *resource;
	double percent;

	uint64_t elapsed = agent->collected_ns ? now - agent->collected_ns : 0;

	while ((resource = collector_over(agent->collector, elapsed, agent->options->max_overhead, &percent)))
		log_message(LOG_WARN,
			    "service '%s': probes cost it about %.0f %% of a CPU (--max-overhead %u); fire its busiest metrics less often",
			    service_name(resource), percent, agent->options->max_overhead);
	agent->collected_ns = now;
}

/* Points that fit no request: counted each time, named when it is not the same metric again. */
static void account_too_large(struct agent *agent, const struct requests *requests)
{
	agent->self.points_dropped += requests->too_large_count;
	if (requests->too_large && requests->too_large->metric != agent->too_large) {
		agent->too_large = requests->too_large->metric;
		log_message(LOG_WARN,
			    "export: metric '%s' of service '%s': " DROPS_LOG_TOO_LARGE " (%zu MiB), and was dropped; "
			    "shorten OTEL_RESOURCE_ATTRIBUTES of that service",
			    agent->too_large->name, service_name(requests->too_large->resource), SPLIT_MAX_BYTES >> 20);
	}
}

/* Nothing follows, so wait for the delivery. What is not taken now goes with this process, if it was a delta and nothing
 * outlives us. */
static int flush(struct agent *agent, const struct requests *requests)
{
	const struct sender_result *result;
	uint64_t lost = 0;
	size_t count, i;
	int err = sender_flush(agent->sender, requests, agent->quiet_ms);

	if (err)
		return err;
	count = sender_results(agent->sender, &result);
	if (count)
		account(agent, result, count);
	for (i = 0; i < count; i++) {
		if (result[i].delivery != DELIVERY_DONE)
			err = result[i].err ? result[i].err : -ECANCELED;
		if (result[i].delivery != DELIVERY_DONE && agent->delta)
			lost += delta_count(agent->delta, result[i].first, result[i].count);
	}
	if (lost)
		log_message(LOG_WARN, "export to %s: %llu " DROPS_LOG_NOT_ACKNOWLEDGED "; what they counted since they last were %s",
			    agent->options->where, (unsigned long long)lost,
			    agent->adopted.pins.persistent ? "is sent by the next agent" : "is lost");
	account_unanswered(agent);
	return err;
}

/* Encode and send what was collected. */
static int export_otlp(struct agent *agent, struct points *points, bool last)
{
	struct requests requests;
	int err = 0;

	/* Until it is known what became of the export before, nobody knows what is new. */
	if (last) {
		sender_end(agent->sender);
		results(agent);
	}
	if (agent->delta)
		err = delta_points(agent->delta, points, agent->arena, points);
	if (!err)
		err = split_points(points, SPLIT_MAX_BYTES, agent->options->protocol == PROTOCOL_HTTP_JSON ? ENCODE_JSON : ENCODE_PROTOBUF,
				   agent->arena, &requests);
	if (err) {
		log_message(LOG_WARN, "export: cannot be encoded: %s; totals stay and go with the next export", strerror(-err));
		return err;
	}
	account_too_large(agent, &requests);
	collector_sent(agent->collector, points);
	if (agent->delta)
		baselines_keep(agent, delta_count(agent->delta, 0, points->count));
	return last ? flush(agent, &requests) : sender_submit(agent->sender, &requests);
}

/* Collect and hand to every exporter. @last: nothing follows, so wait for the delivery. */
static int export_points(struct agent *agent, bool last)
{
	struct points points;
	char line[1024];
	int err;

	arena_reset(agent->arena);
	results(agent);
	err = collector_points(agent->collector, &agent->discovery, &agent->self, now_unix_ns(agent), agent->arena,
			       &points);
	if (err) {
		log_message(LOG_WARN, "export: the counters cannot be read: %s; totals stay and go with the next export",
			    strerror(-err));
		return err;
	}
	overhead_report(agent);
	while (collector_warning(agent->collector, line, sizeof(line)))
		log_message(LOG_WARN, "%s", line);
	if (agent->console)
		agent->printed += !console_print(agent->console, &points);
	if (!agent->sender) {
		collector_sent(agent->collector, &points);
		collector_delivered(agent->collector);
	}
	/* One under way means a slow collector: the next export has it all. */
	if (!agent->sender || (!last && sender_busy(agent->sender)))
		return 0;
	return export_otlp(agent, &points, last);
}

/* From here on SIGTERM and SIGINT do what they do to any program: whoever sends a second one wants no last export. */
static void signals_kill(struct agent *agent)
{
	struct signalfd_siginfo first;
	sigset_t signals;

	while (!agent->told && read(agent->signal_fd, &first, sizeof(first)) == sizeof(first))
		agent->told = first.ssi_signo != SIGHUP;
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

	if (count < 0)
		log_message(LOG_WARN, "forgetting services without processes: %s; tried again soon", strerror((int)-count));
	else if (count)
		log_message(agent->options->per_process ? LOG_DEBUG : LOG_INFO,
			    "service '%s'%s: no process lives any more (--forget); its series have ended", first,
			    count > 1 ? " and others" : "");
}

/* Who was counted, and under which name, stays so: rules are for services that come. */
static void rules_replace(struct agent *agent, struct reload *fresh)
{
	struct rules *before = agent->rules;

	if (agent->collector &&
	    (rules_choose(before) != rules_choose(fresh->rules) || rules_by_uid(before) != rules_by_uid(fresh->rules))) {
		log_message(LOG_WARN, "reload: the first or last rule about who is counted, or about users; restart the agent for that");
		return;
	}
	agent->rules = fresh->rules;
	fresh->rules = before;
	if (agent->collector)
		collector_choose(agent->collector, agent->rules, agent->options->per_process);
}

static void delta_resume(struct agent *agent);
static void delta_start(struct agent *agent);

/* What the sender before has under way it may end; what was not acknowledged goes to the next one. */
static int sender_replace(struct agent *agent, const struct options *options)
{
	bool sends = options_exporters(options) & EXPORTER_OTLP;
	struct sender *sender = sends ? sender_new(options) : NULL;
	bool fresh = false;

	if (sends && agent->started->preference != PREFERENCE_CUMULATIVE && !agent->delta) {
		agent->delta = delta_new();
		fresh = agent->delta;
	}
	if (sends && (!sender || (agent->started->preference != PREFERENCE_CUMULATIVE && !agent->delta))) {
		sender_free(sender);
		return -ENOMEM;
	}
	if (fresh)
		delta_resume(agent);
	if (agent->delta_unknown)
		delta_start(agent);
	if (agent->sender) {
		sender_end(agent->sender);
		results(agent);
		sender_free(agent->sender);
	}
	agent->sender = sender;
	return 0;
}

/* SIGHUP */
static void reload(struct agent *agent)
{
	struct reload fresh;
	struct options before = agent->reloaded;

	if (reload_read(agent->started, agent->options, &fresh))
		return;
	if (fresh.sender && agent->collector && sender_replace(agent, &fresh.options)) {
		log_message(LOG_ERROR, "reload: out of memory; nothing is changed");
		reload_drop(&fresh);
		return;
	}
	rules_replace(agent, &fresh);
	agent->reloaded = fresh.options;
	agent->options = &agent->reloaded;
	fresh.options = before;
	reload_drop(&fresh);
	log_set_level(agent->options->log_level);
	log_set_format(agent->options->log_format);
	agent->rescheduled = true;
}

/* Read a signal. Return: true if it says to end. */
static bool signal_take(struct agent *agent)
{
	struct signalfd_siginfo signal;

	if (read(agent->signal_fd, &signal, sizeof(signal)) != sizeof(signal))
		return false;
	if (signal.ssi_signo == SIGHUP)
		reload(agent);
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
			.name = "console", .target = "standard output", .tried = agent->printed, .delivered = agent->printed,
		};
	answers_describe(agent->answers, view);
}

static void settle_for(void *context)
{
	settle(context);
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

	while ((now = clock_ns(CLOCK_MONOTONIC)) < until_ns) {
		due = watch_due(agent->watch);
		notify_alive(&agent->notify, now);
		if (now >= due) {
			watch(agent, now);
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
			results(agent);
		if (fds[3].revents && answer(agent))
			return true;
		if (fds[2].revents)
			watch_wake(agent->watch, clock_ns(CLOCK_MONOTONIC));
	}
	return false;
}

/* Deltas go on where the last agent's ended, or it is said that nobody knows where that was. */
static void delta_resume(struct agent *agent)
{
	const char *directory = agent->options->run_dir;
	uint64_t unanswered = 0;
	int err;

	if (!agent->adopted.pins.persistent)
		return;
	if (!agent->delta) {
		baselines_remove(directory); /* totals are sent from now on: what it knows is not all that was sent */
		return;
	}
	err = baselines_load(directory, life_of_totals(agent), agent->delta, &unanswered);
	agent->unanswered += unanswered;
	agent->self.points_unanswered += unanswered;
	if (!adopt_is_later(&agent->adopted) || (!err && !remember_renamed(agent->adopted.remember)))
		return;
	agent->delta_unknown = true;
	log_message(LOG_WARN, "delta temporality: what was counted before this agent and not sent yet is lost%s",
		    !err	   ? " for services that other rules give other names" :
		    err == -ENOENT ? ": the last agent sent no deltas" :
				     ": what the last one left cannot be read");
}

/* Everything there is now counts as sent. */
static void delta_start(struct agent *agent)
{
	struct points points;
	int err;

	arena_reset(agent->arena);
	err = collector_points(agent->collector, &agent->discovery, &agent->self, now_unix_ns(agent), agent->arena, &points);
	if (!err)
		err = delta_begin(agent->delta, &points, agent->started_unix_ns);
	if (err)
		log_message(LOG_WARN, "delta temporality: %s; what was counted before may be sent again", strerror(-err));
	agent->delta_unknown = false;
}

static uint64_t interval_ns(const struct agent *agent)
{
	return agent->options->interval_ms * 1000000ull;
}

/* How long until this host's place in the interval. */
static uint64_t phase_ns(struct agent *agent)
{
	agent->phase_ns = phase_of(agent->own, interval_ns(agent));
	return phase_wait_ns(clock_ns(CLOCK_REALTIME), interval_ns(agent), agent->phase_ns);
}

static void loop(struct agent *agent)
{
	uint64_t next_export = clock_ns(CLOCK_MONOTONIC), now;
	bool end = false;

	/* --once counts over one whole interval. */
	next_export += agent->options->once ? interval_ns(agent) : phase_ns(agent);
	/* What lives is attached, and what an earlier agent counted is ours, before anything is sent. */
	watch(agent, clock_ns(CLOCK_MONOTONIC));
	if (agent->delta_unknown)
		delta_start(agent);
	while (!end) {
		now = clock_ns(CLOCK_MONOTONIC);
		if (now >= next_export && agent->options->once)
			break;
		if (now >= next_export) {
			settle(agent);
			(void)export_points(agent, false);
			next_export = phase_next(next_export, clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_REALTIME),
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
	settle(agent);
	(void)export_points(agent, true);
}

/* An object's descriptor and links stay open, and where links are perf events there are two per site. */
static void files_allow(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int rules_read(struct agent *agent)
{
	char why[512];
	int err = policy_read(agent->options, &agent->rules, why, sizeof(why));

	if (err)
		log_message(LOG_ERROR, "rules: %s", why);
	return err;
}

/* The flags about what is counted and in how much room: all that can be wrong with them is said before anything loads. */
static int bounds_read(struct agent *agent)
{
	const struct options *options = agent->options;
	char why[512] = "out of memory";
	size_t i;
	int err;

	agent->trims = trims_new();
	err = agent->trims ? 0 : -ENOMEM;
	for (i = 0; !err && i < options->drop_metrics.count; i++)
		err = trims_drop_metric(agent->trims, options->drop_metrics.text[i]);
	for (i = 0; !err && i < options->drop_labels.count; i++) {
		err = trims_drop_label(agent->trims, options->drop_labels.text[i]);
		if (err == -EINVAL)
			(void)snprintf(why, sizeof(why), "--drop-label: expected METRIC:LABEL, not '%.64s'",
				       options->drop_labels.text[i]);
	}
	if (!err)
		err = limits_choose(&options->limits, kernel_cpus(), &agent->limits, why, sizeof(why));
	if (err)
		log_message(LOG_ERROR, "run: %s", why);
	return err;
}

static int lock(struct agent *agent)
{
	const char *directory = agent->options->run_dir;
	pid_t pid = 0;

	agent->lock = lock_take(directory, &pid);
	if (agent->lock == -EBUSY && pid)
		log_message(LOG_ERROR, "run: process %d is this host's agent, by the lock '%s/agent.lock'; 'probemeter stop' ends it", pid,
			    directory);
	else if (agent->lock == -EBUSY)
		log_message(LOG_ERROR, "run: an agent outside of this pid namespace holds the lock '%s/agent.lock'", directory);
	else if (agent->lock < 0)
		log_message(LOG_ERROR, "run: '%s' cannot be used for the lock: %s; give another one with --run-dir", directory,
			    strerror(-agent->lock));
	return agent->lock < 0 ? agent->lock : 0;
}

/* Told to do nothing: then nothing of an earlier agent goes on either. */
static int idle(struct agent *agent)
{
	int err;

	if (!pins_there(agent->options->bpffs))
		return 0;
	err = lock(agent);
	if (!err)
		err = stop_detach(agent->options);
	return err;
}

/* A process that is gone never comes back. But who asks for a page must have had the time to. */
static uint64_t forget_ns(const struct options *options)
{
	if (options->per_process && !options->source[OPTION_FORGET] && options_exporters(options) & EXPORTER_OTLP)
		return 1;
	return options->forget_ms * 1000000ull;
}

static int start(struct agent *agent)
{
	struct kernel_limits limits = agent->limits;
	unsigned exporters = options_exporters(agent->options);
	char line[800], host[HOST_IDENTITY_BYTES];
	int err;

	if (check_refuses(line, sizeof(line))) {
		log_message(LOG_ERROR, "run: %s; 'probemeter check' says what each requirement is for", line);
		return -EPERM;
	}
	err = lock(agent);
	if (err)
		return err;
	files_allow();
	limits.per_process = agent->options->per_process;
	limits.choose = rules_choose(agent->rules);
	limits.by_uid = rules_by_uid(agent->rules);
	limits.trims = trims_has_labels(agent->trims);
	log_message(LOG_INFO, "kernel: maps of at most %.1f MiB: %u cells on %u possible CPUs, %u series, %u services",
		    (double)kernel_bytes(&limits, kernel_cpus()) / (1 << 20), limits.cells, kernel_cpus(), limits.series,
		    limits.services);
	limits_describe(&limits, line, sizeof(line));
	log_message(LOG_INFO, "limits: %s", line);
	err = trial_run((enum kernel_links)agent->options->links, &agent->trial);
	if (!err && sandbox_drop(agent->trial.links == KERNEL_LINKS_PERF_EVENT))
		return -EPERM;
	if (!err && !agent->trial.result[agent->trial.way].counts && agent->trial.links == KERNEL_LINKS_PERF_EVENT && !privilege_events()) {
		log_message(LOG_ERROR, "run: capabilities: missing: CAP_SYS_ADMIN: this kernel lets nobody else attach by perf events, and %s; "
			    "run as root, or with CAP_SYS_ADMIN", agent->options->links == KERNEL_LINKS_PERF_EVENT ?
			    "--links perf_event asks for those" : "has nothing better before Linux 6.6");
		return -EPERM;
	}
	if (!err) {
		/* The threads that answer have the filter, too. */
		sandbox_enter();
		if (answers_new(agent->options, &agent->answers))
			return -EADDRNOTAVAIL;
		err = adopt_begin(agent->options, &limits, agent->trial.links, &agent->adopted);
	}
	if (err) {
		log_message(LOG_ERROR, "run: the kernel refused the BPF programs: %s; 'probemeter check' says what this host lacks",
			    strerror(-err));
		return err;
	}
	trial_describe(&agent->trial, line, sizeof(line));
	log_message(LOG_INFO, "kernel: %s; its maps take %.1f MiB now", line,
		    (double)kernel_bytes_now(&agent->adopted.kernel) / (1 << 20));
	if (host_pid_namespace())
		log_message(LOG_INFO, "this pid namespace is not the host's: processes outside of it are not seen; what they fire "
			    "counts under what their exec gave, their levels do not: run in the host's (hostPID: true, --pid=host)");
	agent->arena = arena_new();
	err = host_identity("", host);
	if (err)
		log_message(LOG_WARN, "/var/lib/probemeter/host-id: %s; a clone of this host would get other service.instance.ids "
			    "only by another host name", strerror(-err));
	services_host(agent->adopted.services, host);
	if (!services_agent(agent->adopted.services, agent->options->service_name, agent->options->resource.pair,
			    agent->options->resource.count, &agent->own)) {
		agent->collector = collector_new(&agent->adopted.kernel, agent->adopted.metrics, agent->adopted.services,
						 agent->adopted.remember, agent->own, agent->trial.result[agent->trial.way].ns,
						 agent->options->aggregation == AGGREGATION_EXPONENTIAL);
	}
	if (agent->collector && agent->options->forget_ms) {
		err = collector_forgets(agent->collector, forget_ns(agent->options));
		if (err)
			log_message(LOG_WARN, "--forget: %s; no service is forgotten",
				    err == -ENOTSUP ? "in a pid namespace of its own an agent does not see who lives" : strerror(-err));
	}
	if (agent->collector)
		collector_choose(agent->collector, agent->rules, agent->options->per_process);
	if (agent->collector && collector_restore(agent->collector))
		return -ENOMEM;
	if (agent->collector)
		wall_after(&agent->wall, collector_latest_start(agent->collector), clock_ns(CLOCK_MONOTONIC));
	if (exporters & EXPORTER_CONSOLE)
		agent->console = console_new(stdout);
	if (exporters & EXPORTER_OTLP)
		agent->sender = sender_new(agent->options);
	if (agent->sender && agent->options->preference != PREFERENCE_CUMULATIVE) {
		agent->delta = delta_new();
		log_message(LOG_INFO, "delta temporality: what was acknowledged is remembered, in at most %.1f MiB",
			    (double)delta_bytes_max(limits.cells) / (1 << 20));
	}
	if (!agent->collector || !agent->arena || (exporters & EXPORTER_CONSOLE && !agent->console) ||
	    (exporters & EXPORTER_OTLP && !agent->sender) ||
	    (agent->sender && agent->options->preference != PREFERENCE_CUMULATIVE && !agent->delta)) {
		log_message(LOG_ERROR, "run: out of memory at the start");
		return -ENOMEM;
	}
	delta_resume(agent);
	agent->events = (struct discover_events){ .found = object_found, .gone = object_gone, .identify = file_identify,
						  .context = agent };
	agent->watch = watch_new(&agent->discovery, &agent->events, &agent->options->attach);
	if (!agent->watch) {
		log_message(LOG_ERROR, "run: out of memory at the start");
		return -ENOMEM;
	}
	answers_set_ready(agent->answers);
	return 0;
}

static void finish(struct agent *agent)
{
	struct object *object;

	answers_free(agent->answers);
	/* Quietly: everything goes. */
	for (object = agent->discovery.objects.list; object; object = object->hh.next) {
		attach_free(object->attachment);
		object->attachment = NULL;
	}
	watch_free(agent->watch);
	discover_free(&agent->discovery, &agent->events);
	sender_free(agent->sender);
	delta_free(agent->delta);
	console_free(agent->console);
	arena_free(agent->arena);
	if (agent->adopted.pins.persistent && agent->collector)
		log_message(LOG_INFO, "run: ended; counting goes on; 'probemeter stop --detach' ends it");
	collector_free(agent->collector);
	adopt_end(&agent->adopted);
	rules_free(agent->rules);
	trims_free(agent->trims);
	lock_release(agent->lock);
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
		now = clock_ns(CLOCK_MONOTONIC);
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
	struct agent agent = { .options = options, .started = options, .lock = -1, .noop = options_noop_reason(options),
			       .started_unix_ns = clock_ns(CLOCK_REALTIME) };
	sigset_t signals;
	bool end = false;
	int err = 0;

	notify_begin(&agent.notify);
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	if (bounds_read(&agent)) {
		trims_free(agent.trims);
		return 2;
	}
	if (agent.noop) {
		log_message(LOG_INFO, "%s", agent.noop);
		err = idle(&agent);
		if (options->once || err == -EBUSY) {
			trims_free(agent.trims);
			lock_release(agent.lock);
			return exit_code(&agent, err);
		}
	} else if (rules_read(&agent)) {
		trims_free(agent.trims);
		return 2;
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
		lock_release(agent.lock);
		agent.lock = -1;
		if (end) {
			rules_free(agent.rules);
			trims_free(agent.trims);
		}
	}
	if (!end) {
		err = start(&agent);
		if (!err)
			loop(&agent);
		finish(&agent);
	}
	options_free(&agent.reloaded);
	(void)close(agent.signal_fd);
	return exit_code(&agent, err);
}
