/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch.c - when to look: at the kernel's events soon, at processes within a second, at the whole host now and then.
 *
 * Consumes events.c and the patterns of --attach; drives discover.c. The caller's loop calls it when its descriptor is
 * readable and when it is due.
 *
 *   at the first event      wait BATCH_NS, then take all there are: new files are attached now, or never for who is gone
 *   SETTLE_NS after that    look at the processes that these were about; at once where a file cannot be attached before
 *   before an export        both, and what was unloaded
 *   every SWEEP_NS          a tenth of /proc, for what no event told of, and the patterns
 *   after lost events       all of /proc; also after a CPU has come back, on which nobody listened for a moment
 *
 * Without events, which some hosts do not allow, there is a sweep every second.
 */
#include "watch.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hotplug.h"
#include "lease.h"
#include "log.h"
#include "options.h"

#define MS 1000000ull
#define BATCH_NS (20 * MS)
#define SETTLE_NS (1000 * MS)
#define SWEEP_NS (30000 * MS)
#define SWEEP_ALONE_NS (1000 * MS)
#define SWEEP_LOST_NS (1000 * MS) /* not more often than that */
#define WRITING_NS (2 * MS) /* that a CPU may take from a record's time to its end */

struct watch {
	struct discovery *discovery;
	const struct discover_events *calls;
	const struct texts *attach;
	bool *attach_said; /* by pattern: that nothing is there */
	struct events *events; /* NULL: none to be had */
	uint64_t batch_ns, settle_ns, sweep_ns; /* when due; 0: not */
	uint64_t swept_ns; /* 0: never yet */
	bool lost; /* events */
	int leases;
	int hotplug;
};

/* Attach to what a pattern finds. @quiet: it has been said what there is to say. */
static void pattern_attach(struct watch *watch, const char *pattern, bool quiet)
{
	size_t good = 0, i;
	struct object *object;
	glob_t found;
	int err = 0;

	if (glob(pattern, GLOB_NOSORT, NULL, &found)) {
		if (!quiet)
			log_message(LOG_INFO, "--attach: '%s': not there yet; looked for every %llu s", pattern,
				    SWEEP_NS / (1000 * MS));
		return;
	}
	watch->discovery->to_look = found.gl_pathc;
	for (i = 0; i < found.gl_pathc; i++) {
		watch->discovery->looked = i;
		err = objects_path(&watch->discovery->objects, watch->calls, found.gl_pathv[i], &object);
		good += !err;
	}
	watch->discovery->looked = watch->discovery->to_look = 0;
	if (!quiet && found.gl_pathc == 1 && err)
		log_message(LOG_WARN, "--attach: '%s': %s", pattern,
			    err == -ENOEXEC ? "no probes in it: include <probemeter/probemeter.h>, fire a metric, build again" :
			    err == -EINVAL  ? "not a regular file" :
					      strerror(-err));
	else if (!quiet && found.gl_pathc > 1)
		log_message(good ? LOG_INFO : LOG_WARN, "--attach: '%s': %zu of %zu files have probes", pattern, good,
			    found.gl_pathc);
	globfree(&found);
}

static void attach_all(struct watch *watch)
{
	size_t i;

	for (i = 0; i < watch->attach->count; i++) {
		pattern_attach(watch, watch->attach->text[i], watch->attach_said[i]);
		watch->attach_said[i] = true;
	}
}

static int sweep(struct watch *watch, uint64_t now_ns)
{
	bool all = !watch->events || !watch->swept_ns || watch->lost;

	watch->lost = false;
	watch->swept_ns = now_ns;
	watch->sweep_ns = now_ns + (watch->events ? SWEEP_NS : SWEEP_ALONE_NS);
	attach_all(watch);
	if (watch->events)
		events_cpus(watch->events);
	return all ? discover_sweep(watch->discovery, watch->calls) : discover_reconcile(watch->discovery, watch->calls);
}

struct watch *watch_new(struct discovery *discovery, const struct discover_events *calls, const struct texts *attach)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	int err;

	if (!watch)
		return NULL;
	watch->discovery = discovery;
	watch->calls = calls;
	watch->attach = attach;
	watch->attach_said = calloc(attach->count + 1, sizeof(*watch->attach_said));
	if (!watch->attach_said) {
		free(watch);
		return NULL;
	}
	err = events_open(EVENTS_RING_BYTES, &watch->events);
	if (err)
		log_message(LOG_WARN, "the kernel tells of no new processes: %s; looking every second; 'probemeter check' says how to mend that",
			    strerror(-err));
	else
		log_message(LOG_DEBUG, "events of processes: %zu KiB of rings", events_bytes(watch->events) >> 10);
	watch->leases = leases_open();
	if (watch->leases >= 0 && watch->events && events_also(watch->events, watch->leases)) {
		(void)close(watch->leases);
		watch->leases = -1;
	}
	discovery->objects.leased = watch->leases >= 0;
	watch->hotplug = watch->events ? hotplug_open() : -1;
	if (watch->hotplug >= 0 && events_also(watch->events, watch->hotplug)) {
		(void)close(watch->hotplug);
		watch->hotplug = -1;
	}
	return watch;
}

