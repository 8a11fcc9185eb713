/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.c - command lines, variables, rules, and what processes say of themselves.
 *
 * Input: lines. "$NAME=VALUE" is a variable of the agent's, "%NAME = VALUE" a line of its configuration file, "@..." one of a
 * policy file, "!..." the argument of --service, "=N..." a fact of a process, anything else a word of the command line. Promised: a wrong flag is one line of an error, a
 * wrong variable a warning; an https:// endpoint stays one, whatever else is said; no header ends the header; and whatever
 * a process says, its resource obeys the data model.
 *
 * Patterns are an administrator's; fnmatch() takes long for some with many stars, so more than four are not tried.
 *
 * reaches: options_parse command_line_read options_environment option_value_set parse_list parse_headers endpoint_parse
 * reaches: endpoint_url endpoint_url_grpc options_judge rules_add rule_add uids_parse rules_process cgroup_matches
 * reaches: services_resource name_choose complete pairs_parse config_read config_line
 */
#include <ctype.h>
#include <errno.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "endpoint.h"
#include "fuzz.h"
#include "log.h"
#include "options.h"
#include "rules.h"
#include "service.h"

#define WORDS 64
#define STARS 4

struct given {
	int file; /* the configuration */
	off_t file_size;
	char path[40];
	char *word[WORDS + 1], *variable[WORDS], *fact[8];
	size_t words, variables;
	struct rules *rules;
};

static struct given given;

static char *variable(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < given.variables; i++)
		if (!strncmp(given.variable[i], name, length) && given.variable[i][length] == '=')
			return given.variable[i] + length + 1;
	return NULL;
}

static size_t stars(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += *text == '*' || *text == '[';
	return count;
}

static void rule_take(const char *line, bool argument)
{
	char why[512] = "";
	int err;

	if (stars(line) > STARS)
		return;
	err = argument ? rules_add_argument(given.rules, RULE_SERVICE, line, why, sizeof(why)) :
			 rules_add(given.rules, line, why, sizeof(why));
	REQUIRE(!err || (err == -EINVAL && *why));
}

/* A line of the configuration, which is read from a file of its own. */
static void file_add(const char *line)
{
	size_t length = strlen(line);

	REQUIRE(pwrite(given.file, line, length, given.file_size) == (ssize_t)length);
	REQUIRE(pwrite(given.file, "\n", 1, given.file_size + (off_t)length) == 1);
	given.file_size += (off_t)length + 1;
}

static void line_take(char *line)
{
	/* What cannot be in a line, and can in a variable. */
	for (char *c = line; *c; c++)
		if (*c == '\v')
			*c = '\n';
	if (*line == '$' && given.variables < WORDS)
		given.variable[given.variables++] = line + 1;
	else if (*line == '%')
		file_add(line + 1);
	else if (*line == '@' || *line == '!')
		rule_take(line + 1, *line == '!');
	else if (*line == '=')
		given.fact[line[1] & 7] = line[1] ? line + 2 : line + 1;
	else if (*line != '$' && given.words < WORDS)
		given.word[given.words++] = line;
}

static void check_url(const struct options *options)
{
	bool https = options->endpoint && !strncasecmp(options->endpoint, "https://", 8);
	const char *host;

	REQUIRE(!options->url == !options->where);
	if (!options->url)
		return;
	REQUIRE(!https || !strncasecmp(options->url, "https://", 8));
	REQUIRE(options->socket || !strncasecmp(options->url, "https://", 8) || !strncasecmp(options->url, "http://", 7));
	/* Without a scheme it is TLS, but for who asked for no TLS by its name. */
	REQUIRE(options->socket || options->insecure || strncasecmp(options->url, "http://", 7) ||
		!strncasecmp(options->endpoint, "http://", 7));
	for (const char *c = options->url; *c; c++)
		REQUIRE((unsigned char)*c > ' ' && *c != 0x7f);
	/* No password and no query in what messages show. */
	host = options->socket ? "" : strstr(options->where, "://") + 3;
	REQUIRE(!memchr(host, '@', strcspn(host, "/")) && !strchr(host, '?'));
}

