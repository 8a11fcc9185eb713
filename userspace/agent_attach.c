/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agent_attach.c - what watching finds, attached: by the rules, and as an earlier agent left it.
 */
#include "agent.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "files.h"
#include "kernel.h"
#include "log.h"
#include "metric.h"
#include "rules.h"
#include "shortage.h"

#define FILES_TO_LOOK 4 /* a list in /proc, a file, what is looked at beside it, and a link */

/* Attach, for good where that can be. */
static int links_make(struct agent *agent, struct object *object)
{
	struct attach_plan plan;
	const struct pins *pins = &agent->adopted.pins;
	int err = adopt_plan(&agent->adopted, object, agent->trial.way, &plan);

	/* Links that nobody would know again end with this agent. */
	if (err == -ENOSPC) {
		plan = (struct attach_plan){ .way = agent->trial.way };
		pins = NULL;
		err = 0;
	}
	if (!err)
		err = attach_object(&agent->adopted.kernel, pins, &plan, object);
	if (!err && plan.keep_only)
		log_message(LOG_INFO, "attached: '%s': by another build, which read its metrics in another way; its counters and "
			    "histograms stay as they are until the file is replaced", object->path);
	/* After an attach that failed there is none of them. */
	if (!err && plan.known && !object->attach_err && attach_made(object->attachment))
		log_message(LOG_WARN, "attach: '%s': %zu of its links " ADOPT_LOG_WRITTEN, object->path,
			    attach_made(object->attachment));
	if (!err && attach_unpinned(object->attachment))
		log_message(LOG_WARN, "attach: '%s': %zu links " SHORTAGE_LOG_LINK " in '%s'; they end with this agent; let its user write there",
			    object->path, attach_unpinned(object->attachment), agent->adopted.pins.directory);
	return err;
}

/* Attaching to thousands of sites may take a while, and nothing else happens meanwhile. @sites: those attached just now. */
static void say_progress(struct agent *agent, size_t sites)
{
	const struct discovery *discovery = &agent->discovery;
	char looked[80] = "";

	if (!progress_due(&agent->progress, agent_clock_ns(CLOCK_MONOTONIC)))
		return;
	if (discovery->to_look)
		(void)snprintf(looked, sizeof(looked), "; %zu of %zu looked at", discovery->looked, discovery->to_look);
	log_message(LOG_INFO, "attaching: %llu sites in %zu binaries so far%s", (unsigned long long)agent->self.sites + sites,
		    agent->binaries + (sites > 0), looked);
	notify_working(&agent->notify, "attaching: %zu binaries so far%s", agent->binaries, looked);
}

static const char *attach_remedy(int err)
{
	if (err == -EMFILE)
		return "tried again soon; raise LimitNOFILE= of this agent's unit, or ulimit -n";
	return pins_short(err) ? "tried again soon" : "'probemeter check' says what this host lacks";
}

/* Said once, however often it is tried. */
static void attach_failed(struct object *object, int err)
{
	if (err != object->attach_err)
		log_message(LOG_WARN, "attach: '%s': %s; " SHORTAGE_LOG_ATTACH "; %s", object->path, strerror(-err),
			    attach_remedy(err));
	object->attach_err = err;
}

/* Of files that are attached: others' names are nobody's concern. */
static void conflicts_tell(struct agent *agent, const struct object *object)
{
	const char *other;
	size_t i;

	for (i = 0; i < object->descriptors.count; i++) {
		other = object->metric[i] ? metrics_conflict(agent->adopted.metrics, object->metric[i]) : NULL;
		if (other)
			log_message(LOG_WARN, "metric '%s' in '%s': another metric of this name differs in %s; they stay apart by "
				    "service, and one should be renamed", object->metric[i]->name, object->path, other);
	}
}

