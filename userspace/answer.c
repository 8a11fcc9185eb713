/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * answer.c - what the agent's main thread does for those who ask.
 *
 * Consumes what the server was asked for (serve.c) and a source of points; produces the bytes of each answer, once for all
 * who wait, from one collection for all formats. While nobody asks, nothing is collected.
 */
#include "answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gzip.h"
#include "listen.h"
#include "log.h"
#include "options.h"
#include "prometheus.h"
#include "shortage.h"

struct answers {
	struct serve *serve;
	struct arena *arena;
	bool ready;
	char socket[128]; /* empty: not ours */
	char page[128]; /* http://127.0.0.1:9464/metrics; empty: there is none */
	uint64_t scrapes, scraped_unix_ns;
	const struct metric *conflict; /* named in the log last */
	uint64_t start_unix_ns;
	struct shortage reading;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void serve_socket(struct answers *answers, const struct options *options)
{
	int fd = -ENAMETOOLONG;

	if ((size_t)snprintf(answers->socket, sizeof(answers->socket), "%s/agent.sock", options->run_dir) <
	    sizeof(answers->socket))
		fd = listen_unix(answers->socket);
	if (fd >= 0 && !serve_add(answers->serve, fd))
		return;
	log_message(LOG_WARN, "'%s/agent.sock': %s; " SHORTAGE_LOG_SOCKET "; --run-dir names another directory",
		    options->run_dir, fd == -EADDRINUSE ? "another agent answers there" : strerror(fd < 0 ? -fd : ENOMEM));
	answers->socket[0] = '\0';
}

/* The port of exporter prometheus. Return: 0, or -errno if it cannot be had and is all there is to do. */
static int serve_page(struct answers *answers, const struct options *options)
{
	bool only = options_exporters(options) == EXPORTER_PROMETHEUS && !options_noop_reason(options);
	char where[64];
	int fd = listen_tcp(options->page_host, options->page_port, where, sizeof(where)), err;

	err = fd < 0 ? fd : serve_add(answers->serve, fd);
	if (!err) {
		(void)snprintf(answers->page, sizeof(answers->page), "http://%s/metrics", where);
		log_message(LOG_INFO, "prometheus: %s", answers->page);
		return 0;
	}
	log_message(only ? LOG_ERROR : LOG_WARN,
		    "prometheus: cannot listen on %s port %u: %s; OTEL_EXPORTER_PROMETHEUS_HOST and OTEL_EXPORTER_PROMETHEUS_PORT "
		    "(--prometheus-host, --prometheus-port) name another place", options->page_host, options->page_port,
		    err == -ENOENT ? "there is no such host" : strerror(-err));
	return only ? err : 0;
}

int answers_new(const struct options *options, struct answers **ret)
{
	struct answers *answers = calloc(1, sizeof(*answers));
	int err;

	if (!answers)
		return -ENOMEM;
	answers->start_unix_ns = clock_ns(CLOCK_REALTIME);
	answers->arena = arena_new();
	answers->serve = serve_new();
	err = answers->arena && answers->serve ? 0 : -ENOMEM;
	if (err)
		log_message(LOG_ERROR, "run: out of memory at the start");
	if (!err && options->exporters & EXPORTER_PROMETHEUS)
		err = serve_page(answers, options);
	if (err) {
		answers_free(answers);
		return err;
	}
	/* Over before anybody could ask. */
	if (!options->once)
		serve_socket(answers, options);
	err = serve_start(answers->serve);
	if (err)
		log_message(LOG_WARN, "no thread to serve with: %s; this agent cannot be asked", strerror(-err));
	*ret = answers;
	return 0;
}

void answers_describe(const struct answers *answers, struct view *view)
{
	if (*answers->page)
		view->exporter[view->exporter_count++] = (struct view_exporter){
			.name = "prometheus",
			.target = answers->page,
			.tried = answers->scrapes,
			.awaits = true,
			.last_unix_ns = answers->scraped_unix_ns,
			.delivered = answers->scrapes,
		};
}

int answers_fd(const struct answers *answers)
{
	return serve_fd(answers->serve);
}

uint64_t answers_due(const struct answers *answers)
{
	return serve_due(answers->serve);
}

static void write_history(struct answers *answers, struct writer *writer, const struct view *view)
{
	(void)answers;
	view_write(writer, view);
}

static void write_snapshot(struct answers *answers, struct writer *writer, const struct view *view)
{
	struct view now = *view;

	now.history = NULL;
	write_history(answers, writer, &now);
}

static void write_page(struct answers *answers, struct writer *writer, const struct view *view,
		       enum prometheus_format format)
{
	struct prometheus_conflicts conflicts;

