/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * adopt.c - from pins to a state that goes on, or from nothing to a new one.
 *
 * Consumes pins of earlier agents (pins.c), their journal (remember.c) and this build's programs (kernel.c); produces
 * loaded maps with the metrics, services and objects that belong to them. What counts is never mixed: a set of maps is
 * taken whole, or set aside whole.
 *
 * What was exact stays exact. Between two agents the links go on counting into the maps, processes that are born and die
 * meanwhile included; their services are settled by the programs themselves. The new agent reads the same totals under
 * the same ids, with the starts that the journal has.
 */
#include "adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "guard.h"
#include "log.h"
#include "options.h"
#include "shortage.h"
#include "trial.h"

/* How long the agent stands still at most for a file that is being given up. */
#define CLEAN_MS 2000

static void when(uint64_t unix_ns, char ret[32])
{
	time_t seconds = (time_t)(unix_ns / 1000000000ull);
	struct tm utc;

	if (!gmtime_r(&seconds, &utc) || !strftime(ret, 32, "%Y-%m-%d %H:%M:%S UTC", &utc))
		(void)strcpy(ret, "?");
}

static void say(const struct options *options, const struct adopted *adopted)
{
	const struct pins *pins = &adopted->pins;
	char since[32];

	when(journal_header(&adopted->kernel.journal)->start_unix_ns, since);
	if (pins->refused)
		return;
	if (!pins->persistent)
		log_message(LOG_INFO,
			    options->once ? "run: nothing stays behind, as --once found no counting under way" :
					    "run: '%s' is no bpffs: when this agent ends, counting ends, and totals begin anew with the next "
					    "one; 'mount -t bpf bpf %s' before it starts mends that",
			    options->bpffs, options->bpffs);
	else if (adopted->handover.count)
		log_message(LOG_DEBUG, "run: takes over the totals in '%s', counted since %s, into '%s'",
			    adopted->handover.set[adopted->handover.count - 1].path, since, pins->directory);
	else if (pins->adopted)
		log_message(LOG_INFO, "run: goes on with the totals in '%s', counted since %s; 'probemeter stop --detach' and a new start "
			    "would begin anew", pins->directory, since);
	else
		log_message(LOG_INFO, "run: counting goes on in '%s' when no agent runs; 'probemeter stop --detach' ends it",
			    pins->directory);
}

static void release(struct adopted *adopted)
{
	remember_free(adopted->remember);
	services_free(adopted->services);
	metrics_free(adopted->metrics);
	kernel_free(&adopted->kernel);
	adopted->remember = NULL;
	adopted->services = NULL;
	adopted->metrics = NULL;
}

/* Count, and let nothing outlive us. */
static void go_without(const struct options *options, int err, struct adopted *adopted)
{
	log_message(LOG_WARN,
		    "run: " SHORTAGE_LOG_PINS " '%s/probemeter': %s; when this agent ends, its counting ends, and totals begin anew with the "
		    "next one; what an earlier agent pinned there counts on by itself; --bpffs names another bpffs", options->bpffs,
		    strerror(-err));
	adopted->pins = (struct pins){ .refused = true, .generation = 1 };
	adopted->handover.count = 0;
}

/* One try, with the pins as they are. */
static int load(const struct options *options, const struct kernel_limits *limits, enum kernel_links links,
		struct adopted *adopted)
{
	int err = kernel_load(limits, links, &adopted->pins, &adopted->kernel), refused;

	if (!err && adopted->pins.persistent && !adopted->pins.adopted) {
		refused = kernel_pin(&adopted->kernel, &adopted->pins);
		if (refused) {
			/* Anew: these programs wait for the turn of a set that will not be. */
			kernel_free(&adopted->kernel);
			go_without(options, refused, adopted);
			err = kernel_load(limits, links, &adopted->pins, &adopted->kernel);
		}
	}
	if (err)
		return err;
	kernel_watch(&adopted->kernel, &adopted->pins);
	adopted->metrics = metrics_new();
	adopted->services = services_new(options->default_service);
	err = adopted->metrics && adopted->services ? 0 : -ENOMEM;
	if (!err && adopted->pins.persistent)
		err = handover_prepare(&adopted->handover, &adopted->kernel);
	if (!err)
		err = remember_new(&adopted->kernel.journal, adopted->metrics, adopted->services, &adopted->remember);
	if (err)
		release(adopted);
	return err;
}

/* What cannot be used must not be found again. */
static int set_aside(struct adopted *adopted)
{
	char where[PINS_PATH];
	const char *path = adopted->handover.count ? adopted->handover.set[adopted->handover.count - 1].path :
						     adopted->pins.directory;
	int err = pins_set_aside(&adopted->pins, path, where, sizeof(where));

	if (!err)
		log_message(LOG_WARN,
			    "run: what an earlier agent left in '%s' cannot be read; it is set aside as '%s', without its links, and its "
			    "totals begin anew; 'probemeter stop --detach' removes it", path, where);
	return err;
}

