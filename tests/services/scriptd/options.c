/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limiter.h"

enum kind { TEXT, NUMBER, SWITCH, LIMIT };

static const struct row {
	const char *name, *value, *help;
	enum kind kind;
	size_t offset;
	const char *text;		/* default of a TEXT */
	int number, min, max;		/* default and range of a NUMBER */
} rows[] = {
	{ .name = "--data", .value = "DIR", .help = "directory for everything that is stored (required)",
	  .kind = TEXT, .offset = offsetof(struct options, data_dir) },
	{ .name = "--port", .value = "N", .help = "port on loopback; 0 picks a free one and prints it",
	  .kind = NUMBER, .offset = offsetof(struct options, port), .number = 0, .min = 0, .max = 65535 },
	{ .name = "--workers", .value = "N", .help = "scripts that run at the same time",
	  .kind = NUMBER, .offset = offsetof(struct options, workers), .number = 4, .min = 1, .max = 64 },
	{ .name = "--queue", .value = "N", .help = "jobs that may wait for a worker",
	  .kind = NUMBER, .offset = offsetof(struct options, queue_capacity), .number = 1000, .min = 1, .max = 100000 },
	{ .name = "--timeout", .value = "MS", .help = "time limit of jobs that name none",
	  .kind = NUMBER, .offset = offsetof(struct options, timeout_ms), .number = 5000, .min = 1, .max = 60000 },
	{ .name = "--memory-limit", .value = "MIB", .help = "address space of each script process",
	  .kind = NUMBER, .offset = offsetof(struct options, memory_mib), .number = 512, .min = 32, .max = 65536 },
	{ .name = "--bash", .value = "PATH", .help = "bash interpreter",
	  .kind = TEXT, .offset = offsetof(struct options, bash), .text = "/bin/bash" },
	{ .name = "--python", .value = "PATH", .help = "python interpreter",
	  .kind = TEXT, .offset = offsetof(struct options, python), .text = "/usr/bin/python3" },
	{ .name = "--limit", .value = "GROUP=REQUESTS/SECONDS",
	  .help = "rate limit of execution, query, sse or admin; may be repeated", .kind = LIMIT },
	{ .name = "--health-interval", .value = "MS", .help = "between checks of the dependencies",
	  .kind = NUMBER, .offset = offsetof(struct options, health_ms), .number = 5000, .min = 50, .max = 3600000 },
	{ .name = "--dlq-attempts", .value = "N", .help = "failed tries until a dead letter is parked",
	  .kind = NUMBER, .offset = offsetof(struct options, dlq_attempts), .number = 3, .min = 1, .max = 100 },
	{ .name = "--dlq-backoff", .value = "MS", .help = "before a dead letter's first retry; doubles",
	  .kind = NUMBER, .offset = offsetof(struct options, dlq_backoff_ms), .number = 500, .min = 1, .max = 60000 },
	{ .name = "--webhook-timeout", .value = "MS", .help = "time limit of one webhook call",
	  .kind = NUMBER, .offset = offsetof(struct options, webhook_timeout_ms), .number = 1000, .min = 10, .max = 60000 },
	{ .name = "--grace", .value = "MS", .help = "for running scripts at SIGTERM, before they are killed",
	  .kind = NUMBER, .offset = offsetof(struct options, grace_ms), .number = 1000, .min = 0, .max = 60000 },
	{ .name = "--stats-file", .value = "FILE", .help = "write GET /stats?values=1 there at exit",
	  .kind = TEXT, .offset = offsetof(struct options, stats_file) },
	{ .name = "--quiet", .help = "warnings only",
	  .kind = SWITCH, .offset = offsetof(struct options, quiet) },
	{ .name = "--help", .help = "this text",
	  .kind = SWITCH, .offset = offsetof(struct options, help) },
};

#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

static void *field(struct options *options, const struct row *row)
{
	return (char *)options + row->offset;
}

static int parse_number(const struct row *row, const char *value, int *ret)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(value, &end, 10);
	if (errno || end == value || *end || n < row->min || n > row->max) {
		fprintf(stderr, "scriptd: %s '%s': expected a number from %d to %d\n", row->name, value, row->min,
			row->max);
		return -EINVAL;
	}
	*ret = (int)n;
	return 0;
}

static int parse_value(const struct row *row, const char *value, struct options *ret)
{
	int err;

	switch (row->kind) {
	case NUMBER:
		return parse_number(row, value, field(ret, row));
	case LIMIT:
		err = limiter_configure(value);
		if (err)
			fprintf(stderr, "scriptd: --limit '%s': expected GROUP=REQUESTS/SECONDS with GROUP one of "
				"execution, query, sse, admin\n", value);
		return err;
	default:
		*(const char **)field(ret, row) = value;
		return 0;
	}
}

static const struct row *row_find(const char *name)
{
	for (size_t i = 0; i < NR_ROWS; i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	return NULL;
}

static void set_defaults(struct options *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < NR_ROWS; i++) {
		if (rows[i].kind == NUMBER)
			*(int *)field(ret, &rows[i]) = rows[i].number;
		else if (rows[i].kind == TEXT)
			*(const char **)field(ret, &rows[i]) = rows[i].text;
	}
}

int options_parse(int argc, char **argv, struct options *ret)
{
	const struct row *row;
	int err;

	set_defaults(ret);
	for (int i = 1; i < argc; i++) {
		row = row_find(argv[i]);
		if (!row) {
			fprintf(stderr, "scriptd: unknown option '%s'; see --help\n", argv[i]);
			return -EINVAL;
		}
		if (row->kind == SWITCH) {
			*(bool *)field(ret, row) = true;
			continue;
		}
		if (i + 1 == argc) {
			fprintf(stderr, "scriptd: %s: expected a value, %s\n", row->name, row->value);
			return -EINVAL;
		}
		err = parse_value(row, argv[++i], ret);
		if (err)
			return err;
	}
	if (!ret->data_dir && !ret->help) {
		fprintf(stderr, "scriptd: --data is missing; give a directory for what is stored\n");
		return -EINVAL;
	}
	return 0;
}

void options_help(void)
{
	char left[64];

	printf("usage: scriptd --data DIR [option...]\n"
	       "Runs bash and python scripts that come over HTTP, on loopback.\n\n");
	for (size_t i = 0; i < NR_ROWS; i++) {
		const struct row *row = &rows[i];

		snprintf(left, sizeof(left), "%s %s", row->name, row->value ? row->value : "");
		printf("  %-34s %s", left, row->help);
		if (row->kind == NUMBER)
			printf(" (%d)", row->number);
		else if (row->kind == TEXT && row->text)
			printf(" (%s)", row->text);
		printf("\n");
	}
}
