# SPDX-License-Identifier: BSD-2-Clause
"""The 43 documented metrics, typed from the metrics reference, and the names a Prometheus gives them."""
from typing import NamedTuple

COUNTER, UPDOWNCOUNTER, HISTOGRAM = "counter", "updowncounter", "histogram"


class Metric(NamedTuple):
    name: str
    kind: str
    scope: str
    labels: tuple
    description: str

    @property
    def translated(self):
        """The names of its series at a receiver with default OTLP settings: no unit suffix, _total once."""
        base = self.name.replace(".", "_")
        if self.kind == COUNTER:
            return (base if base.endswith("_total") else base + "_total",)
        if self.kind == HISTOGRAM:
            return (base + "_bucket", base + "_count", base + "_sum")
        return (base,)


METRICS = [
    # ExecutionMetrics
    Metric("script.executions.total", COUNTER, "ExecutionMetrics", ("status", "lang_and_version"), "Total executions"),
    Metric("script.execution.duration", HISTOGRAM, "ExecutionMetrics", ("lang_and_version",),
           "Execution time (seconds)"),
    Metric("script.executions.active", UPDOWNCOUNTER, "ExecutionMetrics", (), "Currently running executions"),
    Metric("script.memory.usage", HISTOGRAM, "ExecutionMetrics", ("lang_and_version",), "Memory per execution (MiB)"),
    Metric("script.cpu.utilization", HISTOGRAM, "ExecutionMetrics", (), "CPU usage (millicores)"),
    Metric("script.errors.total", COUNTER, "ExecutionMetrics", ("error_type",), "Errors by type"),
    Metric("execution.queue.depth", UPDOWNCOUNTER, "ExecutionMetrics", (), "Queued executions"),
    Metric("execution.queue.wait_time", HISTOGRAM, "ExecutionMetrics", ("lang_and_version",),
           "Queue wait time (seconds)"),
    # CoordinatorMetrics
    Metric("coordinator.scheduling.duration", HISTOGRAM, "CoordinatorMetrics", (), "Scheduling time"),
    Metric("coordinator.executions.active", UPDOWNCOUNTER, "CoordinatorMetrics", (), "Active managed executions"),
    Metric("coordinator.queue.wait_time", HISTOGRAM, "CoordinatorMetrics", ("priority",), "Queue wait by priority"),
    Metric("coordinator.executions.scheduled.total", COUNTER, "CoordinatorMetrics", ("status",),
           "Scheduled executions"),
    # RateLimitMetrics
    Metric("rate_limit.requests.total", COUNTER, "RateLimitMetrics", ("authenticated", "endpoint", "algorithm"),
           "Total checks"),
    Metric("rate_limit.allowed.total", COUNTER, "RateLimitMetrics", ("group", "priority", "multiplier"),
           "Allowed requests"),
    Metric("rate_limit.rejected.total", COUNTER, "RateLimitMetrics", ("group", "priority", "multiplier"),
           "Rejected requests"),
    Metric("rate_limit.bypass.total", COUNTER, "RateLimitMetrics", ("endpoint",), "Bypassed checks"),
    Metric("rate_limit.check.duration", HISTOGRAM, "RateLimitMetrics", ("endpoint", "authenticated"),
           "Check duration (ms)"),
    Metric("rate_limit.redis.duration", HISTOGRAM, "RateLimitMetrics", ("operation",), "Redis operation time (ms)"),
    Metric("rate_limit.remaining", HISTOGRAM, "RateLimitMetrics", (), "Remaining requests"),
    Metric("rate_limit.quota.usage", HISTOGRAM, "RateLimitMetrics", (), "Quota usage (%)"),
    Metric("rate_limit.token_bucket.tokens", HISTOGRAM, "RateLimitMetrics", ("endpoint",), "Current tokens"),
    # EventMetrics
    Metric("events.produced.total", COUNTER, "EventMetrics", ("event_type", "topic"), "Events published"),
    Metric("events.consumed.total", COUNTER, "EventMetrics", ("event_type", "topic"), "Events consumed"),
    Metric("events.processing.duration", HISTOGRAM, "EventMetrics", ("event_type",), "Processing time"),
    Metric("events.errors.total", COUNTER, "EventMetrics", ("event_type", "error_type"), "Processing errors"),
    Metric("events.lag", UPDOWNCOUNTER, "EventMetrics", ("topic", "partition"), "Consumer lag"),
    # DatabaseMetrics
    Metric("database.operations.total", COUNTER, "DatabaseMetrics", ("operation", "collection"), "Total operations"),
    Metric("database.operation.duration", HISTOGRAM, "DatabaseMetrics", ("operation", "collection"), "Operation time"),
    Metric("database.errors.total", COUNTER, "DatabaseMetrics", ("operation", "error_type"), "Database errors"),
    Metric("database.connections.active", UPDOWNCOUNTER, "DatabaseMetrics", (), "Active connections"),
    # ConnectionMetrics
    Metric("connections.active", UPDOWNCOUNTER, "ConnectionMetrics", ("type",), "Active connections"),
    Metric("connections.total", COUNTER, "ConnectionMetrics", ("type",), "Total connections opened"),
    Metric("connections.duration", HISTOGRAM, "ConnectionMetrics", ("type",), "Connection duration"),
    Metric("connections.messages.sent", COUNTER, "ConnectionMetrics", ("type",), "Messages sent"),
    # HealthMetrics
    Metric("health.checks.total", COUNTER, "HealthMetrics", ("service", "status"), "Health check results"),
    Metric("health.check.duration", HISTOGRAM, "HealthMetrics", ("service",), "Check duration"),
    Metric("health.dependencies.status", UPDOWNCOUNTER, "HealthMetrics", ("dependency",), "Dependency status (1=up)"),
    # NotificationMetrics
    Metric("notifications.sent.total", COUNTER, "NotificationMetrics", ("type", "channel"), "Notifications sent"),
    Metric("notifications.failed.total", COUNTER, "NotificationMetrics", ("type", "error"), "Failed notifications"),
    Metric("notifications.delivery.duration", HISTOGRAM, "NotificationMetrics", ("channel",), "Delivery time"),
    # DLQMetrics
    Metric("dlq.messages.total", COUNTER, "DLQMetrics", ("topic", "reason"), "Messages sent to DLQ"),
    Metric("dlq.retries.total", COUNTER, "DLQMetrics", ("topic",), "Retry attempts"),
    Metric("dlq.size", UPDOWNCOUNTER, "DLQMetrics", ("topic",), "Current DLQ size"),
]
assert len(METRICS) == 43
BY_NAME = {metric.name: metric for metric in METRICS}

# The reference's example queries, letter for letter.
SUCCESS_RATE = """\
sum(rate(script_executions_total{status="completed"}[5m])) /
sum(rate(script_executions_total[5m]))"""
DURATION_P99 = """\
histogram_quantile(0.99, sum(rate(script_execution_duration_bucket[5m])) by (le, lang_and_version))"""
REJECTION_RATE = """\
sum(rate(rate_limit_rejected_total[5m])) /
sum(rate(rate_limit_requests_total[5m]))"""
QUEUE_DEPTH = """\
avg_over_time(execution_queue_depth[1h])"""
