/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agent_export.c - one collection to every exporter, and what is said and kept of how that went.
 */
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "baselines.h"
#include "console.h"
#include "drops.h"
#include "encode.h"
#include "log.h"
#include "shortage.h"
#include "split.h"

/* Clocks are corrected all the time; what is less is not worth a line. */
#define CLOCK_BACK_NS 1000000000ull

#define TOTALS_STAY "totals stay and go with the next export"

/* What points and streams carry. */
uint64_t agent_unix_ns(struct agent *agent)
{
	uint64_t back, now = wall_now(&agent->wall, agent_clock_ns(CLOCK_REALTIME), agent_clock_ns(CLOCK_MONOTONIC), &back);

	if (back >= CLOCK_BACK_NS)
		log_message(LOG_WARN, "the wall clock was set back by %.1f s: times of points go on from where they were, at half speed, "
			    "until it has caught up; where that takes too long, a restart of the agent follows the clock if it is more than "
			    "an hour behind", (double)back / 1e9);
	remember_tell(agent->adopted.remember, now);
	return now;
}

/* What the collector said to one request that it took: once, not at each export. */
static void account_delivered(struct agent *agent, const struct ship_result *result)
{
	const char *word = *result->message ? result->message : result->rejected ? "no reason given" : "";
	bool same = !strcmp(agent->export_word, word);

	(void)snprintf(agent->export_word, sizeof(agent->export_word), "%s", word);
	if (same)
		return;
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
			    "export to %s: the answer to %llu points was lost; those that were sent again may be counted twice; with cumulative "
			    "temporality none are",
			    agent->options->where, (unsigned long long)agent->unanswered);
	agent->unanswered = 0;
}

/* Series that other rules had left out come back with totals whose deltas nobody knows any more. */
static uint64_t life_of_totals(const struct agent *agent)
{
	return journal_header(&agent->adopted.kernel.journal)->start_unix_ns ^ trims_hash(agent->trims);
}

/* See to it that the next agent sends what this one does not. @on_its_way: deltas that may arrive from now on. */
static void baselines_keep(struct agent *agent, uint64_t on_its_way)
{
	int err;

	if (!agent->delta || !agent->adopted.pins.persistent)
		return;
	err = baselines_save(agent->options->run_dir, life_of_totals(agent), agent->delta, agent->unanswered + on_its_way);
	if (err && !agent->said_baselines)
		log_message(LOG_WARN, "delta temporality: '%s/baselines' " SHORTAGE_LOG_BASELINES ": %s; the next agent may send again what was "
			    "acknowledged meanwhile; let this one write there, or elsewhere by --run-dir", agent->options->run_dir,
			    strerror(-err));
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
		agent->delivered_unix_ns = agent_clock_ns(CLOCK_REALTIME);
	switch (outage_update(&agent->outage, !failed, agent_clock_ns(CLOCK_MONOTONIC), line, sizeof(line))) {
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

void agent_results(struct agent *agent)
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
		if (outage_suspect(&agent->outage, agent_clock_ns(CLOCK_MONOTONIC), line, sizeof(line)) == OUTAGE_BEGINS)
			log_message(LOG_WARN, "export to %s failed: %s; %s", agent->options->where, trouble.message, line);
	}
	count = sender_results(agent->sender, &result);
	if (count)
		account(agent, result, count);
}

/* Name the services whose probes cost more than the user wants. */
static void overhead_report(struct agent *agent)
{
	uint64_t now = agent_clock_ns(CLOCK_MONOTONIC);
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
		agent_results(agent);
	}
	if (agent->delta)
		err = delta_points(agent->delta, points, agent->arena, points);
	if (!err)
		err = split_points(points, SPLIT_MAX_BYTES, agent->options->protocol == PROTOCOL_HTTP_JSON ? ENCODE_JSON : ENCODE_PROTOBUF,
				   agent->arena, &requests);
	if (!err) {
		account_too_large(agent, &requests);
		collector_sent(agent->collector, points);
		/* Before anything can arrive. */
		if (agent->delta)
			baselines_keep(agent, delta_count(agent->delta, 0, points->count));
		if (last)
			return flush(agent, &requests);
		err = sender_submit(agent->sender, &requests);
	}
	shortage_note(&agent->encoding, agent_clock_ns(CLOCK_MONOTONIC), err, "export: cannot be encoded", TOTALS_STAY);
	return err;
}

/* Collect and hand to every exporter. @last: nothing follows, so wait for the delivery. */
int agent_export(struct agent *agent, bool last)
{
	struct points points;
	char line[1024];
	int err;

	arena_reset(agent->arena);
	agent_results(agent);
	err = collector_points(agent->collector, &agent->discovery, &agent->self, agent_unix_ns(agent), agent->arena,
			       &points);
	shortage_note(&agent->reading, agent_clock_ns(CLOCK_MONOTONIC), err, "export: the counters cannot be read", TOTALS_STAY);
	if (err)
		return err;
	overhead_report(agent);
	while (collector_warning(agent->collector, line, sizeof(line)))
		log_message(LOG_WARN, "%s", line);
	if (agent->console) {
		err = console_print(agent->console, &points);
		agent->printed += !err;
		agent->unprinted += err < 0;
		shortage_note(&agent->printing, agent_clock_ns(CLOCK_MONOTONIC), err, "console: " SHORTAGE_LOG_CONSOLE,
			      "it misses these moments; " TOTALS_STAY);
	}
	if (!agent->sender) {
		collector_sent(agent->collector, &points);
		collector_delivered(agent->collector);
	}
	/* One under way means a slow collector: the next export has it all. */
	if (!agent->sender || (!last && sender_busy(agent->sender)))
		return 0;
	return export_otlp(agent, &points, last);
}

/* Deltas go on where the last agent's ended, or it is said that nobody knows where that was. */
void agent_delta_resume(struct agent *agent)
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
		    err == -ENOENT ? ": the last agent sent no deltas, or counted by other --drop-metric and --drop-label" :
				     ": what the last one left cannot be read");
}

/* Everything there is now counts as sent. */
void agent_delta_start(struct agent *agent)
{
	struct points points;
	int err;

	arena_reset(agent->arena);
	err = collector_points(agent->collector, &agent->discovery, &agent->self, agent_unix_ns(agent), agent->arena, &points);
	if (!err)
		err = delta_begin(agent->delta, &points, agent->started_unix_ns);
	if (err)
		log_message(LOG_WARN, "delta temporality: %s; what was counted before may be sent again", strerror(-err));
	agent->delta_unknown = false;
}
