/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probes.c - `probemeter probes`: which metrics and probe sites there are, and who listens.
 *
 * Consumes a file, a process or all of /proc; prints a table or JSON. Attaches nothing: whether a site is listened to is
 * read from its semaphore in the process.
 */
#include "probes.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "colour.h"
#include "discover.h"
#include "log.h"
#include "options.h"
#include "privilege.h"
#include "reach.h"
#include "trial.h"
#include "utf8.h"

#define TEXT_BYTES 512 /* of one name, as it is printed */

static const char *const kind_names[] = {
	[PROBEMETER_KIND_COUNTER] = "counter",
	[PROBEMETER_KIND_UPDOWNCOUNTER] = "updowncounter",
	[PROBEMETER_KIND_UPDOWNCOUNTER_LATEST] = "updowncounter_latest",
	[PROBEMETER_KIND_GAUGE] = "gauge",
	[PROBEMETER_KIND_HISTOGRAM] = "histogram",
};

/* What listens at a site of one process: the semaphore, or -1 if there is no process or it cannot be read. */
static int listeners(pid_t pid, const struct descriptor *d, uint64_t bias)
{
	uint16_t count;
	struct iovec local = { &count, sizeof(count) };
	struct iovec remote = { (void *)(d->semaphore_address + bias), sizeof(count) };

	if (!pid || process_vm_readv(pid, &local, 1, &remote, 1, 0) != sizeof(count))
		return -1;
	return count;
}

/* An object as it lies in a process. */
struct place {
	pid_t pid; /* 0: only in the file */
	uint64_t mapped, bias;
	const struct reach *reach;
	bool moved; /* none of its code is mapped from the file: the agent does not find it there */
};

/* What is said of one site, in which colour. */
struct state {
	const char *words;
	enum colour colour;
};

/* A level's state needs no listener: it is read, not trapped. */
static struct state state(const struct descriptors *descriptors, const struct descriptor *d, const struct place *place,
			  int count)
{
	const char *problem = place->pid ? reach_problem(place->reach, descriptors, d, place->mapped, place->bias) : NULL;

	if (d->levels_address && place->moved)
		return (struct state){ "level: not read, as none of the code is mapped from the file", COLOUR_WARNING };
	if (d->levels_address)
		return (struct state){ "level: read from the process, no trap", COLOUR_GOOD };
	if (count < 0)
		return (struct state){ "in the file; name a process to see who listens", COLOUR_DIM };
	if (problem)
		return (struct state){ problem, COLOUR_WARNING };
	return count ? (struct state){ "attached", COLOUR_GOOD } :
		       (struct state){ "not attached: no agent listens", COLOUR_DIM };
}

/* Names are their file's, whoever wrote it: no order to a terminal, and no second line. */
static const char *printable(const char *text, char room[TEXT_BYTES])
{
	(void)utf8_printable(text, strlen(text), room, TEXT_BYTES);
	return room;
}

/* A path is any bytes. NULL, if memory is short, is JSON's null. */
static json_object *path_json(const char *path)
{
	size_t length = strlen(path);
	char *clean = malloc(3 * length + 1);
	json_object *text = NULL;

	if (clean) {
		(void)utf8_clean(path, length, clean, 3 * length + 1);
		text = json_object_new_string(clean);
	}
	free(clean);
	return text;
}

