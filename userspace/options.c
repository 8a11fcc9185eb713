/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.c - command line and environment to struct options, by the table.
 *
 * Consumes argv and a way to ask for variables; produces plain fields. It neither logs nor exits: a wrong flag is an
 * error text, a wrong variable a warning text, and the caller decides. How one value is read: options_value.c.
 */
#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "arena.h"
#include "config.h"
#include "endpoint.h"
#include "options_near.h"
#include "options_table.h"
#include "options_value.h"

#define GRPC_PORT 4317
#define OPTIONS_REPEATED 1024
#define COMMAND_NAMES "run, check, probes, top, snapshot or stop"

static int options_defaults(struct options *options)
{
	struct option_value value = { .options = options };
	int err;

	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		if (!option_rows[key].initial)
			continue;
		err = option_value_set(&value, key, NULL, option_rows[key].initial, true);
		if (err)
			return err;
	}
	return 0;
}

/* One option from the first of its variables, beginning with number @first, that is set and right. */
static int option_environment(struct options *options, enum option_key key, size_t first,
			      char *(*get)(const char *name))
{
	const struct option_row *row = &option_rows[key];
	struct option_value value = { .options = options };
	int err = 0;

	for (size_t i = first; !err && i < OPTION_VARIABLES && row->variable[i]; i++) {
		const char *text = options->source[key] ? NULL : get(row->variable[i]);

		if (!text || !text[strspn(text, " \t\r\n")])
			continue;
		err = option_value_set(&value, key, row->variable[i], text, false);
		if (err == -EINVAL)
			err = options_warn(options, "%s: %s; ignored", row->variable[i], value.why);
	}
	return err;
}

static int options_environment(struct options *options, char *(*get)(const char *name))
{
	int err = 0;

	for (enum option_key key = 0; !err && key < OPTION_COUNT; key++)
		if (option_rows[key].commands & (1u << options->command))
			err = option_environment(options, key, 0, get);
	return err;
}

/* What the command line says, before it is known whether all of it fits the command. */
struct command_line {
	const char *flag[OPTION_COUNT]; /* as written, the value cut off */
	const char *text[OPTION_COUNT]; /* NULL for a switch */
	struct {
		enum option_key key;
		const char *text;
	} repeated[OPTIONS_REPEATED]; /* before the last one, of flags that may be */
	size_t repeated_count;
	enum command command;
	const char *operand;
};

static int __attribute__((format(printf, 3, 4))) fail(char *error, size_t error_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(error, error_size, format, args);
	va_end(args);
	return -EINVAL;
}

static enum option_key flag_find(const char *name, size_t length)
{
	enum option_key key;

	for (key = 0; key < OPTION_COUNT; key++)
		if (option_rows[key].flag && strlen(option_rows[key].flag) == length &&
		    !strncmp(option_rows[key].flag, name, length))
			break;
	return key;
}

/* A flag that does not exist, the one that may be meant, and where all of @command's are. */
static int fail_flag(const char *word, int length, enum command command, char *error, size_t error_size)
{
	char flag[64];
	const char *near;

	(void)snprintf(flag, sizeof(flag), "%.*s", length, word);
	near = option_near_flag(flag + strspn(flag, "-"), command);
	return fail(error, error_size, "unknown flag '%.*s'%s%s%s; 'probemeter %s%s--help' has all of them", length, word,
		    near ? "; did you mean '--" : "", near ? near : "", near ? "'?" : "",
		    command != COMMAND_NONE ? option_commands[command].name : "", command != COMMAND_NONE ? " " : "");
}

static enum command command_find(const char *name)
{
	enum command command;

	for (command = COMMAND_RUN; command < OPTION_COMMANDS; command++)
		if (!strcmp(option_commands[command].name, name))
			return command;
	return COMMAND_NONE;
}

static int command_line_word(struct command_line *line, const char *word, char *error, size_t error_size)
{
	const struct option_command *command = &option_commands[line->command];

	if (line->command == COMMAND_NONE) {
		line->command = command_find(word);
		if (line->command != COMMAND_NONE)
			return 0;
		return fail(error, error_size,
			    "unknown command '%s', expected " COMMAND_NAMES, word);
	}
	if (!command->operand)
		return fail(error, error_size, "unexpected '%s', %s takes no argument", word, command->name);
	if (line->operand)
		return fail(error, error_size, "unexpected '%s', %s takes one %s", word, command->name,
			    command->operand);
	line->operand = word;
	return 0;
}

