/* SPDX-License-Identifier: BSD-2-Clause */
/* connection.h - server-sent event and WebSocket connections. Scope: ConnectionMetrics. */
#ifndef PROBEMETER_INTEGR8SCODE_CONNECTION_H
#define PROBEMETER_INTEGR8SCODE_CONNECTION_H

#include <probemeter/probemeter.h>

#pragma push_macro("PROBEMETER_SCOPE")
#undef PROBEMETER_SCOPE
#define PROBEMETER_SCOPE "ConnectionMetrics"

PROBEMETER_UPDOWNCOUNTER(connections_active, "connections.active", "{connection}", "Active connections", "type")
PROBEMETER_COUNTER(connections_total, "connections.total", "{connection}", "Total connections opened", "type")
PROBEMETER_HISTOGRAM(connections_duration, "connections.duration", "{s}", "Connection duration", "type")
PROBEMETER_COUNTER(connections_messages_sent, "connections.messages.sent", "{message}", "Messages sent", "type")

#pragma pop_macro("PROBEMETER_SCOPE")

#endif
