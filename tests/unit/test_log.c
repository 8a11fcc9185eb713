/* SPDX-License-Identifier: BSD-2-Clause */
/* test_log.c - one message, one line. */
#include "unit.h"

#include <errno.h>
#include <unistd.h>

#include "log.h"

/* What @write_it sends to standard error. */
static void capture(void (*write_it)(void), char *out, size_t out_size)
{
	int saved = dup(STDERR_FILENO), pipes[2];
	ssize_t bytes;

	assert_int_equal(pipe(pipes), 0);
	assert_true(dup2(pipes[1], STDERR_FILENO) >= 0);
	write_it();
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(saved);
	(void)close(pipes[1]);
	bytes = read(pipes[0], out, out_size - 1);
	assert_true(bytes >= 0);
	out[bytes] = '\0';
	(void)close(pipes[0]);
}

static void say_all(void)
{
	log_message(LOG_ERROR, "attach: '%s': gone", "/srv/api");
	log_message(LOG_WARN, "name '%s'", "evil\nprobemeter: error: \x1b[2Jfake\xff");
	log_message(LOG_INFO, "ends with a newline\n");
	log_message(LOG_DEBUG, "not shown");
}

/* Levels have their words, hostile strings start no line, debug is silent by default. */
static void log_message_is_one_escaped_line(void **state)
{
	char out[1024];

	(void)state;
	capture(say_all, out, sizeof(out));
	assert_string_equal(out, "probemeter: error: attach: '/srv/api': gone\n"
				 "probemeter: warning: name 'evil\\nprobemeter: error: \\x1b[2Jfake\xef\xbf\xbd'\n"
				 "probemeter: ends with a newline\n");
}

static void say_long(void)
{
	char text[9000];

	memset(text, '\1', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_message(LOG_INFO, "%s", text);
}

/* A message past its limit is cut and still ends in a newline. */
static void log_message_cuts_long_text(void **state)
{
	char out[16384];

	(void)state;
	capture(say_long, out, sizeof(out));
	assert_true(strlen(out) > 2000 && strlen(out) <= 4096);
	assert_int_equal(out[strlen(out) - 1], '\n');
	assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
}

/* Without a standard error nothing happens, and the caller's errno is as before. */
static void log_message_survives_closed_stderr(void **state)
{
	int saved = dup(STDERR_FILENO);

	(void)state;
	(void)close(STDERR_FILENO);
	errno = EBUSY;
	log_message(LOG_INFO, "into the void");
	assert_int_equal(errno, EBUSY);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(saved);
}

/* A lower level hides what is above it. */
static void log_set_level_hides_messages(void **state)
{
	char out[1024];

	(void)state;
	log_set_level(LOG_ERROR);
	capture(say_all, out, sizeof(out));
	log_set_level(LOG_INFO);
	assert_string_equal(out, "probemeter: error: attach: '/srv/api': gone\n");
}

/* Fields that a program reads: any text is one object on one line, and what stands for '%s' is told apart. */
static void log_message_is_one_object(void **state)
{
	char out[2048];

	(void)state;
	log_set_format(LOG_FORMAT_JSON);
	capture(say_all, out, sizeof(out));
	log_set_format(LOG_FORMAT_TEXT);
	assert_non_null(strstr(out, "Z\",\"level\":\"error\",\"message\":\"attach: '/srv/api': gone\",\"objects\":[\"/srv/api\"]}\n"));
	assert_non_null(strstr(out, "Z\",\"level\":\"warn\",\"message\":\"name 'evil\\u000aprobemeter: error: \\u001b[2Jfake\\ufffd'\","
				    "\"objects\":[\"evil\\u000aprobemeter: error: \\u001b[2Jfake\\ufffd\"]}\n"));
	assert_non_null(strstr(out, "Z\",\"level\":\"info\",\"message\":\"ends with a newline\",\"objects\":[]}\n"));
	assert_memory_equal(out, "{\"time\":\"20", 11);
	assert_null(strstr(out, "not shown"));
}

static void say_objects(void)
{
	log_message(LOG_INFO, "'%s' in '%.3s' of %s '%d' '%s'", "a'b", "cdef", "'plain'", 7, "");
}

/* Only strings in quotes are objects, also those with quotes in them, cut ones and empty ones. */
static void log_objects_are_what_is_quoted(void **state)
{
	char out[2048];

	(void)state;
	log_set_format(LOG_FORMAT_JSON);
	capture(say_objects, out, sizeof(out));
	log_set_format(LOG_FORMAT_TEXT);
	assert_non_null(strstr(out, "\"message\":\"'a'b' in 'cde' of 'plain' '7' ''\",\"objects\":[\"a'b\",\"cde\",\"\"]}\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(log_message_is_one_escaped_line),
		cmocka_unit_test(log_message_cuts_long_text),
		cmocka_unit_test(log_message_survives_closed_stderr),
		cmocka_unit_test(log_set_level_hides_messages),
		cmocka_unit_test(log_message_is_one_object),
		cmocka_unit_test(log_objects_are_what_is_quoted),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