/* Loaded: now it is in use. */
static void begin(const struct options *options, struct adopted *adopted)
{
	int err;

	say(options, adopted);
	adopted->run_dir = options->run_dir;
	err = adopted->pins.persistent ? guard_start(&adopted->pins, adopted->run_dir, &adopted->guard) : 0;
	if (err)
		log_message(LOG_WARN, "run: no process can be started that protects attached files when this agent is gone: "
			    "%s; until the next one comes, replace them rather than write over them", strerror(-err));
	/* Where nobody else counts, we do, from the first link on. */
	if (!adopted->handover.count)
		adopt_count(adopted);
}

int adopt_begin(const struct options *options, const struct kernel_limits *limits, enum kernel_links links,
		struct adopted *ret)
{
	char schema[KERNEL_SCHEMA];
	int err, tries;

	kernel_schema(limits, links, schema);
	err = pins_open(options->bpffs, &ret->pins);
	if (pins_short(err))
		return err;
	if (err)
		go_without(options, err, ret);
	err = 0;
	/* Each try puts one thing out of the way. */
	for (tries = 0; tries <= HANDOVER_SETS && !err; tries++) {
		err = handover_look(&ret->pins, schema, !options->once, &ret->handover);
		if (err)
			break;
		/* A look for one interval leaves the host as it was. */
		if (options->once && !ret->pins.adopted) {
			ret->pins.persistent = false;
			ret->handover.count = 0;
		}
		err = load(options, limits, links, ret);
		if (!err) {
			begin(options, ret);
			return 0;
		}
		if (err != -EBADMSG || !ret->pins.persistent || (!ret->pins.adopted && !ret->handover.count))
			return err;
		err = set_aside(ret);
	}
	/* What is there and cannot be read now is for an agent that is less short. */
	if (pins_short(err))
		return err;
	go_without(options, err ? err : -EBADMSG, ret);
	err = load(options, limits, links, ret);
	if (!err)
		begin(options, ret);
	return err;
}

bool adopt_is_later(const struct adopted *adopted)
{
	return adopted->pins.adopted || adopted->handover.count;
}

void adopt_count(struct adopted *adopted)
{
	struct handover *handover = &adopted->handover;
	int err = handover_finish(handover, &adopted->pins, &adopted->kernel, trial_barrier);

	if (pins_short(err))
		shortage_end();
	if (err)
		log_message(LOG_WARN, "run: the totals of the earlier agent cannot be taken over: %s; they begin anew, with start times that "
			    "tell receivers so", strerror(-err));
	else if (handover->count)
		log_message(LOG_INFO, "run: took over %llu series, %llu cells, %llu events of the earlier agent; 'probemeter stop --detach' and a "
			    "new start would begin anew", (unsigned long long)handover->series,
			    (unsigned long long)handover->cells, (unsigned long long)handover->events);
	handover->count = 0;
}

void adopt_end(struct adopted *adopted)
{
	guard_free(adopted->guard);
	adopted->guard = NULL;
	release(adopted);
}

/* --- objects */

/* The guard takes a file's links away before somebody writes to it. Who finds that, by another version of the file, says so
 * here; by the same version, when its links are made again. @object: not looked at before by this agent. */
static void say_written(const struct adopted *adopted, const struct remembered *object)
{
	int link;

	if (!adopted->pins.persistent || !adopted->pins.adopted || attach_hash_is_empty(object->sites))
		return;
	link = pins_link_open(&adopted->pins, object->number, 0);
	if (link >= 0)
		(void)close(link);
	else if (link == -ENOENT)
		log_message(LOG_WARN, "attach: '%s': its links " ADOPT_LOG_WRITTEN, object->path);
}

static void forget(struct adopted *adopted, struct remembered *object)
{
	pins_links_remove(&adopted->pins, object->number);
	remember_object_gone(adopted->remember, object);
}

