/* SPDX-License-Identifier: BSD-2-Clause */
#include "results.h"

#include <errno.h>
#include <json-c/json.h>

#include "notify.h"
#include "store.h"

static int request(struct results *results, const struct event *event, struct json_object *data,
		   const char *channel, const char *target)
{
	struct json_object *o = json_object_new_object();
	int err;

	json_object_object_add(o, "channel", json_object_new_string(channel));
	json_object_object_add(o, "target", json_object_new_string(target));
	json_object_object_add(o, "type", json_object_new_string(event->type));
	json_object_object_add(o, "job", json_object_get(data));
	err = events_produce(results->events, TOPIC_NOTIFICATIONS, "notification.requested", event->key,
			     json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), 0);
	json_object_put(o);
	return err;
}

static int notify_ended(struct results *results, const struct event *event, struct json_object *data)
{
	struct json_object *value;
	int err = 0;

	if (!json_object_object_get_ex(data, "state", &value) || !store_state_final(json_object_get_string(value)))
		return 0;
	if (json_object_object_get_ex(data, "notify_log", &value) && json_object_get_boolean(value))
		err = request(results, event, data, NOTIFY_LOG, "");
	if (!err && json_object_object_get_ex(data, "webhook", &value))
		err = request(results, event, data, NOTIFY_WEBHOOK, json_object_get_string(value));
	return err;
}

int results_process(void *ctx, const struct event *event, const char **error_type)
{
	struct results *results = ctx;
	struct json_object *data;
	int err;

	err = store_audit(results->db, event->key, event->type);
	if (err) {
		*error_type = "store_failed";
		return err;
	}
	data = json_tokener_parse(event->payload);
	if (!data) {
		*error_type = "bad_payload";
		return -EINVAL;
	}
	err = notify_ended(results, event, data);
	if (err)
		*error_type = "notification_refused";
	json_object_put(data);
	return err;
}
