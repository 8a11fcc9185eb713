/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drops.c - every way in which something may not be counted or not arrive, with counter, log line and remedy.
 *
 * Consumes the kernel's drop counters; produces the words for them, and the table of them in operating.md. Events are dropped
 * by the BPF programs, points by the exporter or the collector. A series past a limit is no drop: it counts in the
 * overflow series of its metric.
 */
#include "drops.h"

#include <stdlib.h>

#include "../bpf/maps.h"

#define EVENTS "probemeter.agent.events.dropped"
#define EVENTS_LOG "events were dropped"

const struct drop_reason drop_reasons[PM_DROP_REASONS] = {
	[PM_DROP_NEGATIVE] = { "negative", EVENTS, EVENTS_LOG, "a counter was fired with a negative number",
			       "declare an up-down counter for what can fall" },
	[PM_DROP_NOT_FINITE] = { "not_finite", EVENTS, EVENTS_LOG, "a histogram was fired with NaN or an infinity",
				 "check the value before recording it" },
	[PM_DROP_NO_CELL] = { "no_cell", EVENTS, EVENTS_LOG, "no room in the kernel, not even for the overflow series",
			      "raise --max-cells, or use fewer label values in the service with most series" },
	[PM_DROP_NO_SERVICE] = { "no_service", EVENTS, EVENTS_LOG, "more services than there is room for",
				 "raise --max-services or lower --forget, use fewer distinct OTEL_RESOURCE_ATTRIBUTES per host and no "
				 "--per-process" },
};

/* Of levels, which no event reports, and of points, which were counted and not delivered. */
static const struct drop_reason other_reasons[] = {
	{ "no_slot", "probemeter.agent.levels.lost", DROPS_LOG_LEVELS, "a level has a new label set, and its file's table is full",
	  "use fewer label values in the levels of that file" },
	{ "rejected", "probemeter.agent.points.rejected", DROPS_LOG_REJECTED, "the collector answered that it dropped points",
	  "do what the collector's message says, which is in the line" },
	{ "too large", "probemeter.agent.points.dropped", DROPS_LOG_TOO_LARGE, "a single point does not fit a request of 4 MiB",
	  "shorten OTEL_RESOURCE_ATTRIBUTES of the service" },
	{ "not acknowledged", NULL, DROPS_LOG_NOT_ACKNOWLEDGED,
	  "with delta temporality, the agent ended before the collector had taken its last export",
	  "have the collector outlive the agent, or raise OTEL_METRIC_EXPORT_TIMEOUT" },
};

struct drops_told {
	bool told[PM_MAX_METRICS * PM_DROP_REASONS];
};

struct drops_told *drops_told_new(void)
{
	return calloc(1, sizeof(struct drops_told));
}

void drops_told_free(struct drops_told *told)
{
	free(told);
}

bool drops_next(struct drops_told *told, const struct metrics *metrics, const uint64_t *drop, char *ret, size_t size)
{
	const struct metric *metric;
	uint32_t id, reason, index;

	for (id = 0; (metric = metrics_get(metrics, id)); id++)
		for (reason = 0; reason < PM_DROP_REASONS; reason++) {
			index = PM_DROP_INDEX(id, reason);
			if (!drop[index] || told->told[index] || !drop_reasons[reason].name)
				continue;
			told->told[index] = true;
			(void)snprintf(ret, size, "metric '%s': %llu %s (%s): %s; %s", metric->name, (unsigned long long)drop[index],
				       drop_reasons[reason].log, drop_reasons[reason].name, drop_reasons[reason].meaning,
				       drop_reasons[reason].remedy);
			return true;
		}
	return false;
}

static void document_row(FILE *out, const struct drop_reason *row)
{
	fprintf(out, "| `%s` | %s%s%s | %s | %s | %s |\n", row->name, row->counter ? "`" : "", row->counter ? row->counter : "",
		row->counter ? "`" : "", row->log, row->meaning, row->remedy);
}

void drops_document(FILE *out)
{
	size_t i;

	fprintf(out, "| reason | counter | log | what happened | remedy |\n|---|---|---|---|---|\n");
	for (i = 0; i < PM_DROP_REASONS; i++)
		if (drop_reasons[i].name)
			document_row(out, &drop_reasons[i]);
	for (i = 0; i < sizeof(other_reasons) / sizeof(other_reasons[0]); i++)
		document_row(out, &other_reasons[i]);
}
