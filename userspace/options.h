/* SPDX-License-Identifier: BSD-2-Clause */
/* options.h - what the user asked for, by flag, by environment, or by default. */
#ifndef PROBEMETER_OPTIONS_H
#define PROBEMETER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "limit.h"
#include "log.h"
#include "points.h"

struct arena;

enum command {
	COMMAND_NONE, /* only with --help or --version */
	COMMAND_RUN,
	COMMAND_CHECK,
	COMMAND_PROBES,
	COMMAND_TOP,
	COMMAND_SNAPSHOT,
	COMMAND_STOP,
};

/* Bits of options.exporters. */
enum exporter {
	EXPORTER_NONE = 1 << 0,
	EXPORTER_OTLP = 1 << 1,
	EXPORTER_CONSOLE = 1 << 2,
	EXPORTER_PROMETHEUS = 1 << 3,
};

enum protocol { PROTOCOL_HTTP_PROTOBUF, PROTOCOL_HTTP_JSON, PROTOCOL_GRPC };
enum compression { COMPRESSION_NONE, COMPRESSION_GZIP };
enum preference { PREFERENCE_CUMULATIVE, PREFERENCE_DELTA, PREFERENCE_LOWMEMORY };
enum aggregation { AGGREGATION_EXPLICIT, AGGREGATION_EXPONENTIAL };

/* Rows of the option table, in the order of --help. */
enum option_key {
	OPTION_ENABLE_TRACING,
	OPTION_SDK_DISABLED,
	OPTION_EXPORTERS,
	OPTION_ENDPOINT,
	OPTION_PROTOCOL,
	OPTION_INSECURE,
	OPTION_HEADERS,
	OPTION_HEADERS_FILE,
	OPTION_TIMEOUT,
	OPTION_COMPRESSION,
	OPTION_CERTIFICATE,
	OPTION_CLIENT_CERTIFICATE,
	OPTION_CLIENT_KEY,
	OPTION_PREFERENCE,
	OPTION_AGGREGATION,
	OPTION_INTERVAL,
	OPTION_EXPORT_TIMEOUT,
	OPTION_DEFAULT_SERVICE,
	OPTION_SERVICE_NAME,
	OPTION_RESOURCE,
	OPTION_SERVICES,
	OPTION_PER_PROCESS,
	OPTION_FORGET,
	OPTION_INCLUDES,
	OPTION_EXCLUDES,
	OPTION_POLICY,
	OPTION_ATTACH,
	OPTION_DROP_METRICS,
	OPTION_DROP_LABELS,
	OPTION_CARDINALITY,
	OPTION_SERVICE_SERIES,
	OPTION_SERVICE_CELLS,
	OPTION_SERVICE_LABEL_BYTES,
	OPTION_SERIES,
	OPTION_CELLS,
	OPTION_LABEL_BYTES,
	OPTION_MAX_SERVICES,
	OPTION_MEMORY,
	OPTION_LINKS,
	OPTION_MAX_OVERHEAD,
	OPTION_BPFFS,
	OPTION_RUN_DIR,
	OPTION_PAGE_HOST,
	OPTION_PAGE_PORT,
	OPTION_CONFIG,
	OPTION_LOG_LEVEL,
	OPTION_LOG_FORMAT,
	OPTION_ONCE,
	OPTION_JSON,
	OPTION_DETACH,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_COUNT,
};

/* What a flag that may be repeated was given. */
struct texts {
	const char **text;
	size_t count;
};

struct pairs {
	struct attribute *pair;
	size_t count;
};

/* Plain fields; all strings live in @arena or are static. */
struct options {
	enum command command;
	const char *operand; /* probes: PID or FILE, else NULL */

	bool enable_tracing;
	bool sdk_disabled;
	unsigned exporters; /* EXPORTER_*, as asked for; see options_exporters() */
	const char *endpoint; /* as given, or NULL */
	const char *url; /* where to POST, made from @endpoint; NULL without one. May hold a password: do not log it */
	const char *where; /* @url as messages may show it: without user, password and query */
	const char *socket; /* Unix socket to connect to in place of the host of @url, or NULL */
	unsigned protocol; /* enum protocol; only what this build has */
	bool insecure; /* no TLS to an endpoint that has no scheme to say so; already in @url */
	struct pairs headers; /* those of the file too */
	const char *headers_file; /* or NULL */
	unsigned timeout_ms; /* of one request; 0: none */
	unsigned compression; /* enum compression */
	const char *certificate; /* PEM files, or NULL */
	const char *client_certificate;
	const char *client_key;
	unsigned preference; /* enum preference; only what this build has */
	unsigned aggregation; /* enum aggregation; only what this build has */
	unsigned interval_ms;
	unsigned export_timeout_ms; /* of one export with all its tries, and of the last flush */
	unsigned backoff_ms; /* as in struct ship_limit; only tests set it */
	const char *default_service; /* service.name for processes that name none and carry the catalogue's metrics */
	const char *service_name; /* of the agent itself, or NULL */
	struct pairs resource; /* of the agent itself */
	struct texts services; /* rules: GLOB=NAME */
	struct texts includes, excludes; /* rules: SELECTOR */
	const char *policy; /* file of rules, or NULL */
	bool per_process;
	unsigned forget_ms; /* of silence, until a service without processes is forgotten; 0: never */
	struct texts attach; /* paths and glob patterns */
	struct texts drop_metrics, drop_labels; /* as trim.h has them */
	struct limits_asked limits;
	unsigned links; /* enum kernel_links */
	unsigned max_overhead; /* percent of a CPU that one service's probes may cost without a warning */
	const char *bpffs; /* where maps and links stay */
	const char *run_dir; /* where the lock and the socket are */
	const char *page_host; /* where exporter prometheus listens */
	unsigned page_port; /* 0: any that is free */
	const char *config; /* the configuration file that was read, or NULL */
	unsigned log_level; /* enum log_level */
	unsigned log_format; /* enum log_format */
	bool once;
	bool json;
	bool detach;
	bool help;
	bool version;

	/* Who decided: "--interval", "OTEL_METRIC_EXPORT_INTERVAL", "FILE line 3 (interval)", or NULL for the default. */
	const char *source[OPTION_COUNT];
	/* What was wrong in the environment, one line each, for the caller to log. */
	char **warning;
	size_t warning_count;
	const char *note; /* what was chosen for the user, one line for the caller to log; or NULL */

	/* As given, to be read again. */
	int argc;
	char *const *argv;

	struct arena *arena;
};

/**
 * options_parse - read the command line over the environment over the configuration file over the defaults
 * @argc, @argv: as main() has them; strings must outlive @ret
 * @get:         getenv, or a test's own environment
 * @ret:         filled on success; caller frees with options_free()
 * @error:       on -EINVAL one line without newline: what was wrong and what was expected (exit 2)
 *
 * Flags and lines of the file that are wrong fail; variables that are wrong become a warning and the default, as OpenTelemetry asks.
 *
 * Return: 0, -EINVAL, -ENOMEM.
 * Source: OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter Configuration".
 */
int options_parse(int argc, char *const *argv, char *(*get)(const char *name), struct options *ret, char *error,
		  size_t error_size);

/* The exporters that have somewhere to send: of those asked for, otlp only with an endpoint. */
unsigned options_exporters(const struct options *options);

/* One line that names the variable if `run` has nothing to do, else NULL. Static. */
const char *options_noop_reason(const struct options *options);

/* The text of --help: of one command, or of all for COMMAND_NONE. */
void options_help(FILE *out, enum command command);

/* The table of all variables and flags for operating.md, in Markdown. */
void options_document(FILE *out);

void options_free(struct options *options);

#endif
