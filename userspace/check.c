/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.c - `probemeter check`: each requirement, met or not, why it matters, and what mends it.
 *
 * Consumes the tables of requirements and of capabilities; prints lines or JSON. Looks as the agent would: with its
 * privileges and no others.
 */
#include "check.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "colour.h"
#include "files.h"
#include "options.h"
#include "policy.h"
#include "privilege.h"
#include "requirement.h"
#include "rules.h"

static void look(const struct requirement *r, const struct options *options, struct finding *ret)
{
	memset(ret, 0, sizeof(*ret));
	(void)snprintf(ret->remedy, sizeof(ret->remedy), "%s", r->remedy);
	r->look(options, ret);
}

bool check_refuses(char *ret, size_t size)
{
	struct finding found;
	size_t i;

	for (i = 0; i < requirement_count; i++) {
		if (!requirements[i].first)
			continue;
		look(&requirements[i], NULL, &found);
		if (found.met)
			continue;
		(void)snprintf(ret, size, "%s: %s; %s", requirements[i].name, found.detail, found.remedy);
		return true;
	}
	return false;
}

/* One line, and two more for what is not met; or a row of @rows. Return: is something needed not there? */
static bool say(const char *name, const char *why, bool needed, const struct finding *found, json_object *rows)
{
	enum colour ink = found->met ? COLOUR_GOOD : needed ? COLOUR_BAD : COLOUR_WARNING;
	bool colours = colour_wanted(stdout);
	json_object *row;

	if (!rows) {
		printf("%s%s%s  %-22s %s\n", colour(colours, ink), found->met ? "pass" : needed ? "FAIL" : "warn",
		       colour(colours, COLOUR_PLAIN), name, found->detail);
		if (!found->met)
			printf("      why: %s\n      do:  %s\n", why, found->remedy);
		return needed && !found->met;
	}
	row = json_object_new_object();
	json_object_object_add(row, "requirement", json_object_new_string(name));
	json_object_object_add(row, "met", json_object_new_boolean(found->met));
	json_object_object_add(row, "needed", json_object_new_boolean(needed));
	json_object_object_add(row, "detail", json_object_new_string(found->detail));
	json_object_object_add(row, "why", json_object_new_string(why));
	json_object_object_add(row, "remedy", json_object_new_string(found->remedy));
	json_object_array_add(rows, row);
	return needed && !found->met;
}

static size_t say_privileges(json_object *rows)
{
	size_t failed = 0, i;

	for (i = 0; i < privilege_count; i++) {
		const struct privilege *p = &privileges[i];
		struct finding found = { .met = privilege_held(p) };
		char why[200], flag[40];
		size_t k;

		/* Only the look at probes knows whether it is needed. */
		if (p->events)
			continue;
		(void)snprintf(found.detail, sizeof(found.detail), "%s", found.met ? "held" : "not held");
		for (k = 0; p->name[4 + k] && k < sizeof(flag) - 1; k++)
			flag[k] = (char)tolower((unsigned char)p->name[4 + k]);
		flag[k] = '\0';
		(void)snprintf(found.remedy, sizeof(found.remedy), "setpriv --inh-caps=+%s --ambient-caps=+%s probemeter run   "
			       "(as root; in a unit: AmbientCapabilities=%s, in a container: --cap-add=%s)",
			       flag, flag, p->name, p->name + 4);
		(void)snprintf(why, sizeof(why), "to %s", p->why);
		failed += say(p->name, why, !p->optional, &found, rows);
	}
	return failed;
}

/* The file is known to be readable here, or there would be no options; its rules are not judged yet. */
static bool say_configuration(const struct options *options, json_object *rows)
{
	struct finding found = { .remedy = "correct what is named above" };
	struct rules *rules = NULL;

	found.met = !policy_read(options, &rules, found.detail, sizeof(found.detail));
	if (found.met)
		(void)snprintf(found.detail, sizeof(found.detail), "%s%s", options->config ? options->config : "no file",
			       options->url ? "" : "; no endpoint");
	rules_free(rules);
	return say("configuration", "the agent would not start with it", true, &found, rows);
}

int check(const struct options *options)
{
	json_object *rows = options->json ? json_object_new_array() : NULL;
	size_t failed = say_privileges(rows), i;
	struct finding found;

	files_allow();
	failed += say_configuration(options, rows);
	/* Which links there will be is not known yet. */
	(void)privilege_drop(PRIVILEGE_AGENT_EVENTS);
	for (i = 0; i < requirement_count; i++) {
		/* Said one by one above. */
		if (!strcmp(requirements[i].name, "capabilities"))
			continue;
		look(&requirements[i], options, &found);
		failed += say(requirements[i].name, requirements[i].why, requirements[i].needed && !found.optional, &found, rows);
	}
	if (rows)
		puts(json_object_to_json_string_ext(rows, JSON_C_TO_STRING_PRETTY));
	json_object_put(rows);
	return failed ? 1 : 0;
}
