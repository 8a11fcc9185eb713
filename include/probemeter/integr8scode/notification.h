/* SPDX-License-Identifier: BSD-2-Clause */
/* notification.h - notification delivery. Scope: NotificationMetrics. */
#ifndef PROBEMETER_INTEGR8SCODE_NOTIFICATION_H
#define PROBEMETER_INTEGR8SCODE_NOTIFICATION_H

#include <probemeter/probemeter.h>

#pragma push_macro("PROBEMETER_SCOPE")
#undef PROBEMETER_SCOPE
#define PROBEMETER_SCOPE "NotificationMetrics"

PROBEMETER_COUNTER(notifications_sent_total, "notifications.sent.total", "{notification}",
		"Notifications sent", "type", "channel")
PROBEMETER_COUNTER(notifications_failed_total, "notifications.failed.total", "{notification}",
		"Failed notifications", "type", "error")
PROBEMETER_HISTOGRAM(notifications_delivery_duration, "notifications.delivery.duration", "{s}",
		"Delivery time", "channel")

#pragma pop_macro("PROBEMETER_SCOPE")

#endif
