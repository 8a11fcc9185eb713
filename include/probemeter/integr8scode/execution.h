/* SPDX-License-Identifier: BSD-2-Clause */
/* execution.h - script execution: how long, how much memory and CPU, how many wait. Scope: ExecutionMetrics. */
#ifndef PROBEMETER_INTEGR8SCODE_EXECUTION_H
#define PROBEMETER_INTEGR8SCODE_EXECUTION_H

#include <probemeter/probemeter.h>

#pragma push_macro("PROBEMETER_SCOPE")
#undef PROBEMETER_SCOPE
#define PROBEMETER_SCOPE "ExecutionMetrics"

PROBEMETER_COUNTER(script_executions_total, "script.executions.total", "{execution}",
		"Total executions", "status", "lang_and_version")
PROBEMETER_HISTOGRAM(script_execution_duration, "script.execution.duration", "{s}",
		"Execution time (seconds)", "lang_and_version")
PROBEMETER_UPDOWNCOUNTER(script_executions_active, "script.executions.active", "{execution}",
		"Currently running executions")
PROBEMETER_HISTOGRAM(script_memory_usage, "script.memory.usage", "{MiB}",
		"Memory per execution (MiB)", "lang_and_version")
PROBEMETER_HISTOGRAM(script_cpu_utilization, "script.cpu.utilization", "{millicores}", "CPU usage (millicores)")
PROBEMETER_COUNTER(script_errors_total, "script.errors.total", "{error}", "Errors by type", "error_type")
PROBEMETER_UPDOWNCOUNTER(execution_queue_depth, "execution.queue.depth", "{execution}", "Queued executions")
PROBEMETER_HISTOGRAM(execution_queue_wait_time, "execution.queue.wait_time", "{s}",
		"Queue wait time (seconds)", "lang_and_version")

#pragma pop_macro("PROBEMETER_SCOPE")

#endif