/* json-c escapes what JSON wants escaped; a terminal takes orders in other characters, too. */
static void json_print(json_object *rows)
{
	const char *text = json_object_to_json_string_ext(rows, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
	const char *end = text + strlen(text);
	char room[16];
	size_t taken;
	uint32_t code;

	for (; text < end; text += taken) {
		taken = utf8_next(text, (size_t)(end - text), &code);
		if (code >= 0x7f && utf8_printable(text, taken, room, sizeof(room)) && *room == '\\')
			printf("\\u%04x", code);
		else
			(void)fwrite(text, 1, taken, stdout);
	}
	putchar('\n');
}

static json_object *metric_json(const struct descriptor *d, const char *path, pid_t pid, int count, const char *words)
{
	const struct metric *m = &d->metric;
	json_object *row = json_object_new_object(), *labels = json_object_new_array(), *bounds;
	uint32_t i;

	json_object_object_add(row, "file", path_json(path));
	if (pid)
		json_object_object_add(row, "pid", json_object_new_int(pid));
	json_object_object_add(row, "scope", json_object_new_string(m->scope));
	json_object_object_add(row, "name", json_object_new_string(m->name));
	json_object_object_add(row, "kind", json_object_new_string(kind_names[m->kind]));
	json_object_object_add(row, "unit", json_object_new_string(m->unit));
	json_object_object_add(row, "description", json_object_new_string(m->description));
	for (i = 0; i < m->label_count; i++)
		json_object_array_add(labels, json_object_new_string(m->label[i]));
	json_object_object_add(row, "labels", labels);
	if (m->bound_count) {
		bounds = json_object_new_array();
		for (i = 0; i < m->bound_count; i++)
			json_object_array_add(bounds, json_object_new_double(m->bound[i]));
		json_object_object_add(row, "bounds", bounds);
	}
	json_object_object_add(row, "site", json_object_new_int64((int64_t)d->noted));
	json_object_object_add(row, "semaphore", json_object_new_int64((int64_t)d->semaphore));
	json_object_object_add(row, "attached", json_object_new_boolean(count > 0));
	json_object_object_add(row, "state", json_object_new_string(words));
	return row;
}

static void metric_print(const struct descriptor *d, const struct state *found, bool colours)
{
	const struct metric *m = &d->metric;
	char labels[(PROBEMETER_MAX_LABELS + 1) * TEXT_BYTES] = "", name[TEXT_BYTES], unit[TEXT_BYTES], label[TEXT_BYTES];
	uint32_t i;

	for (i = 0; i < m->label_count; i++)
		(void)snprintf(labels + strlen(labels), sizeof(labels) - strlen(labels), "%s%s", i ? ", " : "",
			       printable(m->label[i], label));
	printf("  %-40s %-20s %-12s {%s}  %s%s%s\n", printable(m->name, name), kind_names[m->kind], printable(m->unit, unit),
	       labels, colour(colours, found->colour), found->words, colour(colours, COLOUR_PLAIN));
}

static void object_show(const struct descriptors *descriptors, const char *path, const struct place *place,
			json_object *rows)
{
	bool colours = colour_wanted(stdout);
	char shown[TEXT_BYTES];
	size_t i;

	if (!rows) {
		printf("%s%s", colour(colours, COLOUR_BOLD), printable(path, shown));
		if (place->pid)
			printf(" (process %d)", place->pid);
		printf("%s\n", colour(colours, COLOUR_PLAIN));
	}
	for (i = 0; i < descriptors->count; i++) {
		const struct descriptor *d = &descriptors->descriptor[i];
		int count = listeners(place->pid, d, place->bias);
		struct state found = state(descriptors, d, place, count);

		if (rows)
			json_object_array_add(rows, metric_json(d, path, place->pid, count, found.words));
		else
			metric_print(d, &found, colours);
	}
}

static int file_show(const char *path, json_object *rows)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err = fd < 0 ? -errno : 0;
	struct arena *arena = arena_new();
	struct descriptors descriptors;
	struct stat st;
	size_t i;

	if (!err && (fstat(fd, &st) || !S_ISREG(st.st_mode)))
		err = -EINVAL;
	if (!err)
		err = arena ? descriptors_read(fd, arena, &descriptors) : -ENOMEM;
	if (err) {
		log_message(LOG_ERROR, "probes: '%s': %s", path,
			    err == -ENOEXEC ? "not a 64-bit ELF file of this machine" :
			    err == -EINVAL  ? "not a regular file" :
					      strerror(-err));
	} else {
		for (i = 0; i < descriptors.problem_count; i++)
			log_message(LOG_WARN, "'%s': %s; this metric is skipped, build the file again", path,
				    descriptors.problem[i]);
		object_show(&descriptors, path, &(struct place){ .pid = 0 }, rows);
		if (!descriptors.count)
			log_message(LOG_INFO, "probes: '%s' has no probes: include <probemeter/probemeter.h>, fire a metric, build again",
				    path);
	}
	arena_free(arena);
	if (fd >= 0)
		(void)close(fd);
	return err;
}

