/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * show.c - `probemeter snapshot`: one look at a running agent, as text or as JSON.
 *
 * Two looks, a second apart, where rates are wanted. JSON on a terminal is escaped as far as a terminal could be steered.
 */
#include "show.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "colour.h"
#include "log.h"
#include "options.h"
#include "sheet.h"
#include "utf8.h"

#define PIPE_COLUMNS 120 /* where there is no terminal to ask */

bool show_ascii(void)
{
	return !setlocale(LC_ALL, "") || strcmp(nl_langinfo(CODESET), "UTF-8");
}

static int columns(void)
{
	const char *given = getenv("COLUMNS");
	struct winsize size;
	int count = given ? atoi(given) : 0;

	if (count <= 0 && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		count = size.ws_col;
	if (count <= 0)
		count = PIPE_COLUMNS;
	return count < 20 ? 20 : count > SHEET_COLUMNS ? SHEET_COLUMNS : count;
}

/* Characters that utf8_printable() would not let through stand in JSON as \uNNNN. */
static void put_json(const char *text, FILE *out)
{
	size_t length = strlen(text), bytes;
	char safe[32];
	uint32_t code;

	for (size_t i = 0; i < length; i += bytes) {
		bytes = utf8_next(text + i, length - i, &code);
		if (text[i] == '\n' || utf8_printable(text + i, bytes, safe, sizeof(safe)) == bytes)
			(void)fwrite(text + i, 1, bytes, out);
		else
			(void)fprintf(out, "\\u%04x", (unsigned)code);
	}
	(void)fputc('\n', out);
}

int show_look(const struct options *options, struct held *held)
{
	struct held before = *held;
	json_object *snapshot;
	char error[512];
	int err = ask_snapshot(options->run_dir, !before.arena, &snapshot, error, sizeof(error));

	if (err) {
		log_message(LOG_ERROR, "%s", error);
		return err;
	}
	err = held_read(snapshot, before.arena ? &before : NULL, held);
	json_object_put(snapshot);
	if (err == -EPROTO)
		log_message(LOG_ERROR, "the agent's answer is not what this version knows; use the probemeter that runs");
	else if (err)
		log_message(LOG_ERROR, "out of memory");
	else
		held_free(&before);
	return err;
}

int show_json(const struct options *options)
{
	json_object *snapshot;
	char error[512];

	if (ask_snapshot(options->run_dir, false, &snapshot, error, sizeof(error))) {
		log_message(LOG_ERROR, "%s", error);
		return 1;
	}
	put_json(json_object_to_json_string_ext(snapshot, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE), stdout);
	json_object_put(snapshot);
	return fflush(stdout) ? 1 : 0;
}

int show_text(const struct options *options, bool rates)
{
	const struct timespec second = { .tv_sec = 1 };
	struct sheet sheet = { .columns = columns(), .ascii = show_ascii(), .agent = true, .still = !rates,
			       .sort = rates ? SHEET_RATE : SHEET_NAME };
	struct held held = { .arena = NULL };
	int err = show_look(options, &held);

	if (!err && rates) {
		(void)nanosleep(&second, NULL);
		err = show_look(options, &held);
	}
	if (!err)
		err = sheet_print(&sheet, &held, colour_wanted(stdout), stdout);
	held_free(&held);
	return err ? 1 : 0;
}

int show_snapshot(const struct options *options)
{
	return options->json ? show_json(options) : show_text(options, false);
}