static int command_line_read(int argc, char *const *argv, struct command_line *line, char *error, size_t error_size)
{
	bool flags = true;
	int err = 0;

	for (int i = 1; i < argc && !err; i++) {
		const char *word = argv[i], *equals = strchr(word, '=');
		size_t length = equals ? (size_t)(equals - word) : strlen(word);
		enum option_key key;
		bool takes;

		if (flags && !strcmp(word, "--")) {
			flags = false;
			continue;
		}
		if (!flags || word[0] != '-' || !word[1]) {
			err = command_line_word(line, word, error, error_size);
			continue;
		}
		key = length > 2 && word[1] == '-' ? flag_find(word + 2, length - 2) : OPTION_COUNT;
		if (key == OPTION_COUNT)
			return fail_flag(word, (int)length, line->command, error, error_size);
		takes = option_rows[key].type != OPTION_TYPE_SWITCH;
		if (!takes && equals)
			return fail(error, error_size, "--%s takes no value", option_rows[key].flag);
		if (takes && !equals && i + 1 == argc)
			return fail(error, error_size, "--%s: expected a value, %s", option_rows[key].flag,
				    option_rows[key].argument);
		if (line->flag[key] && option_rows[key].type == OPTION_TYPE_TEXTS) {
			if (line->repeated_count == OPTIONS_REPEATED)
				return fail(error, error_size, "--%s: expected at most %d of them", option_rows[key].flag,
					    OPTIONS_REPEATED);
			line->repeated[line->repeated_count].key = key;
			line->repeated[line->repeated_count++].text = line->text[key];
		}
		line->flag[key] = word;
		line->text[key] = !takes ? NULL : equals ? equals + 1 : argv[++i];
	}
	return err;
}

static int options_flags(struct options *options, const struct command_line *line, char *error, size_t error_size)
{
	struct option_value value = { .options = options };
	int err;

	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		const struct option_row *row = &option_rows[key];
		const char *who;

		if (!line->flag[key])
			continue;
		if (options->command != COMMAND_NONE && !(row->commands & (1u << options->command)))
			return fail(error, error_size, "--%s is not for %s, see 'probemeter %s --help'", row->flag,
				    option_commands[options->command].name, option_commands[options->command].name);
		who = arena_printf(options->arena, "--%s", row->flag);
		if (!who)
			return -ENOMEM;
		err = 0;
		for (size_t i = 0; i < line->repeated_count && !err; i++)
			if (line->repeated[i].key == key)
				err = option_value_set(&value, key, who, line->repeated[i].text, true);
		if (!err)
			err = option_value_set(&value, key, who, line->text[key], true);
		if (err == -EINVAL)
			return fail(error, error_size, "%s: %s", who, value.why);
		if (err)
			return err;
	}
	return 0;
}

/* A base gets v1/metrics behind its path; the signal's own variable is taken as it is. */
static int options_url(struct options *options, const struct endpoint *endpoint)
{
	const char *own = option_rows[OPTION_ENDPOINT].variable[0], *source = options->source[OPTION_ENDPOINT];
	bool whole = source && !strcmp(source, own);
	struct endpoint_url url;
	int err;

	if (options->protocol == PROTOCOL_GRPC)
		err = endpoint_url_grpc(endpoint, options->insecure, options->arena, &url);
	else
		err = endpoint_url(endpoint, whole ? NULL : ENDPOINT_HTTP_PATH, options->arena, &url);
	if (err)
		return err;
	options->url = url.url;
	options->where = url.where;
	options->socket = url.socket;
	if (options->protocol == PROTOCOL_GRPC && endpoint->kind == ENDPOINT_URL && *endpoint->path &&
	    strcmp(endpoint->path, "/"))
		err = options_warn(options, "%s: gRPC has a path of its own; the one in the URL is not used", source);
	return err;
}

/* A collector at gRPC's usual port is spoken to in gRPC, if nobody said otherwise. */
static int options_protocol(struct options *options, const struct endpoint *endpoint)
{
	if (options->source[OPTION_PROTOCOL] || endpoint->port != GRPC_PORT)
		return 0;
	options->protocol = PROTOCOL_GRPC;
	options->note = arena_printf(options->arena, "%s: %u is the port of gRPC, so gRPC is spoken; "
				     "OTEL_EXPORTER_OTLP_PROTOCOL or --protocol can choose http/protobuf",
				     options->source[OPTION_ENDPOINT], endpoint->port);
	return options->note ? 0 : -ENOMEM;
}