static void ignore(void *context, struct object *object)
{
	(void)context;
	(void)object;
}

/* Objects of a process that the agent does not find, as their code is elsewhere. Return: how many. */
static size_t moved_show(pid_t pid, const struct reach *reach, json_object *rows)
{
	struct descriptors descriptors;
	struct place place = { .pid = pid, .reach = reach, .moved = true };
	char path[PATH_MAX];
	size_t at = 0, shown = 0;
	struct arena *arena;
	int fd;

	while ((at = reach_next(reach, pid, at, &fd, path))) {
		arena = arena_new();
		place.mapped = reach->mapping[at - 1].start;
		if (arena && !descriptors_read(fd, arena, &descriptors) && descriptors.count &&
		    !reach_bias(&descriptors, place.mapped, &place.bias)) {
			object_show(&descriptors, path, &place, rows);
			shown++;
		}
		arena_free(arena);
		(void)close(fd);
	}
	return shown;
}

/* Return: how many objects were shown. */
static size_t process_show(const struct process *process, json_object *rows)
{
	struct reach reach;
	size_t i;

	if (reach_read(process->pid, &reach))
		return 0;
	for (i = 0; i < process->loaded_count; i++) {
		const struct loaded *loaded = &process->loaded[i];
		const struct place place = { .pid = process->pid, .mapped = loaded->start, .bias = loaded->bias, .reach = &reach };

		object_show(&loaded->object->descriptors, loaded->object->path, &place, rows);
	}
	i += moved_show(process->pid, &reach, rows);
	reach_free(&reach);
	return i;
}

static int processes_show(pid_t only, json_object *rows)
{
	const struct discover_events nothing = { .found = ignore, .gone = ignore, .identify = NULL };
	struct discovery discovery = { 0 };
	int err = discover_sweep(&discovery, &nothing);
	const struct process *process;
	uint64_t ticks, stack;
	size_t shown = 0;
	pid_t parent;

	for (process = discovery.process; !err && process && !only; process = process->hh.next)
		shown += process_show(process, rows);
	if (!err && only) {
		process = discover_find(&discovery, only);
		shown = process_show(process ? process : &(struct process){ .pid = only }, rows);
	}
	if (err) {
		log_message(LOG_ERROR, "probes: /proc cannot be read: %s", strerror(-err));
	} else if (only && discover_start(only, &ticks, &parent, &stack)) {
		log_message(LOG_ERROR, "probes: there is no process %d", only);
		err = -ESRCH;
	} else if (!shown) {
		log_message(LOG_INFO, "probes: no probes found%s", geteuid() ? "; as root, other users' processes are seen too" : "");
	}
	discover_free(&discovery, &nothing);
	return err;
}

/* Where an agent on this host would attach: by the same trial, if we may. */
static void way_show(const struct options *options)
{
	struct trial trial;
	char line[160], missing[256];

	if (privilege_missing(missing, sizeof(missing)) || trial_run((enum kernel_links)options->links, &trial))
		return;
	trial_describe(&trial, line, sizeof(line));
	printf("\nif an agent runs on this host, it attaches so: %s\n", line);
}

int probes(const struct options *options)
{
	const char *operand = options->operand;
	json_object *rows = options->json ? json_object_new_array() : NULL;
	bool is_pid = operand && *operand && operand[strspn(operand, "0123456789")] == '\0';
	int err = operand && !is_pid ? file_show(operand, rows) : processes_show(operand ? atoi(operand) : 0, rows);

	if (rows && !err)
		json_print(rows);
	if (!rows && !err)
		way_show(options);
	json_object_put(rows);
	return err ? 1 : 0;
}
