/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.c - the configuration file, and the file of headers, into struct options by the table.
 *
 * Consumes text files, produces fields; what a value must look like is options_value.c's. A wrong file is an error, as a
 * wrong flag is: an administrator wrote it and is there to be told.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "options.h"
#include "options_near.h"
#include "options_table.h"
#include "options_value.h"

#define CONFIG_BYTES (1 << 20)
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct config {
	struct options *options;
	const char *path;
	unsigned line;
	unsigned set[OPTION_COUNT]; /* number of the line that said it */
	bool counts[OPTION_COUNT]; /* and it decides */
	char *error;
	size_t error_size;
};

/* Always -EINVAL; the file and, behind its first line, the line stand in front. */
static int __attribute__((format(printf, 2, 3))) fail(const struct config *config, const char *format, ...)
{
	size_t used;
	va_list args;

	if (config->line)
		(void)snprintf(config->error, config->error_size, "%s line %u: ", config->path, config->line);
	else
		(void)snprintf(config->error, config->error_size, "%s: ", config->path);
	used = strlen(config->error);
	va_start(args, format);
	(void)vsnprintf(config->error + used, config->error_size - used, format, args);
	va_end(args);
	return -EINVAL;
}

static enum option_key key_find(const char *name)
{
	enum option_key key;

	for (key = 0; key < OPTION_COUNT; key++)
		if (!strcmp(option_name(&option_rows[key]), name))
			break;
	return key;
}

/* Judge the value, and keep it where nobody more important has spoken and this command listens. */
static int config_set(struct config *config, enum option_key key, const char *text)
{
	const struct option_row *row = &option_rows[key];
	struct options *options = config->options, scratch = *options;
	bool counts = row->commands & (1u << options->command) && (!options->source[key] || config->counts[key]);
	struct option_value value = { .options = counts ? options : &scratch };
	const char *who;
	int err;

	if (row->when == OPTION_FLAG_ONLY)
		return fail(config, "'%s' is for the command line only", row->flag);
	if (config->set[key] && row->type != OPTION_TYPE_TEXTS)
		return fail(config, "'%s' was set in line %u already", option_name(row), config->set[key]);
	who = arena_printf(options->arena, "%s line %u (%s)", config->path, config->line, option_name(row));
	if (!who)
		return -ENOMEM;
	err = option_value_set(&value, key, who, text, true);
	if (err == -EINVAL)
		return fail(config, "%s: %s%s", option_name(row), value.why,
			    strchr(text, '#') ? "; a comment must stand on a line of its own" : "");
	config->set[key] = config->line;
	config->counts[key] = counts;
	return err;
}

/* What stands between blanks; @text is changed. */
static char *trim(char *text)
{
	size_t length;

	text += strspn(text, " \t\r\n");
	length = strlen(text);
	while (length && isspace((unsigned char)text[length - 1]))
		length--;
	text[length] = '\0';
	return text;
}

static int config_line(struct config *config, char *line)
{
	char *equals = strchr(line, '='), *name = trim(line);
	enum option_key key;

	if (!*name || *name == '#')
		return 0;
	if (!equals)
		return fail(config, "expected NAME = VALUE, not '%.64s'", name);
	*equals = '\0';
	name = trim(name);
	key = key_find(name);
	if (key == OPTION_COUNT)
		return fail(config, "there is no '%.64s'; did you mean '%s'?", name, option_near_name(name));
	return config_set(config, key, equals + 1);
}

/* Give every line of a file to @take, which may change it. Return: 0, what @take returned, -errno if it cannot be read. */
static int lines_read(struct config *config, int (*take)(struct config *config, char *line), struct stat *st)
{
	int fd = open(config->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = fd < 0 ? -errno : 0;
	FILE *file = NULL;
	char *line = NULL;
	size_t room = 0;
	ssize_t length;

	config->line = 0;
	if (!err && fstat(fd, st))
		err = -errno;
	if (!err && (!S_ISREG(st->st_mode) || st->st_size > CONFIG_BYTES))
		err = -EFBIG;
	if (!err) {
		file = fdopen(fd, "r");
		err = file ? 0 : -errno;
	}
	while (!err && (length = getline(&line, &room, file)) >= 0) {
		/* Some editors begin a file with it. */
		const size_t mark = !config->line++ && !strncmp(line, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) ?
					    strlen(BYTE_ORDER_MARK) : 0;

		err = strlen(line) == (size_t)length ? take(config, line + mark) : fail(config, "expected text, not binary data");
	}
	if (!err && ferror(file))
		err = -EIO;
	free(line);
	if (file)
		(void)fclose(file);
	else if (fd >= 0)
		(void)close(fd);
	return err;
}

static int fail_unread(struct config *config, enum option_key key, int err)
{
	const char *who = config->options->source[key];

	config->line = 0;
	return fail(config, "%s%s%s", err == -EFBIG ? "not a regular file of at most 1 MiB" : strerror(-err),
		    who ? "; named by " : "", who ? who : "");
}

int config_read(struct options *options, char *error, size_t error_size)
{
	struct config config = { .options = options, .path = options->config ? options->config : CONFIG_PATH, .error = error,
				 .error_size = error_size };
	struct stat st;
	int err;

	*error = '\0';
	err = lines_read(&config, config_line, &st);
	if (!options->config && err == -ENOENT)
		return 0;
	/* Who runs the agent may read it; who only looks may not be meant to. */
	if (!options->config && err == -EACCES)
		return options_warn(options, "%s may not be read by this user; ignored", config.path);
	if (err && err != -ENOMEM && !*error)
		return fail_unread(&config, OPTION_CONFIG, err);
	options->config = config.path;
	return err;
}

static int header_line(struct config *config, char *line)
{
	struct options *options = config->options;
	struct pairs *headers = &options->headers;
	char *name = trim(line), *colon = strchr(name, ':');
	struct attribute *grown;
	char *value;

	if (!*name || *name == '#')
		return 0;
	if (!colon)
		return fail(config, "expected 'Name: value', as HTTP has it");
	*colon = '\0';
	name = trim(name);
	value = trim(colon + 1);
	if (!option_header_fits(name, value))
		return fail(config, "expected the name of an HTTP header, a colon, and a value without control characters");
	for (size_t i = 0; i < headers->count; i++)
		if (!strcasecmp(headers->pair[i].key, name))
			return 0;
	grown = arena_array(options->arena, headers->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	if (headers->count)
		memcpy(grown, headers->pair, headers->count * sizeof(*grown));
	grown[headers->count].key = arena_strdup(options->arena, name);
	grown[headers->count].value = arena_strdup(options->arena, value);
	if (!grown[headers->count].key || !grown[headers->count].value)
		return -ENOMEM;
	headers->pair = grown;
	headers->count++;
	return 0;
}

int config_headers(struct options *options, char *error, size_t error_size)
{
	struct config config = { .options = options, .path = options->headers_file, .error = error, .error_size = error_size };
	struct stat st;
	int err;

	if (!options->headers_file)
		return 0;
	*error = '\0';
	err = lines_read(&config, header_line, &st);
	if (err && err != -ENOMEM && !*error)
		return fail_unread(&config, OPTION_HEADERS_FILE, err);
	if (!err && st.st_mode & S_IROTH)
		err = options_warn(options, "%s: every user of this host may read these headers; chmod o-r it", config.path);
	return err;
}
