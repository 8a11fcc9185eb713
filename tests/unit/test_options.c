/* SPDX-License-Identifier: BSD-2-Clause */
/* test_options.c - flags over environment over defaults, and what is said about wrong ones. */
#include "unit.h"

#include <errno.h>

#include "options.h"
#include "options_table.h"

/* The environment of a test: "NAME=value" texts. */
static const char *const *environment;

static char *get(const char *name)
{
	size_t length = strlen(name);

	for (const char *const *one = environment; one && *one; one++)
		if (!strncmp(*one, name, length) && (*one)[length] == '=')
			return (char *)*one + length + 1;
	return NULL;
}

#define ENV(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define ARGS(...) ((char *[]){ (char *)"probemeter", __VA_ARGS__, NULL })

static char error[1024];

static int parse(const char *const *variables, char **argv, struct options *ret)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	environment = variables;
	*error = '\0';
	return options_parse(argc, argv, get, ret, error, sizeof(error));
}

/* Without anything, the documented defaults hold and nothing is warned about. */
static void options_default_to_the_reference(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(NULL, ARGS("run"), &options), 0);
	assert_int_equal(options.command, COMMAND_RUN);
	assert_true(options.enable_tracing);
	assert_false(options.sdk_disabled);
	assert_int_equal(options.exporters, EXPORTER_OTLP);
	assert_null(options.endpoint);
	assert_null(options.url);
	assert_int_equal(options.protocol, PROTOCOL_HTTP_PROTOBUF);
	assert_int_equal(options.timeout_ms, 10000);
	assert_int_equal(options.compression, COMPRESSION_NONE);
	assert_int_equal(options.interval_ms, 10000);
	assert_int_equal(options.export_timeout_ms, 30000);
	assert_int_equal(options.forget_ms, 3600000);
	assert_int_equal(options.max_overhead, 3);
	assert_string_equal(options.default_service, "integr8scode-backend");
	assert_null(options.service_name);
	assert_int_equal(options.log_level, LOG_INFO);
	assert_int_equal(options.warning_count, 0);
	assert_null(options.source[OPTION_INTERVAL]);
	options_free(&options);
}

/* A flag beats the environment, the environment beats the default, and the winner is known by name. */
static void options_prefer_flag_then_environment(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(ENV("OTEL_METRIC_EXPORT_INTERVAL=2000", "TRACING_SERVICE_NAME= shop "),
			       ARGS("run", "--interval=500"), &options), 0);
	assert_int_equal(options.interval_ms, 500);
	assert_string_equal(options.source[OPTION_INTERVAL], "--interval");
	assert_string_equal(options.default_service, "shop");
	assert_string_equal(options.source[OPTION_DEFAULT_SERVICE], "TRACING_SERVICE_NAME");
	options_free(&options);
	assert_int_equal(parse(ENV("OTEL_METRIC_EXPORT_INTERVAL=2000"), ARGS("--log-level", "debug", "run"), &options), 0);
	assert_int_equal(options.interval_ms, 2000);
	assert_int_equal(options.log_level, LOG_DEBUG);
	options_free(&options);
}

/* Each _METRICS_ form wins over the general one, even when it is the other that is wrong. */
static void options_prefer_the_signals_variable(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(ENV("OTEL_EXPORTER_OTLP_TIMEOUT=1", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT=2",
				   "OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION=NONE",
				   "OTEL_EXPORTER_OTLP_CERTIFICATE=/a", "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE=/b",
				   "OTEL_EXPORTER_OTLP_HEADERS=a=1", "OTEL_EXPORTER_OTLP_METRICS_HEADERS=a=2"),
			       ARGS("run"), &options), 0);
	assert_int_equal(options.timeout_ms, 2);
	assert_int_equal(options.compression, COMPRESSION_NONE);
	assert_string_equal(options.certificate, "/b");
	assert_int_equal(options.headers.count, 1);
	assert_string_equal(options.headers.pair[0].value, "2");
	assert_int_equal(options.warning_count, 0);
	options_free(&options);
	assert_int_equal(parse(ENV("OTEL_EXPORTER_OTLP_TIMEOUT=7", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT=soon"),
			       ARGS("run"), &options), 0);
	assert_int_equal(options.timeout_ms, 7);
	assert_int_equal(options.warning_count, 1);
	options_free(&options);
}

