/* SPDX-License-Identifier: BSD-2-Clause */
/* api - the service's endpoints. */
#ifndef SCRIPTD_API_H
#define SCRIPTD_API_H

#include "http.h"

struct coordinator;
struct db;
struct dlq;
struct health;
struct stream;

/** What the endpoints work with; all of it outlives the server. */
struct api {
	struct db *db;
	struct coordinator *coordinator;
	struct stream *stream;
	struct dlq *dlq;
	struct health *health;
	int default_timeout_ms;
	double started_s;		/* monotonic */
};

/** api_routes - for struct http_config, whose ctx is a struct api */
const struct http_route *api_routes(size_t *nr_routes);

/** api_stats - the answer of GET /stats; the caller puts it */
struct json_object *api_stats(const struct api *api, bool values);

#endif
