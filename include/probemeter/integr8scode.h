/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * integr8scode.h - the documented catalogue: 43 metrics, one header and one OTLP scope per domain.
 *
 * Names, kinds, labels and descriptions are the metrics reference's. Units are annotations (in braces), because the
 * reference's queries carry no unit suffix and a translation to Prometheus drops what stands in braces. A metric's id
 * is its name with '.' turned into '_'. Including a header costs a program nothing for the metrics it does not use.
 */
#ifndef PROBEMETER_INTEGR8SCODE_H
#define PROBEMETER_INTEGR8SCODE_H

#include <probemeter/integr8scode/execution.h>
#include <probemeter/integr8scode/coordinator.h>
#include <probemeter/integr8scode/rate_limit.h>
#include <probemeter/integr8scode/event.h>
#include <probemeter/integr8scode/database.h>
#include <probemeter/integr8scode/connection.h>
#include <probemeter/integr8scode/health.h>
#include <probemeter/integr8scode/notification.h>
#include <probemeter/integr8scode/dlq.h>

#endif
