/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * top.c - `probemeter top`: what a running agent counts, live in a terminal.
 *
 * Consumes keys and, every interval, the agent's answer; draws what sheet.c made of it. However it ends, the terminal is as it
 * was before: also by a signal, also by a crash.
 */
#include "top.h"

#include <errno.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "colour.h"
#include "log.h"
#include "options.h"
#include "sheet.h"
#include "show.h"

#define INTERVAL_MS 1000
#define FILTER_BYTES 64
#define HEAD_LINES 3 /* title, a note, captions */
#define FOOT_LINES 1
#define ESCAPE 27
#define CONTROL(letter) ((letter) - '@')

enum ink { INK_TITLE = 1, INK_SERVICE, INK_TREND, INK_WARNING };

struct screen {
	const struct options *options;
	struct sheet sheet;
	struct held held;
	struct sheet_line *lines;
	size_t line_count;
	size_t first; /* line at the top */
	size_t note; /* which is shown */
	char filter[FILTER_BYTES];
	bool typing; /* the filter */
	bool paused;
	char trouble[512]; /* why the last answer did not come */
	uint64_t asked_ms;
	unsigned interval_ms;
	bool colours;
};

static volatile sig_atomic_t told; /* by a signal, to end */

static void on_end(int signal)
{
	told = signal;
}

/* A crash: give the terminal back and die of it. */
static void on_crash(int signal)
{
	(void)endwin();
	(void)raise(signal);
}