	if (prometheus_write(writer, view->points, format, answers->arena, &conflicts)) {
		writer->failed = true;
		return;
	}
	answers->scrapes++;
	answers->scraped_unix_ns = view->time_unix_ns;
	if (conflicts.count && conflicts.first->metric != answers->conflict) {
		answers->conflict = conflicts.first->metric;
		log_message(LOG_WARN,
			    "prometheus: metric '%s' of service '%s' is not on the page: there its name is another metric's already, of "
			    "another kind; rename one of them", answers->conflict->name, service_name(conflicts.first->resource));
	}
}

static void write_text(struct answers *answers, struct writer *writer, const struct view *view)
{
	write_page(answers, writer, view, PROMETHEUS_TEXT);
}

static void write_openmetrics(struct answers *answers, struct writer *writer, const struct view *view)
{
	write_page(answers, writer, view, PROMETHEUS_OPENMETRICS);
}

/* The page is packed as it is written: whole it may be many megabytes, which nobody wants to hold. */
static void write_packed(struct answers *answers, struct writer *writer, const struct view *view,
			 enum prometheus_format format)
{
	struct gzip *gzip = gzip_new(GZIP_FAST);
	struct writer plain = { .drain = gzip_add, .context = gzip };

	writer->failed = !gzip;
	if (!gzip)
		return;
	write_page(answers, &plain, view, format);
	gzip_add(gzip, plain.bytes, plain.size);
	writer->failed = gzip_end(gzip, &writer->bytes, &writer->size) || plain.failed;
	free(plain.bytes);
}

static void write_text_packed(struct answers *answers, struct writer *writer, const struct view *view)
{
	write_packed(answers, writer, view, PROMETHEUS_TEXT);
}

static void write_openmetrics_packed(struct answers *answers, struct writer *writer, const struct view *view)
{
	write_packed(answers, writer, view, PROMETHEUS_OPENMETRICS);
}

/* How each kind of answer is written; the others have no bytes. */
static void (*const writes[SERVE_WHATS])(struct answers *answers, struct writer *writer, const struct view *view) = {
	[SERVE_SNAPSHOT] = write_snapshot,
	[SERVE_HISTORY] = write_history,
	[SERVE_TEXT] = write_text,
	[SERVE_OPENMETRICS] = write_openmetrics,
	[SERVE_TEXT_PACKED] = write_text_packed,
	[SERVE_OPENMETRICS_PACKED] = write_openmetrics_packed,
};

static void give(struct answers *answers, enum serve_what what, const struct view *view)
{
	struct writer *writer = calloc(1, sizeof(*writer));

	if (writer && (view->points || view->noop))
		writes[what](answers, writer, view);
	if (!writer || writer->failed || !writer->size) {
		free(writer ? writer->bytes : NULL);
		serve_give(answers->serve, what, NULL, 0);
	} else {
		serve_give(answers->serve, what, writer->bytes, writer->size);
	}
	free(writer);
}

static void collect(const struct answers_source *source, struct arena *arena, struct view *view, struct self *self,
		    struct points *points, struct shortage *reading)
{
	int err;

	source->settle(source->context);
	*self = *source->self;
	err = collector_view(source->collector, source->discovery, self, view->time_unix_ns, arena, points);
	shortage_note(reading, clock_ns(CLOCK_MONOTONIC), err, "the counters cannot be read", "who asks for them is told to try again");
	if (!err)
		view->points = points;
	view->self = self;
	view->discovery = source->discovery;
	view->history = collector_history(source->collector);
}

bool answers_give(struct answers *answers, const struct answers_source *source)
{
	unsigned wanted = serve_take(answers->serve, clock_ns(CLOCK_MONOTONIC));
	struct view view = { .start_unix_ns = answers->start_unix_ns, .ready = answers->ready };
	struct points points;
	struct self self;
	enum serve_what what;
	bool collected = false;

	for (what = 0; what < SERVE_WHATS; what++) {
		if (!(wanted & 1u << what))
			continue;
		if (!writes[what]) {
			serve_give(answers->serve, what, NULL, 0);
			continue;
		}
		if (!collected) {
			arena_reset(answers->arena);
			view.time_unix_ns = clock_ns(CLOCK_REALTIME);
			source->describe(source->context, &view);
			if (!view.noop)
				collect(source, answers->arena, &view, &self, &points, &answers->reading);
			collected = true;
		}
		give(answers, what, &view);
	}
	return wanted & 1u << SERVE_STOP;
}

void answers_set_ready(struct answers *answers)
{
	answers->ready = true;
	serve_set_ready(answers->serve);
}

void answers_free(struct answers *answers)
{
	if (!answers)
		return;
	if (answers->socket[0])
		(void)unlink(answers->socket);
	serve_free(answers->serve);
	arena_free(answers->arena);
	free(answers);
}
