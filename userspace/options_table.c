/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options_table.c - every option there is: its flag, its variables, its default and its meaning.
 *
 * Only data. A new option is a row here, a field in struct options and a key in enum option_key.
 */
#include "options_table.h"

#include "kernel.h"
#include "../bpf/maps.h"

#define BIT(command) (1u << (command))
#define EXPORTS (BIT(COMMAND_RUN) | BIT(COMMAND_CHECK))
#define LIMITS (BIT(COMMAND_RUN) | BIT(COMMAND_CHECK))
#define NAMES (BIT(COMMAND_RUN) | BIT(COMMAND_PROBES) | BIT(COMMAND_TOP))
#define SHOWS (BIT(COMMAND_CHECK) | BIT(COMMAND_PROBES) | BIT(COMMAND_TOP) | BIT(COMMAND_SNAPSHOT))
#define ALL (~0u)

#define DAY_MS 86400000
#define MANY (1u << 24)
#define GIB (1u << 30)

const struct option_command option_commands[OPTION_COMMANDS] = {
	[COMMAND_RUN] = { .name = "run", .help = "the agent: discover, attach, count and export until SIGTERM" },
	[COMMAND_CHECK] = { .name = "check", .help = "is this host fit? each requirement, with the remedy" },
	[COMMAND_PROBES] = { .name = "probes", .operand = "PID or FILE",
			     .help = "the probes and metrics found, attached or not, and why not" },
	[COMMAND_TOP] = { .name = "top", .help = "live view in a terminal" },
	[COMMAND_SNAPSHOT] = { .name = "snapshot", .help = "what a running agent now holds" },
	[COMMAND_STOP] = { .name = "stop", .help = "end a running agent" },
};

static const struct option_choice exporters[] = {
	{ .name = "otlp", .value = EXPORTER_OTLP },
	{ .name = "console", .value = EXPORTER_CONSOLE },
	{ .name = "prometheus", .value = EXPORTER_PROMETHEUS },
	{ .name = "none", .value = EXPORTER_NONE },
	{ .name = NULL },
};

static const struct option_choice protocols[] = {
	{ .name = "http/protobuf", .value = PROTOCOL_HTTP_PROTOBUF },
	{ .name = "http/json", .value = PROTOCOL_HTTP_JSON },
	{ .name = "grpc", .value = PROTOCOL_GRPC },
	{ .name = NULL },
};

static const struct option_choice compressions[] = {
	{ .name = "none", .value = COMPRESSION_NONE },
	{ .name = "gzip", .value = COMPRESSION_GZIP },
	{ .name = NULL },
};

static const struct option_choice preferences[] = {
	{ .name = "cumulative", .value = PREFERENCE_CUMULATIVE },
	{ .name = "delta", .value = PREFERENCE_DELTA },
	{ .name = "lowmemory", .value = PREFERENCE_LOWMEMORY },
	{ .name = NULL },
};

static const struct option_choice aggregations[] = {
	{ .name = "explicit_bucket_histogram", .value = AGGREGATION_EXPLICIT },
	{ .name = "base2_exponential_bucket_histogram", .value = AGGREGATION_EXPONENTIAL },
	{ .name = NULL },
};

static const struct option_choice links[] = {
	{ .name = "auto", .value = KERNEL_LINKS_AUTO },
	{ .name = "uprobe_multi", .value = KERNEL_LINKS_UPROBE_MULTI },
	{ .name = "perf_event", .value = KERNEL_LINKS_PERF_EVENT },
	{ .name = NULL },
};

static const struct option_choice levels[] = {
	{ .name = "error", .value = LOG_ERROR },
	{ .name = "warn", .value = LOG_WARN },
	{ .name = "info", .value = LOG_INFO },
	{ .name = "debug", .value = LOG_DEBUG },
	{ .name = NULL },
};

static const struct option_choice formats[] = {
	{ .name = "text", .value = LOG_FORMAT_TEXT },
	{ .name = "json", .value = LOG_FORMAT_JSON },
	{ .name = NULL },
};

#define FIELD(name) .offset = offsetof(struct options, name)
#define OTLP(name) { "OTEL_EXPORTER_OTLP_METRICS_" name, "OTEL_EXPORTER_OTLP_" name }

