/* SPDX-License-Identifier: BSD-2-Clause */
/* dlq.h - the dead letter queue. Scope: DLQMetrics. */
#ifndef PROBEMETER_INTEGR8SCODE_DLQ_H
#define PROBEMETER_INTEGR8SCODE_DLQ_H

#include <probemeter/probemeter.h>

#pragma push_macro("PROBEMETER_SCOPE")
#undef PROBEMETER_SCOPE
#define PROBEMETER_SCOPE "DLQMetrics"

PROBEMETER_COUNTER(dlq_messages_total, "dlq.messages.total", "{message}", "Messages sent to DLQ", "topic", "reason")
PROBEMETER_COUNTER(dlq_retries_total, "dlq.retries.total", "{retry}", "Retry attempts", "topic")
PROBEMETER_UPDOWNCOUNTER_LATEST(dlq_size, "dlq.size", "{message}", "Current DLQ size", "topic")

#pragma pop_macro("PROBEMETER_SCOPE")

#endif
