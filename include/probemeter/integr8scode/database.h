/* SPDX-License-Identifier: BSD-2-Clause */
/* database.h - database operations and connections. Scope: DatabaseMetrics. */
#ifndef PROBEMETER_INTEGR8SCODE_DATABASE_H
#define PROBEMETER_INTEGR8SCODE_DATABASE_H

#include <probemeter/probemeter.h>

#pragma push_macro("PROBEMETER_SCOPE")
#undef PROBEMETER_SCOPE
#define PROBEMETER_SCOPE "DatabaseMetrics"

PROBEMETER_COUNTER(database_operations_total, "database.operations.total", "{operation}",
		"Total operations", "operation", "collection")
PROBEMETER_HISTOGRAM(database_operation_duration, "database.operation.duration", "{s}",
		"Operation time", "operation", "collection")
PROBEMETER_COUNTER(database_errors_total, "database.errors.total", "{error}",
		"Database errors", "operation", "error_type")
PROBEMETER_UPDOWNCOUNTER(database_connections_active, "database.connections.active", "{connection}",
		"Active connections")

#pragma pop_macro("PROBEMETER_SCOPE")

#endif
