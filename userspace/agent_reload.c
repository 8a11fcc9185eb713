/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agent_reload.c - the running agent goes over to the options that SIGHUP had read (reload.c).
 */
#include "agent.h"

#include <errno.h>

#include "log.h"
#include "reload.h"
#include "rules.h"

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
		agent_delta_resume(agent);
	if (agent->delta_unknown)
		agent_delta_start(agent);
	if (agent->sender) {
		sender_end(agent->sender);
		agent_results(agent);
		sender_free(agent->sender);
	}
	agent->sender = sender;
	return 0;
}

/* SIGHUP */
void agent_reload(struct agent *agent)
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