/* A base gets v1/metrics behind exactly one slash; the signal's own endpoint is left alone. */
static void options_endpoint_is_a_base(void **state)
{
	static const struct {
		const char *variable, *flag, *url, *where;
	} rows[] = {
		{ "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", NULL, "http://c:4318/v1/metrics",
		  "http://c:4318/v1/metrics" },
		{ "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/", NULL, "http://c:4318/v1/metrics",
		  "http://c:4318/v1/metrics" },
		{ "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/my", NULL, "http://c:4318/my/v1/metrics",
		  "http://c:4318/my/v1/metrics" },
		{ "OTEL_EXPORTER_OTLP_ENDPOINT=HTTPS://u:p@[::1]:4318/my/?key=k", NULL,
		  "HTTPS://u:p@[::1]:4318/my/v1/metrics?key=k", "HTTPS://[::1]:4318/my/v1/metrics" },
		{ "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c:4318", NULL, "http://c:4318", "http://c:4318" },
		{ "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c/x/", NULL, "http://c/x/", "http://c/x/" },
		{ "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c/x", "--endpoint=http://d", "http://d/v1/metrics",
		  "http://d/v1/metrics" },
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(parse(ENV(rows[i].variable), ARGS("run", (char *)rows[i].flag), &options), 0);
		assert_string_equal(options.url, rows[i].url);
		assert_string_equal(options.where, rows[i].where);
		assert_int_equal(options.warning_count, 0);
		options_free(&options);
	}
}

/* Every option that has a variable of the signal's own takes that one, and falls back where it is wrong. */
static void options_prefer_the_signals_variable_everywhere(void **state)
{
	static const struct {
		enum option_key key;
		const char *name, *own, *general, *wrong;
	} rows[] = {
		{ OPTION_ENDPOINT, "ENDPOINT", "http://own", "http://general", "own:99999" },
		{ OPTION_PROTOCOL, "PROTOCOL", "grpc", "http/protobuf", "smtp" },
		{ OPTION_INSECURE, "INSECURE", "true", "false", NULL },
		{ OPTION_HEADERS, "HEADERS", "a=1", "a=2", "a" },
		{ OPTION_TIMEOUT, "TIMEOUT", "1", "2", "-1" },
		{ OPTION_COMPRESSION, "COMPRESSION", "gzip", "none", "lz4" },
		{ OPTION_CERTIFICATE, "CERTIFICATE", "/own", "/general", "\xff" },
		{ OPTION_CLIENT_CERTIFICATE, "CLIENT_CERTIFICATE", "/own", "/general", "\xff" },
		{ OPTION_CLIENT_KEY, "CLIENT_KEY", "/own", "/general", "\xff" },
	};
	size_t covered = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char own[64], general[64], own_set[96], own_wrong[96], general_set[96];
		struct options options;

		(void)snprintf(own, sizeof(own), "OTEL_EXPORTER_OTLP_METRICS_%s", rows[i].name);
		(void)snprintf(general, sizeof(general), "OTEL_EXPORTER_OTLP_%s", rows[i].name);
		(void)snprintf(own_set, sizeof(own_set), "%s=%s", own, rows[i].own);
		(void)snprintf(own_wrong, sizeof(own_wrong), "%s=%s", own, rows[i].wrong ? rows[i].wrong : "");
		(void)snprintf(general_set, sizeof(general_set), "%s=%s", general, rows[i].general);
		assert_int_equal(parse(ENV(general_set, own_set), ARGS("run"), &options), 0);
		assert_string_equal(options.source[rows[i].key], own);
		options_free(&options);
		assert_int_equal(parse(ENV(general_set, own_wrong), ARGS("run"), &options), 0);
		assert_string_equal(options.source[rows[i].key], general);
		assert_true(!rows[i].wrong || options.warning_count);
		options_free(&options);
	}
	/* None is forgotten above. */
	for (enum option_key key = 0; key < OPTION_COUNT; key++)
		covered += option_rows[key].variable[0] && option_rows[key].variable[1];
	assert_int_equal(covered, COUNT(rows));
}

