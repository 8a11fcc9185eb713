/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * points.h - what merge produces and every exporter consumes: plain structs, no behaviour.
 */
#ifndef PROBEMETER_POINTS_H
#define PROBEMETER_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <probemeter/abi.h>

/* One resource attribute; both strings valid UTF-8, the key not empty and unique in its resource. */
struct attribute {
	const char *key;
	const char *value;
};

/* Whose metrics: one OTLP resource. */
struct resource {
	struct attribute *attribute;
	size_t attribute_count;
	uint64_t since_unix_ns; /* its streams start no earlier; 0: as early as their metrics */
};

/* What a metric is, as its descriptor says. Strings are valid UTF-8. */
struct metric {
	uint32_t id; /* dense, this agent's */
	uint32_t kind; /* PROBEMETER_KIND_* */
	const char *scope;
	const char *name;
	const char *unit; /* goes on the wire as it is */
	const char *description;
	uint32_t label_count;
	const char *label[PROBEMETER_MAX_LABELS];
	uint32_t bound_count; /* declared bounds of a histogram; 0: none declared */
	const double *bound; /* ascending */
};

enum point_type {
	POINT_SUM, /* integer; monotonic or not by @monotonic */
	POINT_GAUGE, /* real */
	POINT_HISTOGRAM, /* explicit bounds */
	POINT_EXPONENTIAL,
};

enum temporality { TEMPORALITY_DELTA = 1, TEMPORALITY_CUMULATIVE = 2 }; /* the numbers of OTLP */

/* Buckets of an exponential histogram: count[i] lies in (base^(offset+i), base^(offset+i+1)]. */
struct exponential_buckets {
	int32_t offset;
	uint32_t bucket_count;
	uint64_t *count;
};

/* What was counted in one bucket. */
struct bucket_count {
	int32_t index;
	uint32_t negative; /* 1: of values below zero, and @index is that of their magnitude */
	uint64_t count;
};

/* One series at one time. Tens of thousands of them are held at once, so there are no holes between the fields. */
struct point {
	const struct resource *resource;
	const struct metric *metric;
	const char *value[PROBEMETER_MAX_LABELS]; /* label values, valid UTF-8, one per label */
	enum point_type type;
	enum temporality temporality;
	bool overflow; /* the overflow series: no label values, otel.metric.overflow=true */
	bool monotonic;
	bool ended; /* the series ends here: it has no value any more, and all numbers below are 0 */
	bool has_sum; /* of a histogram; false where negative values were seen */
	uint32_t bound_count; /* POINT_HISTOGRAM */
	uint64_t start_unix_ns; /* 0 for a gauge */
	union {
		int64_t integer; /* POINT_SUM */
		double real; /* POINT_GAUGE */
	};
	/* Histograms. */
	uint64_t count;
	double sum;
	const double *bound; /* POINT_HISTOGRAM: @bound_count, ascending, and one more bucket */
	uint64_t *bucket;
	int32_t scale; /* POINT_EXPONENTIAL */
	uint32_t cell_count;
	struct bucket_count *cell; /* what these were made from (exponential.h), by sign and index, none empty */
	uint64_t zero_count;
	struct exponential_buckets positive;
	struct exponential_buckets negative;
};

/* One export: points ordered by resource, then scope, then metric (equal ones adjacent, compared by address for the
 * resource and the metric, by string for the scope). */
struct points {
	uint64_t time_unix_ns;
	struct point *point;
	size_t count;
};

#endif