static void signals_take(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP }, crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	struct sigaction end = { .sa_handler = on_end }, crash = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND };
	size_t i;

	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		(void)sigaction(ends[i], &end, NULL);
	for (i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		(void)sigaction(crashes[i], &crash, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A place that there is no room for is no mistake: the terminal is small. */
static void put(int line, int column, attr_t how, const char *text)
{
	if (line >= LINES || column >= COLS)
		return;
	(void)attrset(how);
	(void)mvaddstr(line, column, text);
	(void)attrset(A_NORMAL);
}

static attr_t ink(const struct screen *screen, enum ink which, attr_t otherwise)
{
	return screen->colours ? (attr_t)COLOR_PAIR(which) | (which == INK_TREND ? 0 : A_BOLD) : otherwise;
}

static void draw_line(const struct screen *screen, int at, const struct sheet_line *line)
{
	char part[SHEET_BYTES];
	int column = 0;

	sheet_name(&screen->sheet, line, part);
	put(at, 0, line->row ? A_NORMAL : ink(screen, INK_SERVICE, A_BOLD), part);
	if (!line->row)
		return;
	column = getcurx(stdscr);
	sheet_numbers(&screen->sheet, line, part);
	put(at, column, A_NORMAL, part);
	column = getcurx(stdscr);
	sheet_trend(&screen->sheet, line, part);
	put(at, column, ink(screen, INK_TREND, A_NORMAL), part);
}

static void draw_head(const struct screen *screen)
{
	const struct held *held = &screen->held;
	const struct held_note *note = held->note_count ? &held->note[screen->note % held->note_count] : NULL;
	bool warning = *screen->trouble || (note && note->warning);
	char text[SHEET_BYTES], fitted[SHEET_BYTES];

	(void)sheet_fit(&screen->sheet, held->title, COLS, true, fitted);
	put(0, 0, ink(screen, INK_TITLE, A_REVERSE), fitted);
	(void)snprintf(text, sizeof(text), "%s%s%.1000s", held->note_count > 1 ? "n: next  " : "", warning ? "! " : "",
		       *screen->trouble ? screen->trouble : note ? note->text : "");
	(void)sheet_fit(&screen->sheet, text, COLS, true, fitted);
	put(1, 0, warning ? ink(screen, INK_WARNING, A_BOLD) : A_NORMAL, fitted);
	sheet_captions(&screen->sheet, text);
	put(2, 0, A_UNDERLINE, text);
}

static void draw_foot(const struct screen *screen)
{
	size_t last = screen->first + (size_t)(LINES > HEAD_LINES + FOOT_LINES ? LINES - HEAD_LINES - FOOT_LINES : 1);
	char text[SHEET_BYTES], fitted[SHEET_BYTES];

	if (screen->typing)
		(void)snprintf(text, sizeof(text), "show only what has: %s_   (Enter keeps it, Esc shows all)", screen->filter);
	else
		(void)snprintf(text, sizeof(text), "%zu-%zu of %zu  q quit  s sort  / filter%s%s  space %s  a agent  arrows",
			       screen->line_count ? screen->first + 1 : 0, last < screen->line_count ? last : screen->line_count,
			       screen->line_count, *screen->filter ? ": " : "", screen->filter, screen->paused ? "go on" : "pause");
	(void)sheet_fit(&screen->sheet, text, COLS - 1, true, fitted);
	put(LINES - 1, 0, A_REVERSE, fitted);
}

static void draw(struct screen *screen)
{
	int room = LINES - HEAD_LINES - FOOT_LINES;
	size_t most;

	if (room < 1)
		room = 1;
	most = screen->line_count > (size_t)room ? screen->line_count - (size_t)room : 0;
	screen->first = screen->first < most ? screen->first : most;
	(void)erase();
	draw_head(screen);
	for (int i = 0; i < room && screen->first + (size_t)i < screen->line_count; i++)
		draw_line(screen, HEAD_LINES + i, &screen->lines[screen->first + (size_t)i]);
	if (!screen->line_count)
		put(HEAD_LINES + 1, 2, A_NORMAL, *screen->filter ? "nothing has that in its name" : "nothing is counted yet");
	draw_foot(screen);
	(void)refresh();
}

/* Lines anew, after an answer or for another order. Short of memory those before stay. */
static void arrange(struct screen *screen)
{
	size_t count;
	struct sheet_line *lines;

	screen->sheet.columns = COLS < 20 ? 20 : COLS > SHEET_COLUMNS ? SHEET_COLUMNS : COLS;
	screen->sheet.filter = screen->filter;
	lines = sheet_lines(&screen->sheet, &screen->held, &count);
	if (!lines)
		return;
	free(screen->lines);
	screen->lines = lines;
	screen->line_count = count;
}

/* What the agent holds now; if it does not answer, what it last held stays, and the reason is shown. */
static int ask(struct screen *screen)
{
	struct held before = screen->held, held;
	json_object *snapshot;
	int err = ask_snapshot(screen->options->run_dir, !before.arena, &snapshot, screen->trouble, sizeof(screen->trouble));

	screen->asked_ms = now_ms();
	if (err)
		return err;
	err = held_read(snapshot, before.arena ? &before : NULL, &held);
	json_object_put(snapshot);
	if (err) {
		(void)snprintf(screen->trouble, sizeof(screen->trouble), "the agent's answer is not what this version knows");
		return err;
	}
	*screen->trouble = '\0';
	/* The lines point into what is freed. */
	screen->held = held;
	arrange(screen);
	held_free(&before);
	return 0;
}

static void type(struct screen *screen, int key)
{
	size_t length = strlen(screen->filter);

	if (key == ESCAPE)
		*screen->filter = '\0';
	if (key == ESCAPE || key == '\n' || key == '\r' || key == KEY_ENTER)
		screen->typing = false;
	else if ((key == KEY_BACKSPACE || key == 127 || key == CONTROL('H')) && length)
		screen->filter[length - 1] = '\0';
	else if (key >= ' ' && key < 127 && length + 1 < FILTER_BYTES) {
		screen->filter[length] = (char)key;
		screen->filter[length + 1] = '\0';
	}
	screen->first = 0;
	arrange(screen);
}

static void scroll_by(struct screen *screen, long lines)
{
	if (lines < 0 && screen->first < (size_t)-lines)
		screen->first = 0;
	else
		screen->first += (size_t)lines;
}

/* Return: false to quit. */
static bool act(struct screen *screen, int key)
{
	long page = LINES - HEAD_LINES - FOOT_LINES - 1;

	switch (key) {
	case 'q':
	case 'Q':
	case CONTROL('C'):
		return false;
	case 's':
		screen->sheet.sort = (screen->sheet.sort + 1) % SHEET_SORTS;
		break;
	case 'a':
		screen->sheet.agent = !screen->sheet.agent;
		break;
	case '/':
		screen->typing = true;
		break;
	case 'n':
		screen->note++;
		break;
	case ' ':
		screen->paused = !screen->paused;
		break;
	case KEY_UP:
	case 'k':
		scroll_by(screen, -1);
		break;
	case KEY_DOWN:
	case 'j':
		scroll_by(screen, 1);
		break;
	case KEY_PPAGE:
		scroll_by(screen, -page);
		break;
	case KEY_NPAGE:
		scroll_by(screen, page);
		break;
	case KEY_HOME:
		screen->first = 0;
		break;
	case KEY_END:
		screen->first = screen->line_count;
		break;
	default:
		break;
	}
	arrange(screen);
	return true;
}

static void loop(struct screen *screen)
{
	bool go = true;

	while (go && !told) {
		uint64_t now = now_ms(), due = screen->asked_ms + screen->interval_ms;
		int key;

		if (!screen->paused && now >= due) {
			(void)ask(screen);
			now = now_ms();
			due = screen->asked_ms + screen->interval_ms;
		}
		draw(screen);
		timeout(screen->paused ? (int)screen->interval_ms : due > now ? (int)(due - now) : 0);
		key = getch();
		if (key == ERR)
			continue;
		if (key == KEY_RESIZE)
			arrange(screen);
		else if (screen->typing && key != CONTROL('C'))
			type(screen, key);
		else
			go = act(screen, key);
	}
}

static void inks_make(struct screen *screen)
{
	screen->colours = colour_wanted(stdout) && has_colors() && start_color() == OK && use_default_colors() == OK;
	if (!screen->colours)
		return;
	(void)init_pair(INK_TITLE, COLOR_CYAN, -1);
	(void)init_pair(INK_SERVICE, COLOR_GREEN, -1);
	(void)init_pair(INK_TREND, COLOR_BLUE, -1);
	(void)init_pair(INK_WARNING, COLOR_YELLOW, -1);
}

/* Only a flag says how often: the variable is for exports. */
static unsigned interval_of(const struct options *options)
{
	const char *source = options->source[OPTION_INTERVAL];

	return source && !strncmp(source, "--", 2) ? options->interval_ms : INTERVAL_MS;
}

int top(const struct options *options)
{
	struct screen screen = { .options = options, .interval_ms = interval_of(options) };
	SCREEN *terminal;

	if (options->json)
		return show_json(options);
	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return show_text(options, true);
	if (ask(&screen)) {
		log_message(LOG_ERROR, "%s", screen.trouble);
		return 1;
	}
	screen.sheet.ascii = show_ascii();
	terminal = newterm(NULL, stdout, stdin);
	if (!terminal) {
		log_message(LOG_WARN, "top: the terminal '%s' is not known here; set TERM to one that is; printing once",
			    getenv("TERM") ? getenv("TERM") : "");
		held_free(&screen.held);
		free(screen.lines);
		return show_text(options, true);
	}
	signals_take();
	(void)cbreak();
	(void)noecho();
	(void)keypad(stdscr, TRUE);
	(void)set_escdelay(50);
	(void)curs_set(0);
	inks_make(&screen);
	arrange(&screen);
	loop(&screen);
	(void)endwin();
	delscreen(terminal);
	free(screen.lines);
	held_free(&screen.held);
	return told && told != SIGINT ? 128 + told : 0;
}