/* What an endpoint comes to under each protocol: URL, what messages show, socket; and what is said about it. */
static void options_endpoint_fits_the_protocol(void **state)
{
#define EXPORT "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
	static const struct {
		const char *variable[3], *url, *where, *socket, *warning;
		unsigned protocol;
		bool note;
	} rows[] = {
		/* The scheme decides about TLS, whatever _INSECURE says. */
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:55", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		    "OTEL_EXPORTER_OTLP_INSECURE=false" }, "http://c:55" EXPORT, "http://c:55", NULL, NULL, PROTOCOL_GRPC, false },
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=https://c/", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		    "OTEL_EXPORTER_OTLP_INSECURE=true" }, "https://c" EXPORT, "https://c", NULL, NULL, PROTOCOL_GRPC, false },
		{ { "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=https://u:p@[::1]:4317/v1/metrics?k=v",
		    "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" }, "https://u:p@[::1]:4317" EXPORT, "https://[::1]:4317", NULL,
		  "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: gRPC has a path of its own; the one in the URL is not used",
		  PROTOCOL_GRPC, false },
		/* Without a scheme it is TLS, but for _INSECURE; the signal's own wins. */
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=c:55", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" }, "https://c:55" EXPORT,
		  "https://c:55", NULL, NULL, PROTOCOL_GRPC, false },
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=[::1]:55", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		    "OTEL_EXPORTER_OTLP_INSECURE=true" }, "http://[::1]:55" EXPORT, "http://[::1]:55", NULL, NULL,
		  PROTOCOL_GRPC, false },
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=c:4317", "OTEL_EXPORTER_OTLP_INSECURE=false",
		    "OTEL_EXPORTER_OTLP_METRICS_INSECURE=TRUE" }, "http://c:4317" EXPORT, "http://c:4317", NULL, NULL,
		  PROTOCOL_GRPC, true },
		/* Port 4317 is gRPC, and said so, unless a protocol is set. */
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317" }, "http://c:4317" EXPORT, "http://c:4317", NULL, NULL,
		  PROTOCOL_GRPC, true },
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf" },
		  "http://c:4317/v1/metrics", "http://c:4317/v1/metrics", NULL, NULL, PROTOCOL_HTTP_PROTOBUF, false },
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317", "ENABLE_TRACING=false" }, "http://c:4317" EXPORT,
		  "http://c:4317", NULL, NULL, PROTOCOL_GRPC, false },
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:14317" }, "http://c:14317/v1/metrics",
		  "http://c:14317/v1/metrics", NULL, NULL, PROTOCOL_HTTP_PROTOBUF, false },
		/* A socket serves either. */
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=unix:/run/otlp" }, "http://localhost/v1/metrics", "unix:/run/otlp",
		  "/run/otlp", NULL, PROTOCOL_HTTP_PROTOBUF, false },
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=unix:///run/otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" },
		  "http://localhost" EXPORT, "unix:///run/otlp", "/run/otlp", NULL, PROTOCOL_GRPC, false },
		/* What does not fit one variable is looked for in the next. */
		{ { "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=c:55", "OTEL_EXPORTER_OTLP_ENDPOINT=http://d" },
		  "http://d/v1/metrics", "http://d/v1/metrics", NULL,
		  "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: expected a URL such as http://localhost:4318; one without http:// "
		  "is for protocol grpc; ignored", PROTOCOL_HTTP_PROTOBUF, false },
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(parse(ENV(rows[i].variable[0], rows[i].variable[1] ? rows[i].variable[1] : "X=",
					   rows[i].variable[2] ? rows[i].variable[2] : "Y="), ARGS("run"), &options), 0);
		assert_string_equal(options.url, rows[i].url);
		assert_string_equal(options.where, rows[i].where);
		assert_int_equal(!options.socket, !rows[i].socket);
		if (rows[i].socket)
			assert_string_equal(options.socket, rows[i].socket);
		assert_int_equal(options.protocol, rows[i].protocol);
		assert_int_equal(options.note != NULL, rows[i].note);
		assert_int_equal(options.warning_count, rows[i].warning != NULL);
		if (rows[i].warning)
			assert_string_equal(options.warning[0], rows[i].warning);
		options_free(&options);
	}
	assert_int_equal(parse(ENV("OTEL_EXPORTER_OTLP_PROTOCOL=grpc"), ARGS("run", "--endpoint=c:1"), &options), 0);
	assert_string_equal(options.url, "https://c:1" EXPORT);
	options_free(&options);
	assert_int_equal(parse(ENV("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317"), ARGS("run"), &options), 0);
	assert_string_equal(options.note, "OTEL_EXPORTER_OTLP_ENDPOINT: 4317 is the port of gRPC, so gRPC is spoken; "
			    "OTEL_EXPORTER_OTLP_PROTOCOL or --protocol can choose http/protobuf");
	options_free(&options);
}

