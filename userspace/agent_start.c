/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agent_start.c - from options to an agent that is ready to look at the host, and back.
 */
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "check.h"
#include "console.h"
#include "files.h"
#include "host.h"
#include "lock.h"
#include "log.h"
#include "policy.h"
#include "privilege.h"
#include "rules.h"
#include "sandbox.h"
#include "shortage.h"
#include "stop.h"

int agent_read_rules(struct agent *agent)
{
	char why[512];
	int err = policy_read(agent->options, &agent->rules, why, sizeof(why));

	if (err)
		log_message(LOG_ERROR, "rules: %s", why);
	return err;
}

/* The flags about what is counted and in how much room: all that can be wrong with them is said before anything loads. */
int agent_read_bounds(struct agent *agent)
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

/* An agent with another --run-dir, but the same --bpffs, would take over the pins of one that lives. Where pins cannot be,
 * there is nothing to take. */
static int lock_pins(struct agent *agent)
{
	char base[PINS_PATH];
	pid_t pid = 0;
	int err = pins_base(agent->options->bpffs, true, base);

	agent->pins_lock = err ? err : lock_directory(base, &pid);
	if (agent->pins_lock != -EBUSY)
		return 0;
	log_message(LOG_ERROR, "run: the pins in '%s' are those of another agent, process %d (0: not to be seen from here); one host needs one "
		    "agent: end that one, or give this one another place with --bpffs", base, pid);
	return -EBUSY;
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
		log_message(LOG_ERROR, "run: '%s' " SHORTAGE_LOG_LOCK ": %s; give another one with --run-dir", directory,
			    strerror(-agent->lock));
	if (agent->lock >= 0 && lock_pins(agent)) {
		lock_release(agent->lock);
		agent->lock = -EBUSY;
	}
	return agent->lock < 0 ? agent->lock : 0;
}

void agent_unlock(struct agent *agent)
{
	lock_release(agent->pins_lock);
	lock_release(agent->lock);
	agent->pins_lock = agent->lock = -1;
}

/* Told to do nothing: then nothing of an earlier agent goes on either. */
int agent_idle(struct agent *agent)
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

/* Metrics that an earlier agent counted otherwise than the rules want it now: their series end. What is counted from now on
 * is in series of its own, from 0. */
static void hide(struct agent *agent)
{
	const struct metric *metric;
	uint64_t rules;
	uint32_t id;

	for (id = 0; (metric = metrics_get(agent->adopted.metrics, id)); id++) {
		rules = remember_trimming(agent->adopted.remember, id);
		metrics_hide(agent->adopted.metrics, id, !trims_spares(agent->trims, metric) ||
			     (rules && rules != trims_hash(agent->trims)));
	}
}

