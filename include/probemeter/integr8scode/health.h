/* SPDX-License-Identifier: BSD-2-Clause */
/* health.h - health checks and dependencies. Scope: HealthMetrics. */
#ifndef PROBEMETER_INTEGR8SCODE_HEALTH_H
#define PROBEMETER_INTEGR8SCODE_HEALTH_H

#include <probemeter/probemeter.h>

#pragma push_macro("PROBEMETER_SCOPE")
#undef PROBEMETER_SCOPE
#define PROBEMETER_SCOPE "HealthMetrics"

PROBEMETER_COUNTER(health_checks_total, "health.checks.total", "{check}", "Health check results", "service", "status")
PROBEMETER_HISTOGRAM(health_check_duration, "health.check.duration", "{s}", "Check duration", "service")
PROBEMETER_UPDOWNCOUNTER_LATEST(health_dependencies_status, "health.dependencies.status", "{dependency}",
		"Dependency status (1=up)", "dependency")

#pragma pop_macro("PROBEMETER_SCOPE")

#endif