static void object_attach(struct agent *agent, struct object *object)
{
	int err = links_make(agent, object);

	say_progress(agent, err ? 0 : attach_count(object->attachment));
	if (err) {
		attach_failed(object, err);
		return;
	}
	object->attach_err = 0;
	conflicts_tell(agent, object);
	if (object->mapped_ns)
		durations_add(&agent->self.attach, agent_clock_ns(CLOCK_MONOTONIC) - object->mapped_ns);
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
	uint64_t now = agent_unix_ns(agent);
	char line[512];
	size_t i;
	int err;

	object->metric = calloc(object->descriptors.count, sizeof(struct metric *));
	if (!object->metric) {
		attach_failed(object, -ENOMEM);
		return;
	}
	/* An excluded file has no metrics that anybody knows: it is neither attached nor read. */
	if (!rules_file(agent->rules, object->path))
		return;
	for (i = 0; i < object->descriptors.count; i++) {
		struct descriptor *found = &object->descriptors.descriptor[i];
		struct metric wanted;
		bool counted = trims_apply(agent->trims, &found->metric, &wanted, &found->left_out, line, sizeof(line));

		if (*line)
			log_message(LOG_INFO, "%s", line);
		if (!counted)
			continue;
		err = metrics_intern(agent->adopted.metrics, &wanted, &object->metric[i]);
		if (!err)
			err = collector_metric_starts(agent->collector, object->metric[i], now);
		if (!err && found->left_out) {
			err = remember_trimmed(agent->adopted.remember, object->metric[i]->id, trims_hash(agent->trims));
			metrics_hide(agent->adopted.metrics, object->metric[i]->id, false);
		}
		if (err == -ENOMEM) {
			free(object->metric);
			object->metric = NULL;
			attach_failed(object, err);
			return;
		}
		if (err) {
			object->metric[i] = NULL;
			log_message(LOG_WARN, "attach: '%s' in '%s': no room for another metric (at most %d), not counted; leave some out by --drop-metric",
				    wanted.name, object->path, PM_MAX_METRICS);
		}
	}
	/* Where rules choose, only for a process that is counted, or was by the same rules, or if the command line says so. */
	if (!rules_choose(agent->rules) || is_asked_for(agent, object->path) || adopt_stays(&agent->adopted, object))
		object_attach(agent, object);
	else
		watch_hurry(agent->watch, agent_clock_ns(CLOCK_MONOTONIC));
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

struct discover_events agent_discover_events(struct agent *agent)
{
	return (struct discover_events){ .found = object_found, .gone = object_gone, .identify = file_identify, .context = agent };
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

/* What could not be had then may be there now. */
static void attach_again(struct agent *agent)
{
	struct object *object;

	for (object = agent->discovery.objects.list; object; object = object->hh.next) {
		if (object->attachment || !pins_short(object->attach_err))
			continue;
		if (object->metric)
			object_attach(agent, object);
		else
			object_found(agent, object);
	}
}

/* The host has been looked at: go on with what an earlier agent left. */
static void adopted(struct agent *agent)
{
	adopt_files(&agent->adopted, &agent->discovery.objects, &agent->events);
	adopt_count(&agent->adopted); /* the first time; then it has nothing to do */
	if (remember_full(agent->adopted.remember) && !agent->said_full) {
		agent->said_full = true;
		log_message(LOG_WARN, "run: " SHORTAGE_LOG_JOURNAL " services, series and files for the next agent; new files are counted until this "
			    "one ends; a restart makes room of what is over, 'probemeter stop --detach' and a start begin anew");
	}
}

/* A file that cannot be opened is not even known to have probes. Return: are some left for it? */
static bool files_look(struct agent *agent, uint64_t now_ns)
{
	bool left = files_left(FILES_TO_LOOK);

	shortage_note(&agent->files, now_ns, left ? 0 : -EMFILE, SHORTAGE_LOG_FILES,
		      "what they fire is not counted; raise LimitNOFILE= of this agent's unit, or ulimit -n");
	return left;
}

/* Nothing is attached: because there is nothing, or because the rules want none of it. What could not be attached was said. */
static void say_nothing_attached(struct agent *agent)
{
	const struct object *object, *left_out = NULL;
	size_t files = 0;

	agent->said_nothing_found = true;
	for (object = agent->discovery.objects.list; object; object = object->hh.next) {
		if (object->attach_err)
			return;
		if (object->descriptors.count)
			left_out = object;
		files += object->descriptors.count > 0;
	}
	if (left_out)
		log_message(LOG_INFO, "processes have probes, in %zu files such as '%s', and by the rules (--include, --exclude, --policy) none of "
			    "them is counted; looking for new ones", files, left_out->path);
	else
		log_message(LOG_INFO, "no process has probes yet; looking for new ones; 'probemeter probes FILE' says whether a program has any");
}

/* Do what watching is due for. Services that showed up are named while their processes live. */
void agent_watch(struct agent *agent, uint64_t now_ns)
{
	bool settled, looked = true;
	int err;

	progress_begin(&agent->progress, now_ns);
	err = watch_run(agent->watch, now_ns, &settled);
	if (settled || err)
		looked = files_look(agent, now_ns);
	if (settled && !err && rules_choose(agent->rules))
		admit(agent);
	if (settled && !err) {
		attach_again(agent);
		err = collector_services(agent->collector, &agent->discovery);
	}
	shortage_note(&agent->watching, now_ns, err, "watching processes", "new ones may be found later");
	if (settled && !agent->notify.ready)
		notify_ready(&agent->notify, "%zu binaries attached", agent->binaries);
	if (settled && looked && !agent->binaries && !agent->said_nothing_found)
		say_nothing_attached(agent);
	if (settled)
		adopted(agent);
}

/* Before an export: the dead must be out of the levels, and forked children in. A guard that was killed is replaced here,
 * as on a quiet host nothing else happens for half a minute. */
void agent_settle(struct agent *agent)
{
	uint64_t now_ns = agent_clock_ns(CLOCK_MONOTONIC);

	(void)files_look(agent, now_ns);
	adopt_tend(&agent->adopted, &agent->discovery.objects);
	shortage_note(&agent->settling, now_ns, watch_settle(agent->watch, now_ns), "watching processes before an export",
		      "levels may be those of some moments ago");
}