const struct option_row option_rows[OPTION_COUNT] = {
	[OPTION_ENABLE_TRACING] = {
		.name = "enable-tracing", .variable = { "ENABLE_TRACING" }, .initial = "true",
		.type = OPTION_TYPE_BOOLEAN, FIELD(enable_tracing), .commands = EXPORTS,
		.help = "false: do nothing, at no cost",
	},
	[OPTION_SDK_DISABLED] = {
		.name = "sdk-disabled", .variable = { "OTEL_SDK_DISABLED" }, .initial = "false",
		.type = OPTION_TYPE_BOOLEAN, FIELD(sdk_disabled), .commands = EXPORTS,
		.help = "true: do nothing, at no cost",
	},
	[OPTION_EXPORTERS] = {
		.flag = "exporter", .argument = "LIST", .variable = { "OTEL_METRICS_EXPORTER" }, .initial = "otlp",
		.type = OPTION_TYPE_LIST, FIELD(exporters), .choice = exporters, .commands = EXPORTS,
		.help = "where metrics go, separated by commas",
	},
	[OPTION_ENDPOINT] = {
		.flag = "endpoint", .argument = "URL", .variable = OTLP("ENDPOINT"),
		.type = OPTION_TYPE_ENDPOINT, FIELD(endpoint), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "collector: http://localhost:4318, unix:/socket (_METRICS_: whole path)",
	},
	[OPTION_PROTOCOL] = {
		.flag = "protocol", .argument = "NAME", .variable = OTLP("PROTOCOL"), .initial = "http/protobuf",
		.type = OPTION_TYPE_CHOICE, FIELD(protocol), .choice = protocols, .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "how the collector is spoken to; where this is not set, grpc at port 4317",
	},
	[OPTION_INSECURE] = {
		.name = "insecure", .variable = OTLP("INSECURE"), .initial = "false",
		.type = OPTION_TYPE_BOOLEAN, FIELD(insecure), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "true: no TLS to a gRPC endpoint without scheme, such as localhost:4317",
	},
	[OPTION_HEADERS] = {
		.flag = "headers", .argument = "PAIRS", .variable = OTLP("HEADERS"),
		.type = OPTION_TYPE_HEADERS, FIELD(headers), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "sent with each request: key=value,key2=value2, percent-encoded",
	},
	[OPTION_HEADERS_FILE] = {
		.flag = "headers-file", .argument = "FILE",
		.type = OPTION_TYPE_TEXT, FIELD(headers_file), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "more headers, one 'Name: value' a line; a place for secrets",
	},
	[OPTION_TIMEOUT] = {
		.flag = "timeout", .argument = "MS", .variable = OTLP("TIMEOUT"), .initial = "10000",
		.type = OPTION_TYPE_NUMBER, FIELD(timeout_ms), .maximum = DAY_MS, .unit = "milliseconds", .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "for one request, in milliseconds; 0: none",
	},
	[OPTION_COMPRESSION] = {
		.flag = "compression", .argument = "NAME", .variable = OTLP("COMPRESSION"), .initial = "none",
		.type = OPTION_TYPE_CHOICE, FIELD(compression), .choice = compressions, .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "of the request's body",
	},
	[OPTION_CERTIFICATE] = {
		.name = "certificate", .variable = OTLP("CERTIFICATE"),
		.type = OPTION_TYPE_TEXT, FIELD(certificate), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "PEM file of authorities that may sign the collector's certificate",
	},
	[OPTION_CLIENT_CERTIFICATE] = {
		.name = "client-certificate", .variable = OTLP("CLIENT_CERTIFICATE"),
		.type = OPTION_TYPE_TEXT, FIELD(client_certificate), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "PEM file with the certificate shown to the collector",
	},
	[OPTION_CLIENT_KEY] = {
		.name = "client-key", .variable = OTLP("CLIENT_KEY"),
		.type = OPTION_TYPE_TEXT, FIELD(client_key), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "PEM file with its private key",
	},
	[OPTION_PREFERENCE] = {
		.name = "temporality", .variable = { "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" }, .initial = "cumulative",
		.type = OPTION_TYPE_CHOICE, FIELD(preference), .choice = preferences, .commands = EXPORTS,
		.help = "totals since the start, or what is new",
	},
	[OPTION_AGGREGATION] = {
		.name = "histogram-aggregation", .variable = { "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION" },
		.initial = "explicit_bucket_histogram",
		.type = OPTION_TYPE_CHOICE, FIELD(aggregation), .choice = aggregations, .commands = EXPORTS,
		.help = "buckets of histograms that declare no bounds",
	},
	[OPTION_INTERVAL] = {
		.flag = "interval", .argument = "MS", .variable = { "OTEL_METRIC_EXPORT_INTERVAL" }, .initial = "10000",
		.type = OPTION_TYPE_NUMBER, FIELD(interval_ms), .minimum = 100, .maximum = DAY_MS, .unit = "milliseconds",
		.when = OPTION_LIVE, .commands = BIT(COMMAND_RUN) | BIT(COMMAND_TOP),
		.help = "from export to export, in milliseconds",
	},
	[OPTION_EXPORT_TIMEOUT] = {
		.name = "export-timeout", .variable = { "OTEL_METRIC_EXPORT_TIMEOUT" }, .initial = "30000",
		.type = OPTION_TYPE_NUMBER, FIELD(export_timeout_ms), .minimum = 1, .maximum = DAY_MS, .unit = "milliseconds",
		.when = OPTION_LIVE, .commands = BIT(COMMAND_RUN),
		.help = "for one export with all its tries, and for the last one, in milliseconds",
	},
	[OPTION_DEFAULT_SERVICE] = {
		.flag = "service-name", .argument = "NAME", .variable = { "TRACING_SERVICE_NAME" },
		.initial = "integr8scode-backend",
		.type = OPTION_TYPE_TEXT, FIELD(default_service), .commands = NAMES,
		.help = "service.name for processes that name none and carry the documented metrics",
	},
	[OPTION_SERVICE_NAME] = {
		.name = "agent-name", .variable = { "OTEL_SERVICE_NAME" },
		.type = OPTION_TYPE_TEXT, FIELD(service_name), .commands = NAMES,
		.help = "service.name of the agent's own metrics",
	},
	[OPTION_RESOURCE] = {
		.name = "agent-resource", .variable = { "OTEL_RESOURCE_ATTRIBUTES" },
		.type = OPTION_TYPE_ATTRIBUTES, FIELD(resource), .commands = NAMES,
		.help = "of the agent's own metrics: key=value,key2=value2, percent-encoded",
	},
	[OPTION_ATTACH] = {
		.flag = "attach", .argument = "PATH",
		.type = OPTION_TYPE_TEXTS, FIELD(attach), .commands = BIT(COMMAND_RUN),
		.help = "file or glob pattern to attach to before anyone runs it; may be repeated",
	},
	[OPTION_SERVICES] = {
		.flag = "service", .argument = "GLOB=NAME",
		.type = OPTION_TYPE_TEXTS, FIELD(services), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "name for what names itself not, by path, cgroup or unit; repeatable",
	},
	[OPTION_PER_PROCESS] = {
		.flag = "per-process", .type = OPTION_TYPE_SWITCH, FIELD(per_process), .commands = BIT(COMMAND_RUN),
		.help = "each process is a resource of its own, with process.pid",
	},
	[OPTION_FORGET] = {
		.flag = "forget", .argument = "DURATION", .initial = "1h",
		.type = OPTION_TYPE_DURATION, FIELD(forget_ms), .maximum = 30u * DAY_MS, .commands = BIT(COMMAND_RUN),
		.help = "how long a service's series outlive its last process; 0: for ever",
	},
	[OPTION_INCLUDES] = {
		.flag = "include", .argument = "SELECTOR",
		.type = OPTION_TYPE_TEXTS, FIELD(includes), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "count only what path:, cgroup:, unit:GLOB or uid:N matches; repeatable",
	},
	[OPTION_EXCLUDES] = {
		.flag = "exclude", .argument = "SELECTOR",
		.type = OPTION_TYPE_TEXTS, FIELD(excludes), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "leave alone what matches, also if --include does; repeatable",
	},
	[OPTION_POLICY] = {
		.flag = "policy", .argument = "FILE",
		.type = OPTION_TYPE_TEXT, FIELD(policy), .when = OPTION_LIVE, .commands = EXPORTS,
		.help = "file of rules: include, exclude, service, name, one a line",
	},
	[OPTION_DROP_METRICS] = {
		.flag = "drop-metric", .argument = "GLOB",
		.type = OPTION_TYPE_TEXTS, FIELD(drop_metrics),
		.commands = BIT(COMMAND_RUN),
		.help = "metrics that are not counted, nor attached to; repeatable",
	},
	[OPTION_DROP_LABELS] = {
		.flag = "drop-label", .argument = "METRIC:LABEL",
		.type = OPTION_TYPE_TEXTS, FIELD(drop_labels),
		.commands = BIT(COMMAND_RUN),
		.help = "count without this label, globs both; such metrics cost more; repeatable",
	},
	[OPTION_CARDINALITY] = {
		.flag = "cardinality-limit", .argument = "N",
		.type = OPTION_TYPE_NUMBER, FIELD(limits.cardinality), .minimum = 2, .maximum = MANY / 4, .unit = "series",
		.commands = LIMITS,
		.help = "series of a metric in a service, overflow included; 2000 if not given",
	},
	[OPTION_SERVICE_SERIES] = {
		.flag = "max-service-series", .argument = "N",
		.type = OPTION_TYPE_NUMBER, FIELD(limits.service_series), .minimum = 1, .maximum = MANY / 4, .unit = "series",
		.commands = LIMITS,
		.help = "series in a service; half of the host's if not given",
	},
	[OPTION_SERVICE_CELLS] = {
		.flag = "max-service-cells", .argument = "N",
		.type = OPTION_TYPE_NUMBER, FIELD(limits.service_cells), .minimum = 1, .maximum = MANY, .unit = "cells",
		.commands = LIMITS,
		.help = "cells of a service; a quarter of the host's if not given",
	},
	[OPTION_SERVICE_LABEL_BYTES] = {
		.flag = "max-service-label-bytes", .argument = "N",
		.type = OPTION_TYPE_NUMBER, FIELD(limits.service_label_bytes), .minimum = 64, .maximum = GIB, .unit = "bytes",
		.commands = LIMITS,
		.help = "of a service's label values, by 64; half of the host's if not given",
	},
	[OPTION_SERIES] = {
		.flag = "max-series", .argument = "N",
		.type = OPTION_TYPE_NUMBER, FIELD(limits.series), .minimum = 64, .maximum = MANY / 4, .unit = "series",
		.commands = LIMITS,
		.help = "series of counters and histograms on the host; 32768 if not given",
	},
	[OPTION_CELLS] = {
		.flag = "max-cells", .argument = "N",
		.type = OPTION_TYPE_NUMBER, FIELD(limits.cells), .minimum = 1024, .maximum = MANY, .unit = "cells",
		.commands = LIMITS,
		.help = "cells on the host, a power of two; 131072, on over 32 CPUs fewer",
	},
	[OPTION_LABEL_BYTES] = {
		.flag = "max-label-bytes", .argument = "N",
		.type = OPTION_TYPE_NUMBER, FIELD(limits.label_bytes), .minimum = 64, .maximum = GIB, .unit = "bytes",
		.commands = LIMITS,
		.help = "of label values on the host, by 64; 192 per series if not given",
	},
	[OPTION_MAX_SERVICES] = {
		.flag = "max-services", .argument = "N",
		.type = OPTION_TYPE_NUMBER, FIELD(limits.services), .minimum = 2, .maximum = PM_MAX_SERVICES, .unit = "services",
		.commands = LIMITS,
		.help = "services on the host, as long as they are kept; 4096 if not given",
	},
	[OPTION_MEMORY] = {
		.flag = "max-memory", .argument = "MIB",
		.type = OPTION_TYPE_NUMBER, FIELD(limits.memory_mib), .minimum = 1, .maximum = 1 << 20, .unit = "MiB",
		.commands = LIMITS,
		.help = "kernel memory of all maps; fewer series and cells are made to fit it",
	},
	[OPTION_LINKS] = {
		.flag = "links", .argument = "KIND", .initial = "auto",
		.type = OPTION_TYPE_CHOICE, FIELD(links), .choice = links,
		.commands = BIT(COMMAND_RUN) | BIT(COMMAND_CHECK) | BIT(COMMAND_PROBES),
		.help = "how probes are attached: one link for many sites, or an event each",
	},
	[OPTION_MAX_OVERHEAD] = {
		.flag = "max-overhead", .argument = "PERCENT", .initial = "3",
		.type = OPTION_TYPE_NUMBER, FIELD(max_overhead), .maximum = 1000000, .unit = "percent",
		.when = OPTION_LIVE, .commands = BIT(COMMAND_RUN),
		.help = "of one CPU, that a service's probes may cost without a warning",
	},
	[OPTION_BPFFS] = {
		.flag = "bpffs", .argument = "DIR", .initial = "/sys/fs/bpf",
		.type = OPTION_TYPE_TEXT, FIELD(bpffs), .commands = BIT(COMMAND_RUN) | BIT(COMMAND_CHECK) | BIT(COMMAND_STOP),
		.help = "a mounted bpffs, where counting goes on when no agent runs",
	},
	[OPTION_RUN_DIR] = {
		.flag = "run-dir", .argument = "DIR", .initial = "/run/probemeter",
		.type = OPTION_TYPE_TEXT, FIELD(run_dir),
		.commands = BIT(COMMAND_RUN) | BIT(COMMAND_TOP) | BIT(COMMAND_SNAPSHOT) | BIT(COMMAND_STOP),
		.help = "where the agent's lock and socket are",
	},
	[OPTION_PAGE_HOST] = {
		.flag = "prometheus-host", .argument = "HOST", .variable = { "OTEL_EXPORTER_PROMETHEUS_HOST" },
		.initial = "127.0.0.1",
		.type = OPTION_TYPE_TEXT, FIELD(page_host), .commands = BIT(COMMAND_RUN),
		.help = "address that exporter prometheus serves /metrics and the live page on",
	},
	[OPTION_PAGE_PORT] = {
		.flag = "prometheus-port", .argument = "PORT", .variable = { "OTEL_EXPORTER_PROMETHEUS_PORT" },
		.initial = "9464",
		.type = OPTION_TYPE_NUMBER, FIELD(page_port), .maximum = 65535, .unit = "a port", .commands = BIT(COMMAND_RUN),
		.help = "its port; 0: one that is free",
	},
	[OPTION_CONFIG] = {
		.flag = "config", .argument = "FILE", .variable = { "PROBEMETER_CONFIG" },
		.type = OPTION_TYPE_TEXT, FIELD(config), .when = OPTION_FLAG_ONLY, .commands = ALL,
		.help = "lines of NAME = VALUE; else /etc/probemeter/probemeter.conf, if any",
	},
	[OPTION_LOG_LEVEL] = {
		.flag = "log-level", .argument = "LEVEL", .variable = { "OTEL_LOG_LEVEL" }, .initial = "info",
		.type = OPTION_TYPE_CHOICE, FIELD(log_level), .choice = levels, .when = OPTION_LIVE, .commands = ALL,
		.help = "how much is said on standard error",
	},
	[OPTION_LOG_FORMAT] = {
		.flag = "log-format", .argument = "NAME", .initial = "text",
		.type = OPTION_TYPE_CHOICE, FIELD(log_format), .choice = formats, .when = OPTION_LIVE, .commands = ALL,
		.help = "text (fields, where systemd's journal listens), or JSON, an object a line",
	},
	[OPTION_ONCE] = {
		.flag = "once", .type = OPTION_TYPE_SWITCH, FIELD(once), .when = OPTION_FLAG_ONLY, .commands = BIT(COMMAND_RUN),
		.help = "end after one interval",
	},
	[OPTION_JSON] = {
		.flag = "json", .type = OPTION_TYPE_SWITCH, FIELD(json), .when = OPTION_FLAG_ONLY, .commands = SHOWS,
		.help = "print JSON",
	},
	[OPTION_DETACH] = {
		.flag = "detach", .type = OPTION_TYPE_SWITCH, FIELD(detach), .when = OPTION_FLAG_ONLY, .commands = BIT(COMMAND_STOP),
		.help = "also remove every pinned link and map; no agent need run",
	},
	[OPTION_HELP] = {
		.flag = "help", .type = OPTION_TYPE_SWITCH, FIELD(help), .when = OPTION_FLAG_ONLY, .commands = ALL,
		.help = "print this",
	},
	[OPTION_VERSION] = {
		.flag = "version", .type = OPTION_TYPE_SWITCH, FIELD(version), .when = OPTION_FLAG_ONLY, .commands = ALL,
		.help = "print the version",
	},
};
