/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reload.c - consumes the options of the start and those that count now, produces those that shall count.
 *
 * Which option may change while the agent runs is said in the option table. Doing it is run.c's.
 */
#include "reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "options_table.h"
#include "policy.h"
#include "rules.h"

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_texts(const void *a, const void *b)
{
	const struct texts *x = a, *y = b;
	size_t i;

	for (i = 0; x->count == y->count && i < x->count; i++)
		if (strcmp(x->text[i], y->text[i]))
			return false;
	return x->count == y->count;
}

static bool same_pairs(const void *a, const void *b)
{
	const struct pairs *x = a, *y = b;
	size_t i;

	for (i = 0; x->count == y->count && i < x->count; i++)
		if (strcmp(x->pair[i].key, y->pair[i].key) || strcmp(x->pair[i].value, y->pair[i].value))
			return false;
	return x->count == y->count;
}

static bool same_bool(const void *a, const void *b)
{
	return *(const bool *)a == *(const bool *)b;
}

static bool same_unsigned(const void *a, const void *b)
{
	return *(const unsigned *)a == *(const unsigned *)b;
}

static bool same_string(const void *a, const void *b)
{
	return same_text(*(const char *const *)a, *(const char *const *)b);
}

static const struct {
	size_t bytes;
	bool (*same)(const void *a, const void *b);
} fields[] = {
	[OPTION_TYPE_SWITCH] = { sizeof(bool), same_bool },
	[OPTION_TYPE_BOOLEAN] = { sizeof(bool), same_bool },
	[OPTION_TYPE_NUMBER] = { sizeof(unsigned), same_unsigned },
	[OPTION_TYPE_DURATION] = { sizeof(unsigned), same_unsigned },
	[OPTION_TYPE_TEXT] = { sizeof(const char *), same_string },
	[OPTION_TYPE_TEXTS] = { sizeof(struct texts), same_texts },
	[OPTION_TYPE_ENDPOINT] = { sizeof(const char *), same_string },
	[OPTION_TYPE_CHOICE] = { sizeof(unsigned), same_unsigned },
	[OPTION_TYPE_LIST] = { sizeof(unsigned), same_unsigned },
	[OPTION_TYPE_HEADERS] = { sizeof(struct pairs), same_pairs },
	[OPTION_TYPE_ATTRIBUTES] = { sizeof(struct pairs), same_pairs },
};

_Static_assert(OPTION_TYPE_ATTRIBUTES == 10, "there is another type: say above how it is compared");

/* Those that a sender is made of: what is said to the collector, and when. */
static const enum option_key of_sender[] = {
	OPTION_ENDPOINT,       OPTION_PROTOCOL,    OPTION_INSECURE,	      OPTION_HEADERS,	 OPTION_TIMEOUT,
	OPTION_COMPRESSION,    OPTION_CERTIFICATE, OPTION_CLIENT_CERTIFICATE, OPTION_CLIENT_KEY, OPTION_INTERVAL,
	OPTION_EXPORT_TIMEOUT,
};

/* Mark what differs; put back, with a word, what cannot. */
static void compare(const struct options *started, const struct options *now, struct reload *reload)
{
	struct options *fresh = &reload->options;

	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		const struct option_row *row = &option_rows[key];
		const void *was = (const char *)now + row->offset;
		void *is = (char *)fresh + row->offset;

		if (row->when == OPTION_FLAG_ONLY || fields[row->type].same(was, is))
			continue;
		reload->changed[key] = row->when == OPTION_LIVE;
		if (reload->changed[key])
			continue;
		log_message(LOG_WARN, "reload: '%s' has changed (%s); restart the agent for that", option_name(row),
			    fresh->source[key] ? fresh->source[key] : "to its default");
		memcpy(is, (const char *)started + row->offset, fields[row->type].bytes);
		fresh->source[key] = started->source[key];
	}
}

static void say(const struct reload *reload)
{
	const struct options *options = &reload->options;
	char names[512] = "";
	size_t used = 0;

	for (enum option_key key = 0; key < OPTION_COUNT; key++)
		if (reload->changed[key] && used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "",
						 option_name(&option_rows[key]));
	log_message(LOG_INFO, "reload: %s%s%s", *names ? names : "no option has changed", options->config ? ", by " : "",
		    options->config ? options->config : "");
}

int reload_read(const struct options *started, const struct options *now, struct reload *ret)
{
	struct reload reload = { .rules = NULL };
	char error[512] = "out of memory";
	int err = options_parse(started->argc, started->argv, getenv, &reload.options, error, sizeof(error));
	size_t i;

	if (!err)
		err = policy_read(&reload.options, &reload.rules, error, sizeof(error));
	if (err) {
		log_message(LOG_ERROR, "reload: %s; nothing is changed", error);
		reload_drop(&reload);
		return err;
	}
	for (i = 0; i < reload.options.warning_count; i++)
		log_message(LOG_WARN, "%s", reload.options.warning[i]);
	compare(started, now, &reload);
	for (i = 0; i < sizeof(of_sender) / sizeof(of_sender[0]); i++)
		reload.sender |= reload.changed[of_sender[i]];
	/* What the URL is made of together: a scheme, a port, a protocol. */
	reload.sender |= !same_text(now->url, reload.options.url);
	say(&reload);
	*ret = reload;
	return 0;
}

void reload_drop(struct reload *reload)
{
	rules_free(reload->rules);
	options_free(&reload->options);
	*reload = (struct reload){ .rules = NULL };
}