int adopt_plan(struct adopted *adopted, const struct object *object, enum attach_way way, struct attach_plan *ret)
{
	struct remembered *known = remember_find(adopted->remember, &object->id), *other;
	const struct remembered *last = remember_any(adopted->remember, &object->id);
	uint64_t sites, touched;
	bool was_known;
	int err;

	if (last)
		way = (enum attach_way)last->way;
	err = attach_hash(&adopted->kernel, way, object, &sites);
	if (err)
		return err;
	for (other = remember_objects(adopted->remember); other; other = other->next) {
		if (other == known || other->gone || other->id.device != object->id.device || other->id.inode != object->id.inode)
			continue;
		/* Touched and no more: what is attached is where it was. */
		if (!known && !attach_hash(&adopted->kernel, (enum attach_way)other->way, object, &touched) &&
		    touched == other->sites) {
			known = other;
			known->id = object->id;
			sites = touched;
		} else {
			if (!other->found)
				say_written(adopted, other);
			forget(adopted, other);
		}
	}
	was_known = known;
	if (!known) {
		err = remember_object(adopted->remember, object, way, sites, &known);
		if (err)
			return err;
	}
	known->found = true;
	*ret = (struct attach_plan){
		.way = (enum attach_way)known->way,
		.number = known->number,
		.known = was_known,
		/* This build reads the file's descriptors in another way than the one that attached it. What is counted stays
		 * as it is: a second link at the same place would count twice. */
		.keep_only = known->sites != sites,
	};
	return 0;
}

/* The object that is attached, though its file may have been touched since. */
static struct remembered *known_inode(const struct adopted *adopted, const struct object_id *id)
{
	struct remembered *known;

	for (known = remember_objects(adopted->remember); known; known = known->next)
		if (!known->gone && known->id.device == id->device && known->id.inode == id->inode)
			return known;
	return NULL;
}

void adopt_object_attached(struct adopted *adopted, const struct object *object)
{
	const struct remembered *known = known_inode(adopted, &object->id);

	if (known && adopted->guard)
		(void)guard_file(adopted->guard, known->number, object->fd);
}

void adopt_tend(struct adopted *adopted, const struct objects *objects)
{
	const struct object *object;

	if (!adopted->guard || guard_lives(adopted->guard))
		return;
	log_message(LOG_WARN, "run: the process '" GUARD_NAME "', which protects attached files, was ended, and is started again; leave it "
		    "alone, or end it by 'probemeter stop --detach'");
	guard_free(adopted->guard);
	adopted->guard = NULL;
	if (guard_start(&adopted->pins, adopted->run_dir, &adopted->guard))
		return;
	for (object = objects->list; object; object = object->hh.next)
		if (object->attachment)
			adopt_object_attached(adopted, object);
}

void adopt_object_gone(struct adopted *adopted, const struct object *object)
{
	struct remembered *known = known_inode(adopted, &object->id);
	struct stat st;

	if (!known)
		return;
	remember_object_gone(adopted->remember, known);
	if (!adopted->pins.persistent)
		return;
	/* The kernel takes probes out some time after the last one has let go of a link that was pinned. Whoever wants to write
	 * to the file waits for us; to one that is deleted nobody does. */
	if (!fstat(object->fd, &st) && st.st_nlink)
		(void)guard_clean(object->fd, CLEAN_MS);
	if (adopted->guard)
		(void)guard_file(adopted->guard, known->number, -1);
}

bool adopt_stays(const struct adopted *adopted, const struct object *object)
{
	const struct remembered *known = remember_any(adopted->remember, &object->id);

	return known && (!known->gone || adopted->handover.count) && !remember_renamed(adopted->remember);
}

static bool is_file(const struct remembered *object, uint64_t device, uint64_t inode)
{
	return object->id.device == device && object->id.inode == inode;
}

/* Is the file of that path still this one? Another version of it is, too: it is attached anew. */
static bool in_place(const struct remembered *object, const struct discover_events *events)
{
	struct object_id id = { 0 };
	struct stat st;
	int fd;

	if (stat(object->path, &st) || !S_ISREG(st.st_mode))
		return false;
	id.device = (uint64_t)major(st.st_dev) << 32 | minor(st.st_dev);
	id.inode = st.st_ino;
	if (is_file(object, id.device, id.inode))
		return true;
	/* On overlayfs it went by the file below. */
	fd = open(object->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0) {
		events->identify(events->context, fd, &id);
		(void)close(fd);
	}
	return is_file(object, id.device, id.inode);
}

void adopt_files(struct adopted *adopted, struct objects *objects, const struct discover_events *events)
{
	struct remembered *known;
	struct object *object;
	bool here;

	for (known = remember_objects(adopted->remember); known; known = known->next) {
		/* Gone ones, too, in a handover: the old set has them attached until the turn. */
		if (known->found || (known->gone && !adopted->handover.count))
			continue;
		known->found = true;
		here = in_place(known, events);
		/* What cannot be read now stays as it is. */
		if (here && (objects_path(objects, events, known->path, &object) || object->attachment))
			continue;
		if (known->gone)
			continue;
		say_written(adopted, known);
		forget(adopted, known);
		log_message(LOG_INFO, "detached: '%s': %s", known->path,
			    here ? "no process that is counted has it mapped" :
				   "no process has it mapped, and the path leads elsewhere");
	}
}