static void check(const struct options *options)
{
	check_url(options);
	for (size_t i = 0; i < options->headers.count; i++) {
		REQUIRE(*options->headers.pair[i].key && text_valid(options->headers.pair[i].value));
		for (const char *c = options->headers.pair[i].value; *c; c++)
			REQUIRE(!iscntrl((unsigned char)*c) || *c == '\t');
		REQUIRE(!strpbrk(options->headers.pair[i].key, ": \r\n\t"));
	}
	for (size_t i = 0; i < options->resource.count; i++)
		REQUIRE(*options->resource.pair[i].key && text_valid(options->resource.pair[i].value));
	for (size_t i = 0; i < options->warning_count; i++)
		REQUIRE(*options->warning[i]);
	REQUIRE(options->interval_ms >= 100 && options->export_timeout_ms && text_valid(options->default_service));
	REQUIRE(options_exporters(options) || options_noop_reason(options));
	REQUIRE(!options->note || *options->note);
}

static void check_resource(const struct resource *resource)
{
	bool named = false;

	for (size_t i = 0; i < resource->attribute_count; i++) {
		const struct attribute *one = &resource->attribute[i];

		REQUIRE(*one->key && text_valid(one->key) && text_valid(one->value));
		REQUIRE(!i || strcmp(resource->attribute[i - 1].key, one->key) < 0);
		named |= !strcmp(one->key, "service.name") && *one->value;
	}
	REQUIRE(named);
}

/* A process that says these things of itself. */
static void check_process(void)
{
	struct services *services = services_new("default");
	const struct service_facts facts = {
		.otel_service_name = given.fact[0], .otel_resource_attributes = given.fact[1],
		.tracing_service_name = given.fact[2], .executable = given.fact[3], .unit = given.fact[4],
		.cgroup = given.fact[5], .has_uid = given.fact[6], .uid = given.fact[6] ? (uint32_t)atoi(given.fact[6]) : 0,
		.pid = given.fact[7] ? 1 + (unsigned char)*given.fact[7] : 0, .catalogue = given.fact[7],
	};
	const struct resource *resource = NULL, *again;

	REQUIRE(services);
	services_rules(services, given.rules);
	REQUIRE(!services_resource(services, &facts, &resource) && !services_resource(services, &facts, &again));
	REQUIRE(resource == again);
	check_resource(resource);
	(void)rules_process(given.rules, &facts);
	(void)rules_file(given.rules, facts.executable ? facts.executable : "/");
	services_free(services);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size < 8192 ? size : 8192 };
	struct arena *arena = arena_new();
	struct options options;
	char error[1024] = "";
	static int file = -1;
	int err;

	if (file < 0)
		file = memfd_create("configuration", MFD_CLOEXEC);
	REQUIRE(file >= 0 && !ftruncate(file, 0));

	log_set_level(LOG_ERROR);
	given = (struct given){ .word = { (char *)"probemeter" }, .words = 1, .rules = rules_new(), .file = file };
	REQUIRE(arena && given.rules);
	while (input.size)
		line_take(take_text(&input, '\n', arena, NULL));
	if (given.file_size && given.words + 2 < WORDS) {
		(void)snprintf(given.path, sizeof(given.path), "/proc/self/fd/%d", file);
		given.word[given.words++] = (char *)"--config";
		given.word[given.words++] = given.path;
	}
	err = options_parse((int)given.words, given.word, variable, &options, error, sizeof(error));
	REQUIRE(!err || (err == -EINVAL && *error));
	if (!err) {
		check(&options);
		options_free(&options);
	}
	check_process();
	rules_free(given.rules);
	arena_free(arena);
	return 0;
}