/* Protocol and endpoint together: a target without a scheme is gRPC's alone. */
static int options_endpoint(struct options *options, char *(*get)(const char *name), char *error, size_t error_size)
{
	static const char expected[] = "expected a URL such as http://localhost:4318; one without http:// is for "
				       "protocol grpc";
	const struct option_row *row = &option_rows[OPTION_ENDPOINT];
	struct endpoint endpoint;
	int err = 0;

	while (!err && options->endpoint) {
		const char *source = options->source[OPTION_ENDPOINT];
		size_t next = 0;

		err = endpoint_parse(options->endpoint, &endpoint);
		if (!err)
			err = options_protocol(options, &endpoint);
		if (!err && (endpoint.kind != ENDPOINT_TARGET || options->protocol == PROTOCOL_GRPC))
			return options_url(options, &endpoint);
		if (err)
			break;
		while (next < OPTION_VARIABLES && row->variable[next] && strcmp(row->variable[next], source))
			next++;
		if (next == OPTION_VARIABLES || !row->variable[next])
			return fail(error, error_size, "%s: %s", source, expected);
		next++;
		options->endpoint = options->source[OPTION_ENDPOINT] = NULL;
		err = options_warn(options, "%s: %s; ignored", source, expected);
		if (!err)
			err = option_environment(options, OPTION_ENDPOINT, next, get);
	}
	return err;
}

/* Settings that are right one by one and do not make sense together. */
static int options_judge(struct options *options)
{
	static const unsigned goes_out = EXPORTER_OTLP | EXPORTER_CONSOLE | EXPORTER_PROMETHEUS;
	int err = 0;

	if (options->exporters & EXPORTER_NONE && options->exporters & goes_out)
		err = options_warn(options, "%s: none beside other exporters is ignored",
				   options->source[OPTION_EXPORTERS]);
	if (!err && options->exporters & EXPORTER_OTLP && !options->url && options_exporters(options))
		err = options_warn(options, "OTEL_EXPORTER_OTLP_ENDPOINT is not set; exporter otlp sends nothing");
	if (!err && options->client_key && !options->client_certificate)
		err = options_warn(options, "%s: a key without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is not used",
				   options->source[OPTION_CLIENT_KEY]);
	if (options_noop_reason(options))
		options->note = NULL;
	return err;
}

int options_parse(int argc, char *const *argv, char *(*get)(const char *name), struct options *ret, char *error,
		  size_t error_size)
{
	struct command_line line = { .command = COMMAND_NONE };
	struct options options = { 0 };
	int err;

	options.arena = arena_new();
	if (!options.arena)
		return -ENOMEM;
	options.warning = arena_array(options.arena, OPTIONS_WARNINGS, sizeof(*options.warning));
	err = options.warning ? 0 : -ENOMEM;
	if (err)
		goto out;
	err = command_line_read(argc, argv, &line, error, error_size);
	if (err)
		goto out;
	options.argc = argc;
	options.argv = argv;
	options.command = line.command;
	options.operand = line.operand;
	if (line.command == COMMAND_NONE && !line.flag[OPTION_HELP] && !line.flag[OPTION_VERSION]) {
		err = fail(error, error_size, "expected a command: " COMMAND_NAMES);
		goto out;
	}
	err = options_defaults(&options);
	if (err)
		goto out;
	err = options_flags(&options, &line, error, error_size);
	if (err)
		goto out;
	err = options_environment(&options, get);
	if (err)
		goto out;
	if (line.command != COMMAND_NONE && !options.help && !options.version)
		err = config_read(&options, error, error_size);
	if (err)
		goto out;
	err = config_headers(&options, error, error_size);
	if (err)
		goto out;
	err = options_endpoint(&options, get, error, error_size);
	if (err)
		goto out;
	err = options_judge(&options);
	if (err)
		goto out;
	*ret = options;
out:
	if (err)
		arena_free(options.arena);
	return err;
}

unsigned options_exporters(const struct options *options)
{
	return options->exporters & (EXPORTER_CONSOLE | EXPORTER_PROMETHEUS | (options->url ? EXPORTER_OTLP : 0u));
}

const char *options_noop_reason(const struct options *options)
{
	const struct {
		bool holds;
		const char *line;
	} reasons[] = {
		{ !options->enable_tracing, "ENABLE_TRACING is false" },
		{ options->sdk_disabled, "OTEL_SDK_DISABLED is true" },
		{ options_exporters(options), NULL },
		{ options->exporters & EXPORTER_OTLP,
		  "OTEL_EXPORTER_OTLP_ENDPOINT (or --endpoint) is not set: the otlp exporter has nowhere to send" },
		{ true, "OTEL_METRICS_EXPORTER (or --exporter) is none" },
	};
	size_t i = 0;

	while (!reasons[i].holds)
		i++;
	return reasons[i].line;
}

void options_free(struct options *options)
{
	if (!options)
		return;
	arena_free(options->arena);
	*options = (struct options){ 0 };
}