/* Let go of files that somebody wants to write to: he waits for us. */
static int yield(struct watch *watch)
{
	int fd, err = 0;

	while (watch->leases >= 0 && (fd = leases_next(watch->leases)) >= 0 && !err)
		err = discover_yield(watch->discovery, watch->calls, fd);
	return err;
}

/* CPUs that went or came. */
static void replug(struct watch *watch)
{
	int cpu;

	while (watch->hotplug >= 0 && (cpu = hotplug_next(watch->hotplug)) != -EAGAIN) {
		log_message(LOG_DEBUG, "CPU %d went offline or came back; listening there anew", cpu);
		events_renew(watch->events, cpu);
	}
}

int watch_fd(const struct watch *watch)
{
	/* It stays readable until the batch is taken. */
	return watch->events && !watch->batch_ns ? events_fd(watch->events) : -1;
}

void watch_wake(struct watch *watch, uint64_t now_ns)
{
	events_wake(watch->events);
	(void)yield(watch);
	replug(watch);
	if (!watch->batch_ns)
		watch->batch_ns = now_ns + BATCH_NS;
}

uint64_t watch_due(const struct watch *watch)
{
	uint64_t due = watch->sweep_ns;

	if (watch->batch_ns && watch->batch_ns < due)
		due = watch->batch_ns;
	if (watch->settle_ns && watch->settle_ns < due)
		due = watch->settle_ns;
	return due;
}

/* Take in what happened until @until_ns. */
static int batch(struct watch *watch, uint64_t now_ns, uint64_t until_ns)
{
	const struct event *event;
	bool lost = false;
	size_t count, i;
	int err = 0, more;

	if (!watch->events)
		return 0;
	watch->batch_ns = 0;
	more = events_read(watch->events, until_ns, &event, &count, &lost);
	if (more)
		watch->batch_ns = now_ns + BATCH_NS;
	objects_round(&watch->discovery->objects);
	for (i = 0; i < count && !err; i++)
		err = discover_event(watch->discovery, watch->calls, &event[i]);
	if (lost || err) {
		watch->lost = true;
		log_message(LOG_DEBUG, "events were lost; looking at all processes");
		if (watch->sweep_ns > watch->swept_ns + SWEEP_LOST_NS)
			watch->sweep_ns = watch->swept_ns + SWEEP_LOST_NS;
	}
	if (!watch->settle_ns && discover_unsettled(watch->discovery))
		watch->settle_ns = now_ns + SETTLE_NS;
	return err;
}

int watch_run(struct watch *watch, uint64_t now_ns, bool *ret_settled)
{
	int err = yield(watch);

	*ret_settled = false;
	if (err)
		return err;
	if (watch->batch_ns && now_ns >= watch->batch_ns)
		err = batch(watch, now_ns, now_ns - WRITING_NS);
	if (now_ns >= watch->sweep_ns) {
		*ret_settled = true;
		err = sweep(watch, now_ns);
	}
	if (!err && watch->settle_ns && now_ns >= watch->settle_ns) {
		*ret_settled = true;
		err = discover_settle(watch->discovery, watch->calls);
		watch->settle_ns = discover_unsettled(watch->discovery) ? now_ns + BATCH_NS : 0;
	}
	return err;
}

void watch_hurry(struct watch *watch, uint64_t now_ns)
{
	watch->settle_ns = now_ns;
}

int watch_settle(struct watch *watch, uint64_t now_ns)
{
	int err;

	if (!watch->events)
		return sweep(watch, now_ns);
	/* All of it: who has been forked by now may have a level by now. */
	err = batch(watch, now_ns, now_ns);
	if (!err)
		err = discover_verify(watch->discovery);
	if (!err)
		err = discover_settle(watch->discovery, watch->calls);
	return err;
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	events_close(watch->events);
	if (watch->leases >= 0)
		(void)close(watch->leases);
	if (watch->hotplug >= 0)
		(void)close(watch->hotplug);
	free(watch->attach_said);
	free(watch);
}
