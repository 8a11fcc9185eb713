/* SPDX-License-Identifier: BSD-2-Clause */
/* log.h - one line per message on standard error, or one entry in systemd's journal. */
#ifndef PROBEMETER_LOG_H
#define PROBEMETER_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Messages above @level are dropped. LOG_INFO until this is called. Call before threads start, or in the only one that logs. */
void log_set_level(enum log_level level);

/* LOG_FORMAT_TEXT until this is called. Where standard error is systemd's journal, text goes there as fields. */
void log_set_format(enum log_format format);

/**
 * log_message - write one message to standard error
 * @level:  how bad; decides the word in front (none for LOG_INFO) and whether it is written at all
 * @format: as printf. A string in single quotes, '%s', is an object that the message is about: it becomes a field too
 *
 * As text: "probemeter: warning: ..." and a newline; control characters, also inside arguments, come out as \n, \t or
 * \xNN, invalid UTF-8 as U+FFFD. As JSON: an object with time (UTC, RFC 3339), level (error, warn, info, debug), message,
 * and objects, a list of strings. In the journal: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, and PROBEMETER_OBJECT for each.
 *
 * Lines from several threads do not mix: each is one write(). A message is cut behind 2 KiB. errno is preserved.
 */
void log_message(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