/* What is neither URL, target nor socket is refused, whatever the protocol. */
static void options_refuse_wrong_endpoints(void **state)
{
	static const char *const wrong[] = {
		"c", "c:", "c:0", "c:65536", "c:12a", "c:4317/x", ":4317", "http://", "http://:80", "http://c:", "http://c:0",
		"http://c:65536", "http://c:4294971614", "http://c:8x", "http://[::1", "http://[]", "http://[::1]x", "http://u@",
		"http://a b", "ftp://c", "unix:", "unix:x", "unix:/", "unix://host/path", "unix:////x", "http://c\x01",
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		char set[96];

		(void)snprintf(set, sizeof(set), "OTEL_EXPORTER_OTLP_ENDPOINT=%s", wrong[i]);
		assert_int_equal(parse(ENV(set, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"), ARGS("run"), &options), 0);
		assert_null(options.url);
		assert_int_equal(options.warning_count, 1);
		assert_non_null(strstr(options.warning[0], "with a port up to 65535; ignored"));
		options_free(&options);
	}
}

/* A wrong variable is named in one warning that says what was expected, and counts as not set. */
static void options_warn_about_wrong_variables(void **state)
{
	static const struct {
		const char *variable, *warning;
	} rows[] = {
		{ "OTEL_METRIC_EXPORT_INTERVAL=-5",
		  "OTEL_METRIC_EXPORT_INTERVAL: expected milliseconds from 100 to 86400000, not '-5'; ignored" },
		{ "OTEL_METRIC_EXPORT_INTERVAL=99999999999999999999",
		  "OTEL_METRIC_EXPORT_INTERVAL: expected milliseconds from 100 to 86400000, not "
		  "'99999999999999999999'; ignored" },
		{ "OTEL_METRIC_EXPORT_TIMEOUT=1s",
		  "OTEL_METRIC_EXPORT_TIMEOUT: expected milliseconds from 1 to 86400000, not '1s'; ignored" },
		{ "ENABLE_TRACING=yes", "ENABLE_TRACING: expected true or false, not 'yes'; taken as false" },
		{ "OTEL_EXPORTER_OTLP_PROTOCOL=carrier-pigeon",
		  "OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf, http/json or grpc, not 'carrier-pigeon'; ignored" },
		{ "OTEL_METRICS_EXPORTER=statsd",
		  "OTEL_METRICS_EXPORTER: 'statsd' is unknown, expected a list of otlp, console, prometheus or none; ignored" },
		{ "OTEL_METRICS_EXPORTER=console,none",
		  "OTEL_METRICS_EXPORTER: none beside other exporters is ignored" },
		{ "OTEL_METRICS_EXPORTER=otlp, console",
		  "OTEL_EXPORTER_OTLP_ENDPOINT is not set; exporter otlp sends nothing" },
		{ "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318",
		  "OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL such as http://localhost:4318; one without http:// is for "
		  "protocol grpc; ignored" },
		{ "OTEL_EXPORTER_OTLP_ENDPOINT=http://",
		  "OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL such as http://localhost:4318, with a port up to 65535; "
		  "ignored" },
		{ "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:99999",
		  "OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL such as http://localhost:4318, with a port up to 65535; "
		  "ignored" },
		{ "OTEL_EXPORTER_OTLP_CLIENT_KEY=/k",
		  "OTEL_EXPORTER_OTLP_CLIENT_KEY: a key without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is not used" },
		{ "OTEL_EXPORTER_OTLP_HEADERS=secret",
		  "OTEL_EXPORTER_OTLP_HEADERS: expected key=value,key2=value2, percent-encoded; ignored" },
		{ "OTEL_EXPORTER_OTLP_HEADERS=a=x%0d%0aHost: evil",
		  "OTEL_EXPORTER_OTLP_HEADERS: expected no control characters in the value of 'a'; ignored" },
		{ "OTEL_EXPORTER_OTLP_HEADERS=a b=x",
		  "OTEL_EXPORTER_OTLP_HEADERS: expected names of HTTP headers as keys; ignored" },
		{ "OTEL_RESOURCE_ATTRIBUTES=a=1,b=%zz",
		  "OTEL_RESOURCE_ATTRIBUTES: expected key=value,key2=value2, percent-encoded; ignored" },
		{ "OTEL_RESOURCE_ATTRIBUTES=a=%ff",
		  "OTEL_RESOURCE_ATTRIBUTES: expected UTF-8 behind the percent-encoding; ignored" },
		{ "OTEL_SERVICE_NAME=\xff", "OTEL_SERVICE_NAME: expected text in UTF-8; ignored" },
		{ "OTEL_LOG_LEVEL=loud", "OTEL_LOG_LEVEL: expected error, warn, info or debug, not 'loud'; ignored" },
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(parse(ENV(rows[i].variable), ARGS("run"), &options), 0);
		assert_true(options.warning_count >= 1);
		assert_string_equal(options.warning[0], rows[i].warning);
		assert_int_equal(options.interval_ms, 10000);
		assert_int_equal(options.headers.count + options.resource.count, 0);
		assert_null(options.service_name);
		assert_int_equal(options.log_level, LOG_INFO);
		assert_int_equal(options.protocol, PROTOCOL_HTTP_PROTOBUF);
		options_free(&options);
	}
}

/* Empty and blank variables are not set: no warning, the default. */
static void options_take_empty_as_unset(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(ENV("ENABLE_TRACING=", "OTEL_METRIC_EXPORT_INTERVAL= ", "OTEL_EXPORTER_OTLP_ENDPOINT=",
				   "OTEL_METRICS_EXPORTER=", "OTEL_RESOURCE_ATTRIBUTES=", "TRACING_SERVICE_NAME="),
			       ARGS("run"), &options), 0);
	assert_true(options.enable_tracing);
	assert_int_equal(options.interval_ms, 10000);
	assert_int_equal(options.warning_count, 0);
	assert_string_equal(options.default_service, "integr8scode-backend");
	options_free(&options);
}

/* Only "true" is true, in any case. */
static void options_booleans_are_strict(void **state)
{
	static const struct {
		const char *variable;
		bool disabled;
		size_t warnings;
	} rows[] = {
		{ "OTEL_SDK_DISABLED=true", true, 0 },	 { "OTEL_SDK_DISABLED=TrUe", true, 0 },
		{ "OTEL_SDK_DISABLED=false", false, 0 }, { "OTEL_SDK_DISABLED=FALSE", false, 0 },
		{ "OTEL_SDK_DISABLED=1", false, 1 },
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(parse(ENV(rows[i].variable), ARGS("run"), &options), 0);
		assert_int_equal(options.sdk_disabled, rows[i].disabled);
		assert_int_equal(options.warning_count, rows[i].warnings);
		options_free(&options);
	}
}

/* Every way to be idle names the variable that decides; a way to send is not idle. */
static void options_noop_reason_names_the_variable(void **state)
{
	static const struct {
		const char *variable[2], *names;
	} rows[] = {
		{ { "ENABLE_TRACING=false", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c" }, "ENABLE_TRACING" },
		{ { "OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c" }, "OTEL_SDK_DISABLED" },
		{ { "OTEL_METRICS_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c" }, "OTEL_METRICS_EXPORTER" },
		{ { "OTEL_METRICS_EXPORTER=prometheus", "Y=" }, NULL },
		{ { "X=", "Y=" }, "OTEL_EXPORTER_OTLP_ENDPOINT" },
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318", "Y=" }, "OTEL_EXPORTER_OTLP_ENDPOINT" },
		{ { "OTEL_EXPORTER_OTLP_ENDPOINT=http://c", "Y=" }, NULL },
		{ { "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c/x", "Y=" }, NULL },
		{ { "OTEL_METRICS_EXPORTER=console", "Y=" }, NULL },
		{ { "OTEL_METRICS_EXPORTER=Console,otlp,none", "Y=" }, NULL },
		/* Only unknown names: as if it were not set. */
		{ { "OTEL_METRICS_EXPORTER=statsd", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c" }, NULL },
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *reason;

		assert_int_equal(parse(ENV(rows[i].variable[0], rows[i].variable[1]), ARGS("run"), &options), 0);
		reason = options_noop_reason(&options);
		assert_int_equal(!reason, !rows[i].names);
		if (reason)
			assert_non_null(strstr(reason, rows[i].names));
		options_free(&options);
	}
}

/* A wrong command line is one line that says what was expected; the result is untouched. */
static void options_refuse_wrong_flags(void **state)
{
	static const struct {
		const char *argument[3], *error;
	} rows[] = {
		{ { NULL }, "expected a command: run, check, probes, top, snapshot or stop" },
		{ { "start" }, "unknown command 'start', expected run, check, probes, top, snapshot or stop" },
		{ { "run", "now" }, "unexpected 'now', run takes no argument" },
		{ { "probes", "1", "2" }, "unexpected '2', probes takes one PID or FILE" },
		{ { "run", "--interval" }, "--interval: expected a value, MS" },
		{ { "run", "--interval", "fast" },
		  "--interval: expected milliseconds from 100 to 86400000, not 'fast'" },
		{ { "run", "--interval", "99" },
		  "--interval: expected milliseconds from 100 to 86400000, not '99'" },
		{ { "run", "--interval=" }, "--interval: expected milliseconds from 100 to 86400000, not ''" },
		{ { "run", "--once=yes" }, "--once takes no value" },
		{ { "probes", "--once" }, "--once is not for probes, see 'probemeter probes --help'" },
		{ { "run", "--json" }, "--json is not for run, see 'probemeter run --help'" },
		{ { "run", "--endpoint", "c:4318" },
		  "--endpoint: expected a URL such as http://localhost:4318; one without http:// is for protocol grpc" },
		{ { "run", "--exporter=console,x" },
		  "--exporter: 'x' is unknown, expected a list of otlp, console, prometheus or none" },
		{ { "run", "--exporter=" }, "--exporter: expected a list of otlp, console, prometheus or none" },
		{ { "run", "--compression=zip" }, "--compression: expected none or gzip, not 'zip'" },
		{ { "run", "--service-name=" }, "--service-name: expected text in UTF-8" },
	};
	struct options options = { .interval_ms = 123 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(parse(NULL, ARGS((char *)rows[i].argument[0], (char *)rows[i].argument[1],
						  (char *)rows[i].argument[2]), &options), -EINVAL);
		assert_string_equal(error, rows[i].error);
		assert_int_equal(options.interval_ms, 123);
	}
	assert_int_equal(parse(NULL, ARGS("run", "--intervall=5"), &options), -EINVAL);
	assert_string_equal(error, "unknown flag '--intervall'; did you mean '--interval'?; 'probemeter run --help' has all of them");
	/* Only what the command has is proposed, and nothing that looks like nothing. */
	assert_int_equal(parse(NULL, ARGS("top", "--jsno"), &options), -EINVAL);
	assert_string_equal(error, "unknown flag '--jsno'; did you mean '--json'?; 'probemeter top --help' has all of them");
	assert_int_equal(parse(NULL, ARGS("top", "--endpiont"), &options), -EINVAL);
	assert_null(strstr(error, "--endpoint"));
	assert_int_equal(parse(NULL, ARGS("--jsno", "top"), &options), -EINVAL);
	assert_string_equal(error, "unknown flag '--jsno'; did you mean '--json'?; 'probemeter --help' has all of them");
	assert_int_equal(parse(NULL, ARGS("run", "-x"), &options), -EINVAL);
	assert_string_equal(error, "unknown flag '-x'; 'probemeter run --help' has all of them");
}

/* A flag for a list adds to it each time; any other one is what it was last. */
static void options_repeat_where_a_list_is_meant(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(NULL, ARGS("run", "--service", "a=b", "--interval", "500", "--service=c=d", "--interval=600",
					  "--exclude", "uid:0"), &options), 0);
	assert_int_equal(options.services.count, 2);
	assert_string_equal(options.services.text[0], "a=b");
	assert_string_equal(options.services.text[1], "c=d");
	assert_int_equal(options.excludes.count, 1);
	assert_int_equal(options.includes.count, 0);
	assert_int_equal(options.interval_ms, 600);
	options_free(&options);
	assert_int_equal(parse(NULL, ARGS("run", "--exclude", "uid:0", "--exclude", " "), &options), -EINVAL);
}

/* Variables that a command does not listen to cost it no warning. */
static void options_ignore_what_the_command_does_not_use(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(ENV("OTEL_METRIC_EXPORT_INTERVAL=x", "OTEL_EXPORTER_OTLP_ENDPOINT=x"),
			       ARGS("probes", "/srv/api", "--json"), &options), 0);
	assert_int_equal(options.warning_count, 0);
	assert_string_equal(options.operand, "/srv/api");
	assert_true(options.json);
	options_free(&options);
	assert_int_equal(parse(NULL, ARGS("probes", "--", "--odd-name"), &options), 0);
	assert_string_equal(options.operand, "--odd-name");
	options_free(&options);
}

/* --help and the documentation hold every flag and every variable, and no line of help is wider than a terminal. */
static void options_help_names_every_option(void **state)
{
	char *help, *document;
	size_t help_size, document_size;
	FILE *out = open_memstream(&help, &help_size);

	(void)state;
	options_help(out, COMMAND_NONE);
	(void)fclose(out);
	out = open_memstream(&document, &document_size);
	options_document(out);
	(void)fclose(out);
	for (enum option_key key = 0; key < OPTION_COUNT; key++) {
		const struct option_row *row = &option_rows[key];

		assert_non_null(row->help);
		assert_true(row->flag || row->variable[0]);
		assert_true(row->commands);
		if (row->flag)
			assert_non_null(strstr(help, row->flag));
		for (size_t i = 0; i < OPTION_VARIABLES && row->variable[i]; i++) {
			assert_non_null(strstr(help, row->variable[i]));
			assert_non_null(strstr(document, row->variable[i]));
		}
	}
	for (char *line = strtok(help, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(strlen(line) <= 100);
	free(help);
	free(document);
}

/* A flag that may be repeated keeps all it was given, in order, whatever stands between. */
static void options_attach_may_be_repeated(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(NULL, ARGS("run"), &options), 0);
	assert_int_equal(options.attach.count, 0);
	options_free(&options);
	assert_int_equal(parse(NULL, ARGS("run", "--attach", "/a", "--once", "--attach=/b/*", "--attach", "c"), &options), 0);
	assert_int_equal(options.attach.count, 3);
	assert_string_equal(options.attach.text[0], "/a");
	assert_string_equal(options.attach.text[1], "/b/*");
	assert_string_equal(options.attach.text[2], "c");
	options_free(&options);
	assert_int_equal(parse(NULL, ARGS("run", "--attach", "/a", "--attach", ""), &options), -EINVAL);
	assert_int_equal(parse(NULL, ARGS("check", "--attach", "/a"), &options), -EINVAL);
}

/* --help and --version need no command. */
static void options_help_needs_no_command(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(NULL, ARGS("--help"), &options), 0);
	assert_true(options.help && options.command == COMMAND_NONE);
	options_free(&options);
	assert_int_equal(parse(NULL, ARGS("top", "--version"), &options), 0);
	assert_true(options.version && options.command == COMMAND_TOP);
	options_free(&options);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_default_to_the_reference),
		cmocka_unit_test(options_prefer_flag_then_environment),
		cmocka_unit_test(options_prefer_the_signals_variable),
		cmocka_unit_test(options_prefer_the_signals_variable_everywhere),
		cmocka_unit_test(options_endpoint_is_a_base),
		cmocka_unit_test(options_endpoint_fits_the_protocol),
		cmocka_unit_test(options_refuse_wrong_endpoints),
		cmocka_unit_test(options_warn_about_wrong_variables),
		cmocka_unit_test(options_take_empty_as_unset),
		cmocka_unit_test(options_booleans_are_strict),
		cmocka_unit_test(options_noop_reason_names_the_variable),
		cmocka_unit_test(options_refuse_wrong_flags),
		cmocka_unit_test(options_repeat_where_a_list_is_meant),
		cmocka_unit_test(options_ignore_what_the_command_does_not_use),
		cmocka_unit_test(options_help_names_every_option),
		cmocka_unit_test(options_attach_may_be_repeated),
		cmocka_unit_test(options_help_needs_no_command),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
