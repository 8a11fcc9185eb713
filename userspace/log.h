/* SPDX-License-Identifier: BSD-2-Clause */
/* log.h - one line per message on standard error. */
#ifndef PROBEMETER_LOG_H
#define PROBEMETER_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Messages above @level are dropped. LOG_INFO until this is called. Call before threads start. */
void log_set_level(enum log_level level);

/**
 * log_message - write "probemeter: warning: ..." and a newline to standard error
 * @level:  how bad; decides the word in front (none for LOG_INFO) and whether it is written at all
 * @format: as printf; control characters, also inside arguments, come out as \n, \t or \xNN, invalid UTF-8 as U+FFFD
 *
 * Lines from several threads do not mix: each is one write(). A message is cut behind 2 KiB. errno is preserved.
 */
void log_message(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
