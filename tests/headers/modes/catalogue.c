/* SPDX-License-Identifier: BSD-2-Clause */
/* catalogue.c - all 43 documented metrics, used with the right verb and number of labels. */
#include <probemeter/integr8scode.h>

int main(void)
{
	PROBEMETER_ADD(script_executions_total, 1, "status", "lang_and_version");
	PROBEMETER_RECORD(script_execution_duration, 1, "lang_and_version");
	PROBEMETER_ADD(script_executions_active, 1);
	PROBEMETER_RECORD(script_memory_usage, 1, "lang_and_version");
	PROBEMETER_RECORD(script_cpu_utilization, 1);
	PROBEMETER_ADD(script_errors_total, 1, "error_type");
	PROBEMETER_ADD(execution_queue_depth, 1);
	PROBEMETER_RECORD(execution_queue_wait_time, 1, "lang_and_version");
	PROBEMETER_RECORD(coordinator_scheduling_duration, 1);
	PROBEMETER_ADD(coordinator_executions_active, 1);
	PROBEMETER_RECORD(coordinator_queue_wait_time, 1, "priority");
	PROBEMETER_ADD(coordinator_executions_scheduled_total, 1, "status");
	PROBEMETER_ADD(rate_limit_requests_total, 1, "authenticated", "endpoint", "algorithm");
	PROBEMETER_ADD(rate_limit_allowed_total, 1, "group", "priority", "multiplier");
	PROBEMETER_ADD(rate_limit_rejected_total, 1, "group", "priority", "multiplier");
	PROBEMETER_ADD(rate_limit_bypass_total, 1, "endpoint");
	PROBEMETER_RECORD(rate_limit_check_duration, 1, "endpoint", "authenticated");
	PROBEMETER_RECORD(rate_limit_redis_duration, 1, "operation");
	PROBEMETER_RECORD(rate_limit_remaining, 1);
	PROBEMETER_RECORD(rate_limit_quota_usage, 1);
	PROBEMETER_RECORD(rate_limit_token_bucket_tokens, 1, "endpoint");
	PROBEMETER_ADD(events_produced_total, 1, "event_type", "topic");
	PROBEMETER_ADD(events_consumed_total, 1, "event_type", "topic");
	PROBEMETER_RECORD(events_processing_duration, 1, "event_type");
	PROBEMETER_ADD(events_errors_total, 1, "event_type", "error_type");
	PROBEMETER_SET(events_lag, 1, "topic", "partition");
	PROBEMETER_ADD(database_operations_total, 1, "operation", "collection");
	PROBEMETER_RECORD(database_operation_duration, 1, "operation", "collection");
	PROBEMETER_ADD(database_errors_total, 1, "operation", "error_type");
	PROBEMETER_ADD(database_connections_active, 1);
	PROBEMETER_ADD(connections_active, 1, "type");
	PROBEMETER_ADD(connections_total, 1, "type");
	PROBEMETER_RECORD(connections_duration, 1, "type");
	PROBEMETER_ADD(connections_messages_sent, 1, "type");
	PROBEMETER_ADD(health_checks_total, 1, "service", "status");
	PROBEMETER_RECORD(health_check_duration, 1, "service");
	PROBEMETER_SET(health_dependencies_status, 1, "dependency");
	PROBEMETER_ADD(notifications_sent_total, 1, "type", "channel");
	PROBEMETER_ADD(notifications_failed_total, 1, "type", "error");
	PROBEMETER_RECORD(notifications_delivery_duration, 1, "channel");
	PROBEMETER_ADD(dlq_messages_total, 1, "topic", "reason");
	PROBEMETER_ADD(dlq_retries_total, 1, "topic");
	PROBEMETER_SET(dlq_size, 1, "topic");
	return 0;
}
