/* SPDX-License-Identifier: BSD-2-Clause */
/* event.h - event processing: produced, consumed, failed, and how far behind. Scope: EventMetrics. */
#ifndef PROBEMETER_INTEGR8SCODE_EVENT_H
#define PROBEMETER_INTEGR8SCODE_EVENT_H

#include <probemeter/probemeter.h>

#pragma push_macro("PROBEMETER_SCOPE")
#undef PROBEMETER_SCOPE
#define PROBEMETER_SCOPE "EventMetrics"

PROBEMETER_COUNTER(events_produced_total, "events.produced.total", "{event}",
		"Events published", "event_type", "topic")
PROBEMETER_COUNTER(events_consumed_total, "events.consumed.total", "{event}",
		"Events consumed", "event_type", "topic")
PROBEMETER_HISTOGRAM(events_processing_duration, "events.processing.duration", "{s}", "Processing time", "event_type")
PROBEMETER_COUNTER(events_errors_total, "events.errors.total", "{error}",
		"Processing errors", "event_type", "error_type")
PROBEMETER_UPDOWNCOUNTER_LATEST(events_lag, "events.lag", "{event}", "Consumer lag", "topic", "partition")

#pragma pop_macro("PROBEMETER_SCOPE")

#endif