int agent_start(struct agent *agent)
{
	struct kernel_limits limits = agent->limits;
	unsigned exporters = options_exporters(agent->options);
	char line[800], host[HOST_IDENTITY_BYTES];
	int err;

	files_allow();
	if (check_refuses(line, sizeof(line))) {
		log_message(LOG_ERROR, "run: %s; 'probemeter check' says what each requirement is for", line);
		return -EPERM;
	}
	err = lock(agent);
	if (err)
		return err;
	limits.per_process = agent->options->per_process;
	limits.choose = rules_choose(agent->rules);
	limits.by_uid = rules_by_uid(agent->rules);
	limits.trims = trims_has_labels(agent->trims);
	limits.trimming = trims_hash(agent->trims);
	log_message(LOG_INFO, "limits: maps of at most %.1f MiB: %u cells on %u possible CPUs, %u series, %u services (--max-memory, "
		    "--max-cells, --max-series, --max-services)", (double)kernel_bytes(&limits, kernel_cpus()) / (1 << 20),
		    limits.cells, kernel_cpus(), limits.series, limits.services);
	limits_describe(&limits, line, sizeof(line));
	log_message(LOG_DEBUG, "limits: %s", line);
	err = trial_run((enum kernel_links)agent->options->links, &agent->trial);
	/* While root still is root: Debian's kernel.perf_event_paranoid=3 tells nobody else of new processes. */
	agent->events = agent_discover_events(agent);
	agent->watch = watch_new(&agent->discovery, &agent->events, &agent->options->attach);
	if (!agent->watch) {
		log_message(LOG_ERROR, "run: out of memory at the start");
		return -ENOMEM;
	}
	if (!err && sandbox_drop(agent->trial.links == KERNEL_LINKS_PERF_EVENT))
		return -EPERM;
	if (!err && !agent->trial.result[agent->trial.way].counts &&
	    agent->trial.links == KERNEL_LINKS_PERF_EVENT && !privilege_events()) {
		log_message(LOG_ERROR, "run: capabilities: missing: CAP_SYS_ADMIN: this kernel lets nobody else attach by perf events, and %s; "
			    "run as root, or with CAP_SYS_ADMIN", agent->options->links == KERNEL_LINKS_PERF_EVENT ?
			    "--links perf_event asks for those" : "has nothing better before Linux 6.6");
		return -EPERM;
	}
	if (!err) {
		/* The threads that answer have the filter, too. */
		err = sandbox_enter();
		if (err)
			return err;
		if (answers_new(agent->options, &agent->answers))
			return -EADDRNOTAVAIL;
		err = adopt_begin(agent->options, &limits, agent->trial.links, &agent->adopted);
	}
	if (err == -ENOMEM)
		log_message(LOG_ERROR, "run: " SHORTAGE_LOG_START ", which take at most %.1f MiB; what an earlier agent attached counts on; lower "
			    "--max-memory, or raise the limit of this agent's cgroup (MemoryMax=)",
			    (double)kernel_bytes(&limits, kernel_cpus()) / (1 << 20));
	else if (err)
		log_message(LOG_ERROR, "run: the kernel refused the BPF programs: %s; 'probemeter check' says what this host lacks",
			    strerror(-err));
	if (err)
		return err;
	trial_describe(&agent->trial, line, sizeof(line));
	log_message(LOG_INFO, "kernel: %s; a service that spends over %u %% of a CPU on them is told of (--max-overhead); its maps take "
		    "%.1f MiB now", line, agent->options->max_overhead, (double)kernel_bytes_now(&agent->adopted.kernel) / (1 << 20));
	if (host_pid_namespace())
		log_message(LOG_INFO, "this pid namespace is not the host's: processes outside of it are not seen; what they fire "
			    "counts under what their exec gave, their levels do not: run in the host's (hostPID: true, --pid=host)");
	hide(agent);
	agent->arena = arena_new();
	err = host_identity("", host);
	if (err)
		log_message(LOG_WARN, "'/var/lib/probemeter/host-id': %s; " SHORTAGE_LOG_HOST " "
			    "only by another host name; let the agent's user write there", strerror(-err));
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
				    err == -ENOTSUP ? "in a pid namespace of its own an agent does not see who lives: run in the host's, or "
						      "with --forget 0" : strerror(-err));
	}
	if (agent->collector)
		collector_choose(agent->collector, agent->rules, agent->options->per_process);
	if (agent->collector && collector_restore(agent->collector)) {
		log_message(LOG_ERROR, "run: out of memory at the start");
		return -ENOMEM;
	}
	if (agent->collector)
		wall_after(&agent->wall, collector_latest_start(agent->collector), agent_clock_ns(CLOCK_MONOTONIC));
	if (!wall_resume(&agent->wall, remember_told(agent->adopted.remember), agent_clock_ns(CLOCK_REALTIME),
			 agent_clock_ns(CLOCK_MONOTONIC)))
		log_message(LOG_WARN, "the wall clock is more than an hour behind the last agent's: times of points go back to it");
	if (exporters & EXPORTER_CONSOLE)
		agent->console = console_new(stdout);
	if (exporters & EXPORTER_OTLP)
		agent->sender = sender_new(agent->options);
	if (agent->sender && agent->options->preference != PREFERENCE_CUMULATIVE) {
		agent->delta = delta_new();
		log_message(LOG_INFO, "delta temporality: what was acknowledged is remembered, in at most %.1f MiB (--max-cells)",
			    (double)delta_bytes_max(limits.cells) / (1 << 20));
	}
	if (!agent->collector || !agent->arena || (exporters & EXPORTER_CONSOLE && !agent->console) ||
	    (exporters & EXPORTER_OTLP && !agent->sender) ||
	    (agent->sender && agent->options->preference != PREFERENCE_CUMULATIVE && !agent->delta)) {
		log_message(LOG_ERROR, "run: out of memory at the start");
		return -ENOMEM;
	}
	agent_delta_resume(agent);
	answers_set_ready(agent->answers);
	return 0;
}

void agent_finish(struct agent *agent)
{
	struct object *object;
	size_t detached = 0;

	answers_free(agent->answers);
	/* Quietly: everything goes. Before Linux 6.6 that may take a tenth of a second per site. */
	progress_begin(&agent->progress, agent_clock_ns(CLOCK_MONOTONIC));
	for (object = agent->discovery.objects.list; object; object = object->hh.next) {
		detached += object->attachment ? attach_count(object->attachment) : 0;
		attach_free(object->attachment);
		object->attachment = NULL;
		if (progress_due(&agent->progress, agent_clock_ns(CLOCK_MONOTONIC))) {
			log_message(LOG_INFO, "run: ending; detached %zu of %llu sites", detached, (unsigned long long)agent->self.sites);
			notify_working(&agent->notify, "detaching: %zu of %llu sites", detached, (unsigned long long)agent->self.sites);
		}
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
	if (agent->pins_lock >= 0)
		pins_base_leave(agent->options->bpffs);
}
