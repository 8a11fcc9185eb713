/* SPDX-License-Identifier: BSD-2-Clause */
/* coordinator.h - scheduling and queue management. Scope: CoordinatorMetrics. */
#ifndef PROBEMETER_INTEGR8SCODE_COORDINATOR_H
#define PROBEMETER_INTEGR8SCODE_COORDINATOR_H

#include <probemeter/probemeter.h>

#pragma push_macro("PROBEMETER_SCOPE")
#undef PROBEMETER_SCOPE
#define PROBEMETER_SCOPE "CoordinatorMetrics"

PROBEMETER_HISTOGRAM(coordinator_scheduling_duration, "coordinator.scheduling.duration", "{s}", "Scheduling time")
PROBEMETER_UPDOWNCOUNTER(coordinator_executions_active, "coordinator.executions.active", "{execution}",
		"Active managed executions")
PROBEMETER_HISTOGRAM(coordinator_queue_wait_time, "coordinator.queue.wait_time", "{s}",
		"Queue wait by priority", "priority")
PROBEMETER_COUNTER(coordinator_executions_scheduled_total, "coordinator.executions.scheduled.total", "{execution}",
		"Scheduled executions", "status")

#pragma pop_macro("PROBEMETER_SCOPE")

#endif
