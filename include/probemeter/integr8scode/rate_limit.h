/* SPDX-License-Identifier: BSD-2-Clause */
/* rate_limit.h - rate limiting: what was asked, allowed and rejected, and what it cost. Scope: RateLimitMetrics. */
#ifndef PROBEMETER_INTEGR8SCODE_RATE_LIMIT_H
#define PROBEMETER_INTEGR8SCODE_RATE_LIMIT_H

#include <probemeter/probemeter.h>

#pragma push_macro("PROBEMETER_SCOPE")
#undef PROBEMETER_SCOPE
#define PROBEMETER_SCOPE "RateLimitMetrics"

PROBEMETER_COUNTER(rate_limit_requests_total, "rate_limit.requests.total", "{request}",
		"Total checks", "authenticated", "endpoint", "algorithm")
PROBEMETER_COUNTER(rate_limit_allowed_total, "rate_limit.allowed.total", "{request}",
		"Allowed requests", "group", "priority", "multiplier")
PROBEMETER_COUNTER(rate_limit_rejected_total, "rate_limit.rejected.total", "{request}",
		"Rejected requests", "group", "priority", "multiplier")
PROBEMETER_COUNTER(rate_limit_bypass_total, "rate_limit.bypass.total", "{request}", "Bypassed checks", "endpoint")
PROBEMETER_HISTOGRAM(rate_limit_check_duration, "rate_limit.check.duration", "{ms}",
		"Check duration (ms)", "endpoint", "authenticated")
PROBEMETER_HISTOGRAM(rate_limit_redis_duration, "rate_limit.redis.duration", "{ms}",
		"Redis operation time (ms)", "operation")
PROBEMETER_HISTOGRAM(rate_limit_remaining, "rate_limit.remaining", "{request}", "Remaining requests")
PROBEMETER_HISTOGRAM(rate_limit_quota_usage, "rate_limit.quota.usage", "{%}", "Quota usage (%)")
PROBEMETER_HISTOGRAM(rate_limit_token_bucket_tokens, "rate_limit.token_bucket.tokens", "{token}",
		"Current tokens", "endpoint")

#pragma pop_macro("PROBEMETER_SCOPE")

#endif
